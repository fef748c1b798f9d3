import { Buffer } from 'node:buffer'
import { isUuid } from '#lib/ids.ts'

export type CursorPart = string | number
export type CursorShape = 'uuid' | 'string' | 'integer'

/** Far above the length of `encodeCursor`'s texts of ids and times; bounds the work on a caller's text. */
const MAX_CURSOR_CHARS = 1024
const BASE64URL = /^[A-Za-z0-9_-]+$/

/** The sort key of the last row of a page, as opaque text for `?cursor=`. */
export function encodeCursor(parts: readonly CursorPart[]): string {
  return Buffer.from(JSON.stringify(parts)).toString('base64url')
}

/**
 * The parts that `encodeCursor` was given, or null when the text is not a cursor of this shape. Strings that
 * Postgres cannot take as text (NUL, lone surrogates) are malformed too.
 */
export function decodeCursor(text: string, shape: readonly CursorShape[]): CursorPart[] | null {
  if (text.length > MAX_CURSOR_CHARS || !BASE64URL.test(text)) return null
  let parts: unknown
  try {
    parts = JSON.parse(Buffer.from(text, 'base64url').toString())
  } catch {
    return null
  }
  if (!Array.isArray(parts) || parts.length !== shape.length) return null
  return shape.every((wanted, index) => fits(parts[index], wanted)) ? (parts as CursorPart[]) : null
}

function fits(part: unknown, wanted: CursorShape): boolean {
  if (wanted === 'integer') return Number.isSafeInteger(part)
  if (typeof part !== 'string') return false
  return wanted === 'uuid' ? isUuid(part) : part.isWellFormed() && !part.includes('\0')
}

/** One page of rows that were selected with `limit + 1`: the extra row only tells that there is a next page. */
export function page<T>(
  rows: T[],
  limit: number,
  key: (row: T) => readonly CursorPart[],
): { data: T[]; next_cursor: string | null } {
  if (rows.length <= limit) return { data: rows, next_cursor: null }
  const data = rows.slice(0, limit)
  const last = data.at(-1)
  return { data, next_cursor: last === undefined ? null : encodeCursor(key(last)) }
}
