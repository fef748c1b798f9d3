import { Pulse, type Standing } from './pulse.ts'

/**
 * `more`: there is more to do at once. `idle`: nothing until a wake-up or the next look. `pauseMs`: as `more`, and
 * the same work is to be looked at again after so long.
 */
export type PassResult = 'more' | 'idle' | { readonly pauseMs: number }

export interface JobLoopOptions {
  /** Does a bounded piece of work; ends early, at a point it can go on from, when the signal is aborted. */
  pass: (signal: AbortSignal) => Promise<PassResult>
  /** Milliseconds before the very first pass. Default: none. */
  firstDelayMs?: number
  /** Milliseconds after a pass that was idle or failed; asked every time, so that it may carry jitter. */
  intervalMs: () => number
  onError: (error: unknown) => void
}

/**
 * Runs passes one after the other: at once while there is more to do, else when woken or after the interval.
 * A wake-up during a pass is not lost. Both methods may be called twice, and `stop` before `start`.
 */
export class JobLoop {
  readonly #options: JobLoopOptions
  readonly #stopping = new AbortController()
  readonly #pulse = new Pulse()
  #running: Promise<void> | null = null
  #wakeUps = 0
  /** The ends of pauses that no pass has followed yet. */
  #pauseEnds: number[] = []
  #endSleep: (() => void) | null = null

  constructor(options: JobLoopOptions) {
    this.#options = options
  }

  /** Reports the loop's standing; the work under way is a pass. */
  get standing(): Standing {
    return this.#pulse.standing
  }

  /** The pass under way got somewhere: it may take as long again. */
  progress(): void {
    this.#pulse.progress()
  }

  start(): void {
    if (this.#stopping.signal.aborted) return
    this.#running ??= this.#run()
  }

  /** There may be something to do. */
  wake(): void {
    this.#wakeUps++
    this.#endSleep?.()
  }

  /** Resolves when the pass that was under way has ended. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#endSleep?.()
    await this.#running
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    if (this.#options.firstDelayMs !== undefined) await this.#sleep(this.#options.firstDelayMs)
    while (!signal.aborted) {
      const wakeUps = this.#wakeUps
      const begun = performance.now()
      this.#pauseEnds = this.#pauseEnds.filter((end) => end > begun)
      const result = await this.#pass(signal)
      // After a failure a wake-up that came before it is no reason to fail again at once.
      const again = result === 'idle' ? this.#wakeUps !== wakeUps : result !== 'failed'
      const now = performance.now()
      if (typeof result === 'object') this.#pauseEnds.push(now + result.pauseMs)
      if (!again)
        await this.#sleep(
          Math.max(0, Math.min(this.#options.intervalMs(), ...this.#pauseEnds.map((end) => end - now))),
        )
    }
  }

  async #pass(signal: AbortSignal): Promise<PassResult | 'failed'> {
    this.#pulse.begin()
    try {
      const result = await this.#options.pass(signal)
      this.#pulse.succeed()
      return result
    } catch (error) {
      this.#pulse.fail()
      this.#options.onError(error)
      return 'failed'
    }
  }

  async #sleep(ms: number): Promise<void> {
    if (this.#stopping.signal.aborted) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#endSleep = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#endSleep = null
  }
}
