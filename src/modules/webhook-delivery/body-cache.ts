/** Event bodies by id, least recently used out first, bounded by their size: fan-out reads an event once. */
export class BodyCache {
  readonly #bodies = new Map<string, string>()
  readonly #maxChars: number
  #chars = 0

  constructor(maxChars: number) {
    this.#maxChars = maxChars
  }

  get(eventId: string): string | undefined {
    const body = this.#bodies.get(eventId)
    if (body === undefined) return undefined
    this.#bodies.delete(eventId)
    this.#bodies.set(eventId, body)
    return body
  }

  set(eventId: string, body: string): void {
    if (this.#bodies.has(eventId) || body.length > this.#maxChars / 8) return
    this.#bodies.set(eventId, body)
    this.#chars += body.length
    for (const [oldest, old] of this.#bodies) {
      if (this.#chars <= this.#maxChars) break
      this.#bodies.delete(oldest)
      this.#chars -= old.length
    }
  }

  clear(): void {
    this.#bodies.clear()
    this.#chars = 0
  }
}
