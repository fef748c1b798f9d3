import { Readable } from 'node:stream'

export interface StreamEvent {
  event: string
  /** What a client sends as Last-Event-ID when it comes back. */
  id: string
  data: unknown
}

/** Text that waits to be sent to one reader; beyond it nothing more is written until the reader has taken some. */
const BUFFER_BYTES = 64 * 1024

/**
 * Server-sent events as a stream to answer with. It never holds more than its buffer and what was sent last: whoever
 * writes asks `hasCapacity` first and is told when there is some again.
 */
export class EventStream extends Readable {
  readonly #onCapacity: () => void
  #finished = false

  constructor(onCapacity: () => void) {
    super({ highWaterMark: BUFFER_BYTES })
    this.#onCapacity = onCapacity
  }

  get hasCapacity(): boolean {
    return !this.#finished && !this.destroyed && this.readableLength < BUFFER_BYTES
  }

  /** How long a client that lost the connection waits before it comes back. */
  announceRetry(ms: number): void {
    this.#write(`retry: ${ms}\n\n`)
  }

  send({ event, id, data }: StreamEvent): void {
    this.#write(`event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`)
  }

  /** Tells proxies and clients that the connection lives. */
  beat(): void {
    this.#write(':\n\n')
  }

  finish(): void {
    if (this.#finished || this.destroyed) return
    this.#finished = true
    this.push(null)
  }

  #write(text: string): void {
    if (!this.#finished && !this.destroyed) this.push(text)
  }

  override _read(): void {
    this.#onCapacity()
  }
}
