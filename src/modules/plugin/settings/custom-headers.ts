import type { FieldError } from '#lib/api/problem.ts'
import { toPointer } from '#lib/json/index.ts'

const MAX_HEADERS = 10
const MAX_NAME_CHARS = 64
const MAX_VALUE_CHARS = 1024

/** What a receiver authenticates its callers by. Everything else of a request is the service's own to say. */
const ALLOWED = /^(?:authorization|x-[a-z0-9-]*[a-z0-9]|(?:[a-z0-9]+-)*api-?key)$/
/** `content-api-key` and `webhook-api-key` would pass above. */
const FORBIDDEN = /^(?:content|webhook|proxy)-/
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
  if (ALLOWED.test(name) && !FORBIDDEN.test(name)) return null
  return 'is not a header that can be set: authorization, x-… and …api-key are'
}

function valueFault(value: string): string | null {
  if (value.length > MAX_VALUE_CHARS) return `must be at most ${MAX_VALUE_CHARS} characters long`
  return PRINTABLE.test(value) ? null : 'must be printable ASCII, without spaces at its ends'
}
