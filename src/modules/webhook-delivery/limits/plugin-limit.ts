import { WaitList, type Waiting } from '#lib/async/wait-list.ts'
import type { DeliveryTarget } from '../destinations/targets.ts'
import { TokenBucket } from './token-bucket.ts'

/** The limits of a plugin's settings, of a target. */
export type LimitSettings = Pick<DeliveryTarget, 'maxInFlight' | 'ratePerSecond' | 'revision'>

/** A call that may go out now. It is under way until `end` is called, once. */
export interface CallSlot {
  /** @param retryAfterMs for how long the plugin asks to be left alone, null: it does not */
  end(retryAfterMs: number | null): void
}

/** A call that has to come again: the plugin takes no more for now. */
export interface Busy {
  /** Milliseconds until it may be worth while. */
  retryAfterMs: number
  /** `in_flight`: `max_in_flight` is reached; `rate`: the rate limit is; `retry_after`: the plugin asks for patience. */
  reason: 'in_flight' | 'rate' | 'retry_after'
}

/** The part of a plugin's limits that a process may use while others use them, too: shares.ts. */
export interface LimitShare {
  inFlight(max: number): number
  rate(perSecond: number): number
}

const ALL: LimitShare = { inFlight: (max) => max, rate: (perSecond) => perSecond }

/** The weight of the last answer in what answers take on the average. */
const LAST_COUNTS = 0.2
/** Whoever is told to come again is told a time within these bounds. */
const RETRY_LEAST_MS = 1_000
const RETRY_MOST_MS = 60_000
/** One Retry-After may hold back a plugin's other requests for so long. */
const HOLD_MAX_MS = 60_000
/** Calls that wait for one plugin at most: those of dispatches have places of their shop meanwhile. */
const WAITING_MAX = 256
/** A place that was used so lately counts as used: others are to know, also between two requests. */
const LATELY_MS = 5_000
/** `setTimeout` runs early by less than this. */
const TIMER_SLACK_MS = 1

const NOTHING_KNOWN: Busy = { reason: 'in_flight', retryAfterMs: 0 }

class Waiter implements Waiting<Waiter> {
  before: Waiter | null = null
  after: Waiter | null = null
  readonly by: string | null
  readonly resume: (answer: CallSlot | Busy) => void

  constructor(by: string | null, resume: (answer: CallSlot | Busy) => void) {
    this.by = by
    this.resume = resume
  }
}

/**
 * Limits what one plugin is sent by this process at once and how fast, deliveries and calls of its actions together. Calls wait in
 * the order in which they came; deliveries stay in the queue of their lane, which is woken. Where both wait they take
 * turns, so that neither a backlog of deliveries nor a stream of calls shuts out the other. Times are milliseconds of `clock`.
 */
export class PluginLimit {
  #settings: LimitSettings
  readonly #clock: () => number
  #share = ALL
  #inFlight = 0
  #callsInFlight = 0
  /** Calls that the plugin has dispatched itself and that go on within requests that it answers. */
  #lent = 0
  readonly #bucket: TokenBucket
  #heldUntil = -Infinity
  /** The same of what deliveries were asked: their lane is held for that itself. */
  #callsHeldUntil = -Infinity
  #answerMs: number | null = null
  #last: 'call' | 'delivery' = 'call'
  readonly #calls = new WaitList<Waiter>()
  #waitingCalls = 0
  /** Lanes that were refused, with what has them try again. */
  readonly #lanes = new Map<object, () => void>()
  #timer: { due: number; handle: NodeJS.Timeout } | null = null
  #usedAt = -Infinity
  /** Calls under way that plugins have dispatched, by those. */
  readonly #callers = new Map<string, number>()
  #isClosed = false

  /** @param clock milliseconds that only go on */
  constructor(settings: LimitSettings, clock: () => number = () => performance.now()) {
    this.#settings = settings
    this.#clock = clock
    this.#bucket = new TokenBucket(settings.ratePerSecond, clock)
  }

  get waitingCalls(): number {
    return this.#waitingCalls
  }

  /** Calls are under way, or wait. */
  get isCalled(): boolean {
    return this.#callsInFlight > 0 || this.#waitingCalls > 0
  }

  /** Anything is under way or waits, or was begun a moment ago. */
  get isUsed(): boolean {
    return this.#isBusy || this.#clock() - this.#usedAt < LATELY_MS
  }

  /** Nothing is under way or waits, and all that it has used up has come back: it can be forgotten. */
  get isIdle(): boolean {
    return !this.#isBusy && this.#lent === 0 && this.#callsHeldMs() <= 0 && this.#bucket.isFull
  }

