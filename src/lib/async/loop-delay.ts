import { monitorEventLoopDelay } from 'node:perf_hooks'

/** The resolution of the histogram's own timer. */
const RESOLUTION_MS = 10

/**
 * Samples how long the event loop keeps its timers waiting. @fastify/under-pressure does the same and reads the process's
 * memory with it, which throws in a timer, and ends the process, while no file can be opened.
 */
export class LoopDelay {
  readonly #histogram: ReturnType<typeof monitorEventLoopDelay>
  readonly #timer: NodeJS.Timeout
  #ms = 0

  constructor(sampleMs: number) {
    this.#histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
    this.#histogram.enable()
    this.#timer = setInterval(() => this.#sample(), Math.max(sampleMs, RESOLUTION_MS)).unref()
  }

  /** The mean of the last sample, in milliseconds; Infinity: blocked throughout, which says not for how long. */
  get ms(): number {
    return this.#ms
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#histogram.disable()
  }

  #sample(): void {
    const { mean } = this.#histogram
    this.#ms = Number.isNaN(mean) ? Infinity : Math.max(0, mean / 1e6 - RESOLUTION_MS)
    this.#histogram.reset()
  }
}
