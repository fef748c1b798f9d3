/** Actions that have not begun this long after the process was told to stop are left to the next one. */
const BEGIN_WITHIN_MS = 3_000
/** Dispatches whose callers are gone are waited for a little, too: their calls are being answered. */
const END_WITHIN_MS = 2_000

/** The dispatches of this process, also those whose callers hung up. */
export class Running {
  readonly #dispatches = new Set<Promise<unknown>>()
  #stopAt = Infinity

  constructor(draining: AbortSignal) {
    const stop = (): void => {
      this.#stopAt = performance.now() + BEGIN_WITHIN_MS
    }
    if (draining.aborted) stop()
    else draining.addEventListener('abort', stop, { once: true })
  }

  isStopping(): boolean {
    return performance.now() >= this.#stopAt
  }

  track<T>(dispatch: Promise<T>): Promise<T> {
    this.#dispatches.add(dispatch)
    const forget = (): void => void this.#dispatches.delete(dispatch)
    dispatch.then(forget, forget)
    return dispatch
  }

  /** Begins nothing more; resolves when all have ended, or when they had their time. */
  async end(): Promise<void> {
    this.#stopAt = -Infinity
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, END_WITHIN_MS)
    })
    await Promise.race([Promise.allSettled(this.#dispatches), late])
    clearTimeout(timer)
  }
}
