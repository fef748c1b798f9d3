import type { FieldError } from '#lib/api/problem.ts'
import { toPointer } from '#lib/json/index.ts'

const MAX_HEADERS = 10
const MAX_NAME_CHARS = 64
const MAX_VALUE_CHARS = 1024

/** Headers that the service sends itself, those of the connection, and names that are none to JavaScript. */
const RESERVED =
  /^(?:accept|accept-encoding|user-agent|host|connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect|http2-settings|content-.+|webhook-.+|proxy-.+|x-causation-(?:id|depth|token)|constructor|prototype|__proto__)$/
const TOKEN = /^[a-z0-9!#$%&'*+.^_`|~-]+$/
const PRINTABLE = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/

/** Returns what is wrong with custom request headers. */
export function checkHeaders(given: Readonly<Record<string, string>>): FieldError[] {
  const names = Object.keys(given)
  if (names.length > MAX_HEADERS) {
    return [{ pointer: '/headers', detail: `must have at most ${MAX_HEADERS} entries` }]
  }
  const seen = new Set<string>()
  return names.flatMap((givenName) => {
    const name = givenName.toLowerCase()
    const detail = nameFault(name) ?? (seen.has(name) ? 'is given twice' : valueFault(given[givenName] ?? ''))
    if (detail !== null) {
      return [{ pointer: toPointer(['headers', givenName.slice(0, MAX_NAME_CHARS)]), detail }]
    }
    seen.add(name)
    return []
  })
}

export function lowerCaseNames(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
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