  /** Follows a plugin's settings, which may have changed. */
  follow({ maxInFlight, ratePerSecond, revision }: LimitSettings): void {
    // A lane goes by the settings with which it was taken.
    if (revision <= this.#settings.revision) return
    this.#settings = { maxInFlight, ratePerSecond, revision }
    this.#setRate()
    this.#goOn()
  }

  /** Leaves a share of it to other processes. */
  shareOut(share: LimitShare | null): void {
    this.#share = share ?? ALL
    this.#setRate()
    this.#goOn()
  }

  /** Sends nothing for so long: the plugin has asked for it. */
  hold(ms: number): void {
    this.#heldUntil = Math.max(this.#heldUntil, this.#clock() + Math.min(ms, HOLD_MAX_MS))
  }

  /** Makes no calls for so long: the plugin has asked for it at a delivery. */
  holdCalls(ms: number): void {
    this.#callsHeldUntil = Math.max(this.#callsHeldUntil, this.#clock() + Math.min(ms, HOLD_MAX_MS))
  }

  /** Sends again what it was held back from. */
  resume(): void {
    this.#heldUntil = this.#callsHeldUntil = -Infinity
    this.#goOn()
  }

  /** Takes over what another process has left of the rate limit. @param ageMs how long ago it had so many tokens */
  restoreTokens(tokens: number, ageMs: number): void {
    this.#bucket.restore(tokens, ageMs)
  }

  /** The tokens of the rate limit at the moment; null: there is none. */
  get tokensLeft(): number | null {
    return this.#bucket.left
  }

  /**
   * Begins a delivery, which is under way until `endDelivery`.
   * @param wake is called when it is worth trying again, where the answer is `full`
   * @returns 0: it has begun; milliseconds: the rate limit or the plugin has it wait
   */
  beginDelivery(lane: object, wake: () => void): number | 'full' {
    const isCallsTurn = this.#calls.first !== null && this.#last === 'delivery' && this.#callsHeldMs() <= 0
    if (this.#isFull || isCallsTurn) {
      this.#lanes.set(lane, wake)
      return 'full'
    }
    const waitMs = this.#takeToken(this.#heldUntil)
    if (waitMs > 0) return waitMs
    this.#last = 'delivery'
    this.#inFlight++
    this.#usedAt = this.#clock()
    return 0
  }

  endDelivery(durationMs: number): void {
    this.#inFlight--
    this.#noteAnswer(durationMs)
    this.#goOn()
  }

  /**
   * Begins a call of an action, at once or when it is its turn.
   * @param waitMs how long it may wait for that, 0: not at all. Where it is clear that this is too short it does not wait.
   * @param by the plugin that has dispatched it; null: none has
   * @param borrow takes the place of a request that this plugin is answering; false: there is none
   */
  beginCall(
    waitMs: number,
    by: string | null,
    borrow: () => boolean,
  ): CallSlot | Promise<CallSlot | Busy> | Busy {
    const heldMs = this.#callsHeldMs()
    if (heldMs > waitMs) return withinBounds({ reason: 'retry_after', retryAfterMs: heldMs })
    const isLanesTurn = this.#lanes.size > 0 && this.#last === 'call'
    if (
      this.#calls.first === null &&
      !this.#isFull &&
      !isLanesTurn &&
      this.#takeToken(this.#callsUntil) === 0
    ) {
      return this.#begin(by)
    }
    if (heldMs <= 0 && borrow()) {
      // The rate holds on the average.
      this.#bucket.take()
      return this.#begin(by)
    }
    const mayWait = waitMs > 0 && !this.#isClosed && this.#waitingCalls < WAITING_MAX
    const busy = this.#expectedBusy()
    if (!mayWait) return withinBounds(busy ?? NOTHING_KNOWN)
    // The first that waits has its turn beside deliveries, however long they take.
    const isNext = busy?.reason === 'in_flight' && this.#waitingCalls === 0
    if (busy !== null && !isNext && busy.retryAfterMs > waitMs) return withinBounds(busy)
    return new Promise((resolve) => {
      const waiter = new Waiter(by, (answer) => {
        clearTimeout(timer)
        this.#calls.remove(waiter)
        this.#waitingCalls--
        resolve(answer)
      })
      const timer = setTimeout(() => {
        waiter.resume(withinBounds(this.#expectedBusy() ?? NOTHING_KNOWN))
        this.#goOn()
      }, waitMs)
      this.#calls.add(waiter)
      this.#waitingCalls++
      this.#goOn()
    })
  }

  /** Has no call wait any longer, or from now on: the process stops. */
  close(): void {
    this.#isClosed = true
    const busy = withinBounds(this.#expectedBusy() ?? NOTHING_KNOWN)
    for (let call = this.#calls.first; call !== null; call = this.#calls.first) call.resume(busy)
    if (this.#timer !== null) clearTimeout(this.#timer.handle)
    this.#timer = null
  }

  /**
   * Lends the place of a request that the plugin is answering to a call that it has dispatched.
   * @param callee the plugin that is called, which waits for this one; null: this one itself
   * @returns false: none is left to lend
   */
  lend(callee: string | null): boolean {
    if (this.#lent >= this.#inFlight || (callee !== null && !this.#callers.has(callee))) return false
    this.#lent++
    return true
  }

  giveBackLent(): void {
    this.#lent--
  }

  get #max(): number {
    return this.#share.inFlight(this.#settings.maxInFlight)
  }

  #setRate(): void {
    const { ratePerSecond } = this.#settings
    this.#bucket.rate = ratePerSecond === null ? null : this.#share.rate(ratePerSecond)
  }

  get #isFull(): boolean {
    return this.#inFlight >= this.#max
  }

  get #isBusy(): boolean {
    return this.#inFlight > 0 || this.#waitingCalls > 0 || this.#lanes.size > 0
  }

  #begin(by: string | null): CallSlot {
    const startedAt = this.#clock()
    this.#last = 'call'
    this.#usedAt = startedAt
    this.#inFlight++
    this.#callsInFlight++
    this.#countCaller(by, 1)
    return {
      end: (retryAfterMs) => {
        if (retryAfterMs !== null) this.hold(retryAfterMs)
        this.#inFlight--
        this.#callsInFlight--
        this.#countCaller(by, -1)
        this.#noteAnswer(this.#clock() - startedAt)
        this.#goOn()
      },
    }
  }

  #countCaller(by: string | null, step: 1 | -1): void {
    if (by === null) return
    const count = (this.#callers.get(by) ?? 0) + step
    if (count > 0) this.#callers.set(by, count)
    else this.#callers.delete(by)
  }

  /** Starts what waits as far as the limits allow, calls and deliveries in turn. */
  #goOn(): void {
    while (!this.#isFull) {
      const call = this.#calls.first
      const [lane] = this.#lanes
      if (call === null && lane === undefined) return
      const isLanesTurn = call === null || this.#last === 'call' || this.#callsHeldMs() > 0
      const next = lane !== undefined && isLanesTurn ? lane : null
      const waitMs = this.#waitMs(next === null ? this.#callsUntil : this.#heldUntil)
      if (waitMs > 0) {
        this.#goOnLater(waitMs)
        return
      }
      if (next !== null) {
        const [key, wake] = next
        this.#lanes.delete(key)
        wake()
        // Its turn has been, whether or not it had something to send.
        if (call !== null) this.#last = 'delivery'
      } else if (call !== null) {
        this.#takeToken(this.#callsUntil)
        call.resume(this.#begin(call.by))
      }
    }
  }

  #goOnLater(waitMs: number): void {
    const due = this.#clock() + waitMs
    if (this.#isClosed || (this.#timer !== null && this.#timer.due <= due)) return
    if (this.#timer !== null) clearTimeout(this.#timer.handle)
    const handle = setTimeout(() => {
      this.#timer = null
      this.#goOn()
    }, waitMs + TIMER_SLACK_MS)
    this.#timer = { due, handle }
  }

  /** Says how long another call would wait by what is known; null: nothing is known that it would wait for. */
  #expectedBusy(): Busy | null {
    const heldMs = this.#callsHeldMs()
    if (heldMs > 0) return { reason: 'retry_after', retryAfterMs: heldMs }
    const ahead = this.#waitingCalls
    const tokensMs = this.#bucket.waitMs(ahead + 1)
    const turnsMs = this.#isFull ? ((ahead + 1) * (this.#answerMs ?? 0)) / this.#max : 0
    if (tokensMs > turnsMs) return { reason: 'rate', retryAfterMs: tokensMs }
    return turnsMs > 0 ? { reason: 'in_flight', retryAfterMs: turnsMs } : null
  }

  #noteAnswer(durationMs: number): void {
    const before = this.#answerMs
    this.#answerMs = before === null ? durationMs : before + (durationMs - before) * LAST_COUNTS
  }

  /** For how long no call goes out; 0: one may. */
  #callsHeldMs(): number {
    return Math.max(0, this.#callsUntil - this.#clock())
  }

  get #callsUntil(): number {
    return Math.max(this.#heldUntil, this.#callsHeldUntil)
  }

  /** Takes a token of the rate limit. @returns 0, or the milliseconds until there is one */
  #takeToken(heldUntil: number): number {
    const waitMs = this.#waitMs(heldUntil)
    if (waitMs === 0) this.#bucket.take()
    return waitMs
  }

  /** Returns the milliseconds until there is a token of the rate limit and the plugin has had its pause. */
  #waitMs(heldUntil: number): number {
    const heldMs = heldUntil - this.#clock()
    return heldMs > 0 ? Math.ceil(heldMs) : this.#bucket.waitMs()
  }
}

function withinBounds({ reason, retryAfterMs }: Busy): Busy {
  const least = Math.max(retryAfterMs, RETRY_LEAST_MS)
  return { reason, retryAfterMs: Math.ceil(Math.min(least, RETRY_MOST_MS)) }
}
