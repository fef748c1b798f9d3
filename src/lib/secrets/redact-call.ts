import { isRawNumber } from '#lib/json/raw-number.ts'
import { PLACEHOLDER } from '#lib/template-text.ts'
import { headerValues, isCredential } from './echo.ts'
import { redact, REDACTED, redactText } from './redact.ts'

const MAX_DEPTH = 64
const USER_INFO = /^([a-z][a-z0-9+.-]*:)?\/\/[^/?#]*@/i

/**
 * Returns a copy of a flow's definition or of a step's request, with credentials hidden by their place, whatever
 * their names: all values of `headers`, and in a `url` the user, all values of the query and the fragment. All else
 * is treated as `redact` does.
 */
export function redactCall(value: unknown): unknown {
  return hidePlaces(redact(value), 0)
}

function hidePlaces(value: unknown, depth: number): unknown {
  if (Array.isArray(value)) return value.map((item) => hidePlaces(item, depth + 1))
  if (!isObject(value) || depth > MAX_DEPTH) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => {
      const place = name.toLowerCase()
      if (place === 'headers') return [name, hideValues(member)]
      if (place === 'url' && typeof member === 'string') return [name, redactUrl(member)]
      return [name, hidePlaces(member, depth + 1)]
    }),
  )
}

/** Of headers as an object, or as a list of pairs or of objects with `name` and `value`. */
function hideValues(headers: unknown): unknown {
  if (typeof headers === 'string') return headers === '' ? '' : REDACTED
  if (Array.isArray(headers)) return headers.map(hideEntry)
  if (!isObject(headers)) return headers
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, value === '' || value === null ? value : REDACTED]),
  )
}

function hideEntry(entry: unknown): unknown {
  if (Array.isArray(entry)) return entry.map((part: unknown, index) => (index === 0 ? part : REDACTED))
  if (!isObject(entry)) return REDACTED
  return Object.fromEntries(
    Object.entries(entry).map(([name, part]) => [name, /^(?:name|key)$/i.test(name) ? part : REDACTED]),
  )
}

/** Headers that say what is sent, and not by whom. */
const HARMLESS = new Set(['accept', 'accept-language', 'cache-control', 'content-type', 'user-agent'])

/** Returns whether a header's value may be shown, and kept, whatever it is. */
export function isHarmlessHeader(name: string): boolean {
  return HARMLESS.has(name.toLowerCase())
}

/** A name has no `?`: each begins a name of its own, or else many of them would each be looked behind. */
const QUERY_VALUE = /[?&][^=&?#]*=([^&#]*)/g

/**
 * Lists the parts of a request that its answer must not show: all values of its headers, and credentials in its URL.
 */
export function callSecrets({ headers, url }: { headers?: unknown; url?: unknown }): string[] {
  const sent = Object.entries(isObject(headers) ? headers : {}).flatMap(([name, value]) =>
    typeof value === 'string' && !isHarmlessHeader(name) ? [[name, value] as const] : [],
  )
  const query = typeof url === 'string' ? queryCredentials(url) : []
  return [...new Set([...headerValues(Object.fromEntries(sent)), ...query])]
}

/** Lists values of a URL's query that look like a credential, whatever they are called, as they stand and decoded. */
export function queryCredentials(url: string): string[] {
  return [...url.matchAll(QUERY_VALUE)]
    .flatMap(([, value = '']) => [value, decoded(value)])
    .filter(isCredential)
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** A URL, with or without placeholders, that shows where a call goes and no credential of it. */
export function redactUrl(url: string): string {
  // Placeholders may hold any character.
  const placeholders: string[] = []
  const plain = url
    .replaceAll('\u0000', '')
    .replace(PLACEHOLDER, (text) => `\u0000${placeholders.push(text) - 1}\u0000`)
  const [beforeFragment = '', ...fragment] = plain.split('#')
  const [path = '', ...query] = beforeFragment.split('?')
  const pairs = query.join('?').split('&').map(hidePair).join('&')
  const hidden =
    redactText(path.replace(USER_INFO, `$1//${REDACTED}@`)) +
    (query.length === 0 ? '' : `?${pairs}`) +
    (fragment.length === 0 ? '' : `#${REDACTED}`)
  return hidden.replace(/\u0000(\d+)\u0000/g, (_, index: string) => placeholders[Number(index)] ?? '')
}

function hidePair(pair: string): string {
  if (pair === '') return ''
  const end = pair.indexOf('=')
  return end === -1 ? REDACTED : `${pair.slice(0, end + 1)}${REDACTED}`
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isRawNumber(value)
}
