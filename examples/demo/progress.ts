const PLAIN_INTERVAL_MS = 1_000
/** Of terminals that do not say how wide they are. */
const USUAL_COLUMNS = 80

/** A line that is written anew while something goes on; without a terminal, a line a second. */
export class Progress {
  readonly #out: NodeJS.WriteStream
  #writtenAt = -Infinity
  #open = false

  constructor(out: NodeJS.WriteStream) {
    this.#out = out
  }

  update(text: string): void {
    if (this.#out.isTTY) {
      this.#out.write(`\r\u001b[2K${text.slice(0, (this.#out.columns || USUAL_COLUMNS) - 1)}`)
      this.#open = true
    } else if (performance.now() - this.#writtenAt >= PLAIN_INTERVAL_MS) {
      this.#out.write(`${text}\n`)
      this.#writtenAt = performance.now()
    }
  }

  /** A line that stays. */
  line(text: string): void {
    if (this.#open) this.#out.write('\r\u001b[2K')
    this.#open = false
    this.#out.write(`${text}\n`)
  }
}
