import type { Socket } from 'node:net'

const INTERIM = /^HTTP\/1\.[01] 1\d\d/
const CONTINUE = /^HTTP\/1\.[01] 100/
const SWITCHING = /^HTTP\/1\.[01] 101/
/** As much as tells whether a message is interim. */
const STATUS_BYTES = 'HTTP/1.1 100'.length
const END_OF_HEADERS = '\r\n\r\n'

/**
 * Takes `100 Continue` out of a socket's input before an answer. Nobody asked for it, but a server may send it (RFC
 * 9110, 15.2), and undici ends the connection for it; it bears the other interim statuses itself.
 */
export class ContinueFilter {
  readonly #maxBytes: number
  readonly #onContinue: () => void
  #expecting = false
  #unfinished: Buffer | null = null

  /** @param maxBytes of the headers of one interim response; more is left to undici to refuse */
  constructor(maxBytes: number, onContinue: () => void) {
    this.#maxBytes = maxBytes
    this.#onContinue = onContinue
  }

  /** Replaces the socket's `read`, which is how undici takes from it. */
  watch(socket: Socket): void {
    this.#unfinished = null
    const read = socket.read.bind(socket) as (size?: number) => Buffer | null
    socket.read = (size?: number): Buffer | null => {
      for (;;) {
        const chunk = read(size)
        if (chunk === null || !this.#expecting) return chunk
        const kept = this.#filter(chunk)
        if (kept !== null) return kept
      }
    }
  }

  /** Says that a request goes out: the next input is the start of its answer. */
  expect(): void {
    this.#expecting = true
    this.#unfinished = null
  }

  #filter(chunk: Buffer): Buffer | null {
    let rest = this.#unfinished === null ? chunk : Buffer.concat([this.#unfinished, chunk])
    this.#unfinished = null
    const kept: Buffer[] = []
    while (rest.length > 0 && this.#expecting) {
      const start = rest.toString('latin1', 0, STATUS_BYTES)
      const isWhole = start.length === STATUS_BYTES
      if (
        isWhole ? !INTERIM.test(start) || SWITCHING.test(start) : !'HTTP/1.'.startsWith(start.slice(0, 7))
      ) {
        this.#expecting = false
        break
      }
      const end = rest.indexOf(END_OF_HEADERS)
      if (end === -1) {
        if (rest.length > this.#maxBytes) {
          this.#expecting = false
          break
        }
        this.#unfinished = rest
        rest = rest.subarray(rest.length)
        break
      }
      const length = end + END_OF_HEADERS.length
      if (CONTINUE.test(start)) this.#onContinue()
      else kept.push(rest.subarray(0, length))
      rest = rest.subarray(length)
    }
    if (rest.length > 0) kept.push(rest)
    return kept.length > 1 ? Buffer.concat(kept) : (kept[0] ?? null)
  }
}
