import { isUuid } from '#lib/ids.ts'
import { isRawNumber } from '#lib/json/raw-number.ts'
import { TextSearch } from '#lib/text-search.ts'
import { isSecretField, REDACTED, SECRET_MIN_CHARS } from './redact.ts'

/** In front of a credential in a header: no secret. */
const SCHEME = /^[A-Za-z][A-Za-z0-9_-]{0,30} +(?=\S)/
/** A text as long as a credential, with letters and digits in one word, is taken for one. */
const CREDENTIAL = /^(?=.*[A-Za-z])(?=.*\d)[\x21-\x7e]{20,}$/
/** Digits may stand as a number in JSON, and must leave one behind. */
const DIGITS = /^\d+$/
/** As JSON may write any character, and as some must be. */
const ESCAPE = /\\(?:u([0-9a-f]{4})|([^u]))/gi
const UNIT = new RegExp(`${ESCAPE.source}|[^]`, 'gi')
const CONTROL: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }
/** Stands for bytes that are no character. */
const REPLACEMENT = 0xfffd
/** Of an escape without its end. */
const MAX_OPEN_UNITS = 5
const ESCAPE_MAX_CHARS = 6

/**
 * Returns the secrets in headers that may also say harmless things: a content type must not vanish from an answer.
 */
export function secretHeaderValues(headers: Readonly<Record<string, string>>): string[] {
  return Object.entries(headers).flatMap(([name, value]) =>
    isSecretField(name) || isCredential(value) ? forms(value) : [],
  )
}

/** Returns the secrets in headers that are secret as a whole. */
export function headerValues(headers: Readonly<Record<string, string>>): string[] {
  return Object.values(headers).flatMap(forms)
}

/** Tells whether a text looks like a credential. */
export function isCredential(text: string): boolean {
  return CREDENTIAL.test(text) && !isUuid(text)
}

/** A header's value, and the credential in it. */
function forms(value: string): string[] {
  return [value, value.replace(SCHEME, '')].filter((text) => text.length >= SECRET_MIN_CHARS)
}

/** Text of another side without secrets that it was sent and repeats, also as JSON may write them. */
export function withoutEchoes(text: string, secrets: readonly string[]): string {
  // Most headers are shorter than a credential, and its spelling in JSON is never shorter than the credential.
  const fits = (secret: string) => secret.length <= text.length
  if (text === '' || !secrets.some(fits)) return text
  let result = text
  let plain = unescaped(result)
  for (const secret of longestFirst(secrets.filter(fits))) {
    const search = new TextSearch(secret)
    const isWritten = search.indexIn(plain) !== -1
    if (!isWritten && (plain === result || search.indexIn(result) === -1)) continue
    const isNumber = DIGITS.test(secret)
    const find = isNumber ? numberPlaces : placesOf
    const by = isNumber ? '0' : REDACTED
    // Before the text as it is: half of an escape must not be left behind.
    if (isWritten && plain !== result) result = withoutWritten(result, find(plain, secret), secret.length, by)
    result = without(result, find(result, secret), secret.length, by)
    plain = unescaped(result)
  }
  return result
}

/** The same for text that was cut somewhere: a beginning of a secret is taken off its end. */
export function withoutCutEcho(text: string, secrets: readonly string[]): string {
  const clean = withoutEchoes(text, secrets)
  const whole = clean.slice(0, endOfWhole(clean))
  const from = unitBefore(whole, Math.max(...secrets.map(({ length }) => length), 0) + MAX_OPEN_UNITS)
  const units: string[] = whole.slice(from).match(UNIT) ?? []
  // Half of an escape.
  const open = units.lastIndexOf('\\')
  if (open !== -1 && open >= units.length - MAX_OPEN_UNITS) units.length = open
  const plain = unescaped(units.join(''))
  let end = clean.length
  for (const secret of secrets) {
    const asItIs = beginningAtEnd(whole, secret)
    if (asItIs > 0) end = Math.min(end, whole.length - asItIs)
    const written = beginningAtEnd(plain, secret)
    if (written > 0) end = Math.min(end, from + units.slice(0, -written).join('').length)
  }
  return clean.slice(0, end)
}

