import { util } from 'undici'

const HEADERS_KEPT = 50
const HEADER_NAME_KEPT = 128
const HEADER_VALUE_KEPT = 1_024

/** undici's raw pairs as a bounded record: lower-case names, repeated ones joined with a comma. */
export function readHeaders(raw: readonly Buffer[]): Record<string, string> {
  const headers: Record<string, string> = {}
  const end = Math.min(raw.length, HEADERS_KEPT * 2)
  for (let index = 0; index + 1 < end; index += 2) {
    const rawName = raw[index]
    const rawValue = raw[index + 1]
    if (rawName === undefined || rawValue === undefined || rawName.length > HEADER_NAME_KEPT) continue
    const name = util.headerNameToString(rawName)
    const value = rawValue.toString('latin1', 0, HEADER_VALUE_KEPT)
    const before = headers[name]
    // Names like "constructor" are inherited, not repeated.
    if (before === undefined || !Object.hasOwn(headers, name)) headers[name] = value
    else headers[name] = `${before}, ${value}`.slice(0, HEADER_VALUE_KEPT)
  }
  return headers
}

/** Tells whether there may have been more of a header's value. */
export function isCutHeader(value: string): boolean {
  return value.length >= HEADER_VALUE_KEPT
}

/**
 * `Retry-After` in milliseconds from now: seconds or an HTTP date (RFC 9110, 10.2.3). Null if it is absent
 * or neither.
 */
export function readRetryAfter(value: string | undefined, now = Date.now()): number | null {
  if (value === undefined) return null
  const text = value.trim()
  if (/^\d+$/.test(text)) return Math.min(Number(text) * 1_000, Number.MAX_SAFE_INTEGER)
  if (!/^[A-Za-z]+, ?\d/.test(text) && !/^[A-Za-z]{3} /.test(text)) return null
  const date = Date.parse(text)
  return Number.isNaN(date) ? null : Math.max(0, date - now)
}

/**
 * The first bytes of a body. They are copied together from the second chunk on: a peer that sends single
 * bytes would otherwise cost a Buffer object, some hundred bytes, for each.
 */
export class BodyStart {
  readonly #limit: number
  #bytes: Buffer | null = null
  #length = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  append(chunk: Buffer): void {
    const added = Math.min(chunk.length, this.#limit - this.#length)
    if (added <= 0) return
    if (this.#bytes === null) {
      this.#bytes = chunk.subarray(0, added)
    } else {
      const needed = this.#length + added
      // The first chunk is the parser's and always full, so this never writes into it.
      if (needed > this.#bytes.length) {
        const size = Math.min(this.#limit, Math.max(needed, this.#bytes.length * 2, 256))
        const grown = Buffer.allocUnsafeSlow(size)
        this.#bytes.copy(grown, 0, 0, this.#length)
        this.#bytes = grown
      }
      chunk.copy(this.#bytes, this.#length, 0, added)
    }
    this.#length += added
  }

  /** As text that Postgres can store and that is no longer than the limit, and whether that cost anything. */
  read(): { text: string; cut: boolean } {
    if (this.#bytes === null) return { text: '', cut: false }
    const text = this.#bytes.toString('utf8', 0, this.#length).replaceAll('\0', '\ufffd')
    // Every replaced byte became three.
    const cut = cutToBytes(text, this.#limit)
    return { text: cut, cut: cut.length < text.length }
  }
}

/** As much of a text as its UTF-8 may have bytes, whole characters. */
export function cutToBytes(text: string, limit: number): string {
  if (text.length * 3 <= limit) return text
  const encoded = Buffer.from(text)
  if (encoded.length <= limit) return text
  let end = limit
  while (end > 0 && ((encoded[end] ?? 0) & 0xc0) === 0x80) end -= 1
  return encoded.toString('utf8', 0, end)
}
