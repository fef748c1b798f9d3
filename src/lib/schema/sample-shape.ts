import { isRawNumber } from '#lib/json/raw-number.ts'
import { TEXT, TEXT_OF_FORMAT } from './sample-schema.ts'
import { SCHEMA_FORMATS } from './safe/shape.ts'
import { validate } from './safe/index.ts'

/** Deeper parts are left out: builders offer paths, and nobody writes longer ones. */
const MAX_DEPTH = 8
/** About how many bytes of JSON a shape has at most. */
const MAX_BYTES = 8 * 1024
/** Bytes of a placeholder, with quotes, colon and comma. */
const VALUE_BYTES = 44
/** Longer text has no format that is worth looking for. */
const MAX_FORMATTED_CHARS = 256

/** Keys of a map (an address, a number, an id) are values themselves, and left out. */
const MEMBER_NAME = /^[a-z_][a-z0-9_-]{0,63}$/i
const ID_LIKE = /\d{4}|[0-9a-f]{8}-[0-9a-f]{4}/i
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
const NUMERAL = /^-?\d{1,32}(?:\.\d{1,32})?$/

const NIL_UUID = '00000000-0000-0000-0000-000000000000'

/**
 * Returns the object with the names of its members and a placeholder of the same kind for every value: conditions and
 * templates are built by it, and it shows nothing that was sent. Of a list the first item stands for all.
 */
export function shapeOf(data: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return shapeObject(data, 1, { left: MAX_BYTES })
}

interface Budget {
  left: number
}

function shapeObject(
  object: Readonly<Record<string, unknown>>,
  depth: number,
  budget: Budget,
): Record<string, unknown> {
  const members: [string, unknown][] = []
  for (const name in object) {
    if (!MEMBER_NAME.test(name) || ID_LIKE.test(name)) continue
    budget.left -= name.length + VALUE_BYTES
    if (budget.left < 0) break
    members.push([name, shape(object[name], depth + 1, budget)])
  }
  return Object.fromEntries(members)
}

function shape(value: unknown, depth: number, budget: Budget): unknown {
  if (typeof value === 'string') return placeholderOf(value)
  if (typeof value === 'number') return Number.isInteger(value) ? 1 : 1.5
  if (typeof value === 'boolean') return true
  if (value === null || value === undefined) return null
  if (isRawNumber(value)) return /[.e]/i.test(value.rawJSON) ? 1.5 : 1
  if (Array.isArray(value)) {
    if (value.length === 0 || depth > MAX_DEPTH) return []
    budget.left -= VALUE_BYTES
    return [shape(value[0], depth + 1, budget)]
  }
  return depth > MAX_DEPTH ? {} : shapeObject(value as Record<string, unknown>, depth, budget)
}

function placeholderOf(text: string): string {
  if (text.length > MAX_FORMATTED_CHARS) return TEXT
  if (NUMERAL.test(text)) return '1'
  if (UUID.test(text)) return NIL_UUID
  const format = SCHEMA_FORMATS.find((each) => validate({ type: 'string', format: each }, text).length === 0)
  return format === undefined ? TEXT : TEXT_OF_FORMAT[format]
}