/** The same for a value, of which only texts are looked at, and numbers that are a secret as a whole. */
export function valueWithoutEchoes(value: unknown, secrets: readonly string[]): unknown {
  if (secrets.length === 0) return value
  if (typeof value === 'string') return withoutEchoes(value, secrets)
  if (typeof value === 'number') return secrets.includes(String(value)) ? REDACTED : value
  if (isRawNumber(value)) return secrets.includes(value.rawJSON) ? REDACTED : value
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  if (Array.isArray(value)) return value.map((item) => valueWithoutEchoes(item, secrets))
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      withoutEchoes(name, secrets),
      valueWithoutEchoes(member, secrets),
    ]),
  )
}

/** One that holds another goes first. */
function longestFirst(secrets: readonly string[]): string[] {
  return [...new Set(secrets)]
    .filter((secret) => secret !== '')
    .sort((one, other) => other.length - one.length)
}

/**
 * Replaces the escapes of a JSON text by their characters. The result has as many characters as the text has matches
 * of `UNIT`.
 */
function unescaped(text: string): string {
  if (!text.includes('\\')) return text
  return text.replace(ESCAPE, (_, hex: string | undefined, letter: string) =>
    hex === undefined ? (CONTROL[letter] ?? letter) : String.fromCharCode(parseInt(hex, 16)),
  )
}

/** Finds the places of a secret, one behind the other, in time linear in the text. */
function placesOf(text: string, secret: string): number[] {
  const search = new TextSearch(secret)
  const places: number[] = []
  for (let at = search.indexIn(text); at !== -1; at = search.indexIn(text, at + secret.length))
    places.push(at)
  return places
}

/** The same of digits: those of a longer number are none. */
function numberPlaces(text: string, digits: string): number[] {
  const found = text.matchAll(new RegExp(`(?<!\\d|\\d\\.)${digits}(?!\\d|\\.\\d)`, 'g'))
  return Array.from(found, ({ index }) => index)
}

function without(text: string, places: readonly number[], length: number, by: string): string {
  if (places.length === 0) return text
  const before = places.map((at, index) =>
    text.slice(index === 0 ? 0 : (places[index - 1] ?? 0) + length, at),
  )
  return [...before, text.slice((places.at(-1) ?? 0) + length)].join(by)
}

/** @param places in the text without escapes, counted in its characters */
function withoutWritten(text: string, places: readonly number[], length: number, by: string): string {
  const units = text.match(UNIT) ?? []
  let from = 0
  const before = places.map((at) => {
    const part = units.slice(from, at).join('')
    from = at + length
    return part
  })
  return [...before, units.slice(from).join('')].join(by)
}

/** Returns the position at which the replacement of half a character at a text's end begins. */
function endOfWhole(text: string): number {
  let end = text.length
  while (end > 0 && text.charCodeAt(end - 1) === REPLACEMENT) end--
  return end
}

/** Returns the start of a character or an escape that has at least so many of them behind it, if there are. */
function unitBefore(text: string, units: number): number {
  let at = Math.max(0, text.length - units * ESCAPE_MAX_CHARS)
  // Right behind a backslash nothing begins for sure.
  for (;;) {
    const slash = at === 0 ? -1 : text.lastIndexOf('\\', at - 1)
    if (slash === -1 || slash < at - ESCAPE_MAX_CHARS) return at
    at = slash
  }
}

/** Characters at a text's end that are a secret's beginning, as many as there are (Knuth, Morris and Pratt). */
function beginningAtEnd(text: string, secret: string): number {
  if (secret === '') return 0
  /** By length of a beginning: the longest shorter one that it ends with. */
  const shorter = [0, 0]
  const next = (matched: number, character: string): number => {
    let length = matched
    while (length > 0 && secret[length] !== character) length = shorter[length] ?? 0
    return secret[length] === character ? length + 1 : length
  }
  for (let at = 1; at < secret.length; at++) shorter.push(next(shorter[at] ?? 0, secret[at] ?? ''))
  let matched = 0
  for (let at = Math.max(0, text.length - secret.length); at < text.length; at++) {
    matched = next(matched, text[at] ?? '')
  }
  return matched
}
