import type { FieldError } from '#lib/api/problem.ts'
import { toPointer } from '#lib/json/index.ts'

const MAX_HEADERS = 10
const MAX_NAME_CHARS = 64
const MAX_VALUE_CHARS = 1024

/** What the service says itself, what belongs to the connection, and names that are none to JavaScript. */
const RESERVED =
  /^(?:accept|accept-encoding|user-agent|host|connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect|http2-settings|content-.+|webhook-.+|proxy-.+|x-causation-(?:id|depth)|constructor|prototype|__proto__)$/
const TOKEN = /^[a-z0-9!#$%&'*+.^_`|~-]+$/
const PRINTABLE = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/

/** Custom request headers with lower-case names, and what is wrong with them. */
export function readHeaders(given: Readonly<Record<string, string>>): {
  headers: Record<string, string>
  errors: FieldError[]
} {
  const headers: Record<string, string> = {}
  const errors: FieldError[] = []
  const names = Object.keys(given)
  if (names.length > MAX_HEADERS) {
    return { headers, errors: [{ pointer: '/headers', detail: `must have at most ${MAX_HEADERS} entries` }] }
  }
  for (const given_name of names) {
    const name = given_name.toLowerCase()
    const value = given[given_name] ?? ''
    const detail = nameFault(name) ?? (Object.hasOwn(headers, name) ? 'is given twice' : valueFault(value))
    if (detail === null) headers[name] = value
    else errors.push({ pointer: toPointer(['headers', given_name.slice(0, MAX_NAME_CHARS)]), detail })
  }
  return { headers, errors }
}

function nameFault(name: string): string | null {
  if (name.length > MAX_NAME_CHARS) return `must have a name of at most ${MAX_NAME_CHARS} characters`
  if (!TOKEN.test(name)) return 'is not the name of a header'
  return RESERVED.test(name) ? 'is a header that the service or the connection sets: choose another' : null
}

function valueFault(value: string): string | null {
  if (value.length > MAX_VALUE_CHARS) return `must be at most ${MAX_VALUE_CHARS} characters long`
  return PRINTABLE.test(value) ? null : 'must be printable ASCII, without spaces at its ends'
}
