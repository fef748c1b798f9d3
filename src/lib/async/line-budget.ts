const WINDOW_MS = 1_000

/**
 * Limits the lines a second that the log takes of one kind. At thousands of events a second a line for each would be
 * most of the log, and a tenth of the cost of the work itself.
 */
export class LineBudget {
  readonly #perSecond: number
  readonly #onExceeded: (untold: number) => void
  #lines = 0
  #untold = 0
  #window: NodeJS.Timeout | null = null

  /** @param onExceeded told once a second how many lines there was no room for, if any */
  constructor(perSecond: number, onExceeded: (untold: number) => void) {
    this.#perSecond = perSecond
    this.#onExceeded = onExceeded
  }

  /** Returns whether one more line may be written now. */
  take(): boolean {
    this.#window ??= setTimeout(() => this.#close(), WINDOW_MS).unref()
    if (this.#lines < this.#perSecond) {
      this.#lines++
      return true
    }
    this.#untold++
    return false
  }

  #close(): void {
    this.#window = null
    this.#lines = 0
    const untold = this.#untold
    this.#untold = 0
    if (untold > 0) this.#onExceeded(untold)
  }
}
