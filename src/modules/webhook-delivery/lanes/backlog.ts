/** A due delivery that a worker has in hand. */
export interface Job {
  deliveryId: string
  eventId: string
  event: string
  attemptCount: number
  roundFailures: number
  /** Null: aged out or erased, so that it cannot be delivered any more. */
  body: string | null
  /** The part of it that is sent; null: all. */
  payload: string | null
  /** Of the event; what the delivery leads to has one more. */
  causationDepth: number
  /** The slug of the plugin that published it, or `platform`. */
  publisher: string
  /** A replay has asked for it. */
  bulk: boolean
  /** Another delivery of its key is set aside right behind it, or was. */
  followed: boolean
  /** While it is in hand nothing else of this key is; null: it has none. */
  coalesceKey: string | null
}

/** Deliveries fetched at once for one lane: it starts low and doubles while the lane stays full. */
const FETCH_MIN = 16
const FETCH_MAX = 256

/** Due deliveries of one kind in a lane: those in hand that no attempt has begun for, and what is known of the rest. */
export class Backlog {
  readonly #jobs: Job[] = []
  /** Counts what asks for a look at the queue, so that a hint that comes while a fetch is under way is not lost. */
  #asked = 1
  /** `#asked` as it was at the last look that left nothing behind. */
  #answered = 0
  #fetchSize = FETCH_MIN

  get size(): number {
    return this.#jobs.length
  }

  /** There may be more due than is in hand. */
  get mayHaveMore(): boolean {
    return this.#asked !== this.#answered
  }

  get wantsFetch(): boolean {
    return this.mayHaveMore && this.#jobs.length < this.#fetchSize / 2
  }

  get fetchSize(): number {
    return this.#fetchSize
  }

  /** Something may be due that no look at the queue has seen. */
  hint(): void {
    this.#asked++
  }

  /** A look at the queue begins. @returns what `fetched` is to be told */
  beginFetch(): number {
    return this.#asked
  }

  /** After a fetch of `fetchSize` that gave `count`. @param asked of `beginFetch` */
  fetched(count: number, asked: number): void {
    const full = count >= this.#fetchSize
    this.#answered = asked
    if (full) this.hint()
    this.#fetchSize = full
      ? Math.min(this.#fetchSize * 2, FETCH_MAX)
      : Math.max(this.#fetchSize / 2, FETCH_MIN)
  }

  push(job: Job): void {
    this.#jobs.push(job)
  }

  shift(): Job | undefined {
    return this.#jobs.shift()
  }

  /** Takes out one that has not begun. @returns whether it was there */
  remove(job: Job): boolean {
    const at = this.#jobs.indexOf(job)
    if (at >= 0) this.#jobs.splice(at, 1)
    return at >= 0
  }

  /** Gives up what is in hand. */
  clear(): Job[] {
    return this.#jobs.splice(0)
  }
}
