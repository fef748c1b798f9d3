import { Readable } from 'node:stream'

export interface StreamEvent {
  event: string
  /**
   * The id that a client sends as Last-Event-ID when it comes back; left out where there is nothing to go on from.
   */
  id?: string
  data: unknown
}

/** Text that waits to be sent to one reader; beyond it nothing more is written until the reader has taken some. */
const BUFFER_BYTES = 64 * 1024

/**
 * Server-sent events as a stream to answer with. It never holds more than its buffer and the last event: writers ask
 * `hasCapacity` first and are told when there is some again.
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

  /** Announces the time that a client waits before it connects again. */
  announceRetry(ms: number): void {
    this.#write(`retry: ${ms}\n\n`)
  }

  send({ event, id, data }: StreamEvent): void {
    this.#write(`event: ${event}\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`)
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
