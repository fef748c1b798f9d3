/** The standing of work that repeats, in milliseconds. */
export interface Standing {
  /** The time for which the work under way has come no further; 0: nothing is under way. */
  busyMs: number
  /** The time since the begin of the first of the tries that failed in a row, two at least; 0: the last one succeeded. */
  failingMs: number
}

/** One failure may pass by itself, and of work that is done by the hour it says nothing about the next try. */
const FAILURES_MIN = 2

/** Keeps what a loop tells of itself, so that others can see whether it goes on. Costs two clock readings a pass. */
export class Pulse {
  #busySince: number | null = null
  #failingSince: number | null = null
  #failures = 0

  begin(): void {
    this.#busySince = performance.now()
  }

  /** Notes that the work under way got somewhere. */
  progress(): void {
    if (this.#busySince !== null) this.#busySince = performance.now()
  }

  succeed(): void {
    this.#busySince = this.#failingSince = null
    this.#failures = 0
  }

  fail(): void {
    this.#failingSince ??= this.#busySince ?? performance.now()
    this.#busySince = null
    this.#failures++
  }

  get standing(): Standing {
    const now = performance.now()
    const isFailing = this.#failingSince !== null && this.#failures >= FAILURES_MIN
    return {
      busyMs: this.#busySince === null ? 0 : now - this.#busySince,
      failingMs: isFailing ? now - (this.#failingSince ?? now) : 0,
    }
  }
}

/** Returns the standing of work that has several parts: that of the worst. */
export function worstOf(...standings: readonly Standing[]): Standing {
  return {
    busyMs: Math.max(...standings.map(({ busyMs }) => busyMs)),
    failingMs: Math.max(...standings.map(({ failingMs }) => failingMs)),
  }
}
