import { isUuid } from '#lib/ids.ts'
import { isRawNumber } from '#lib/json/raw-number.ts'
import { isSecretField, REDACTED, SECRET_MIN_CHARS } from './redact.ts'

/** In front of a credential in a header: no secret. */
const SCHEME = /^[A-Za-z][A-Za-z0-9_-]{0,30} +(?=\S)/
/** What is as long as a credential, with letters and digits in one word, is taken for one. */
const CREDENTIAL = /^(?=.*[A-Za-z])(?=.*\d)[\x21-\x7e]{20,}$/
/** Digits may stand as a number in JSON, and must leave one behind. */
const DIGITS = /^\d+$/

/** What is secret in headers that may also say harmless things: a content type must not vanish from an answer. */
export function secretHeaderValues(headers: Readonly<Record<string, string>>): string[] {
  return Object.entries(headers).flatMap(([name, value]) =>
    isSecretField(name) || isCredential(value) ? forms(value) : [],
  )
}

/** What is secret in headers that are secret as a whole. */
export function headerValues(headers: Readonly<Record<string, string>>): string[] {
  return Object.values(headers).flatMap(forms)
}

/** Whether a text looks like a credential. */
export function isCredential(text: string): boolean {
  return CREDENTIAL.test(text) && !isUuid(text)
}

/** A header's value, and the credential in it. */
function forms(value: string): string[] {
  return [value, value.replace(SCHEME, '')].filter((text) => text.length >= SECRET_MIN_CHARS)
}

/** Text of another side without secrets that it was sent and repeats, also as JSON writes them. */
export function withoutEchoes(text: string, secrets: readonly string[]): string {
  if (text === '' || secrets.length === 0) return text
  const written = new Set(secrets.flatMap((secret) => [secret, asJson(secret), escapedSlashes(secret)]))
  let result = text
  // One that holds another goes first.
  for (const secret of [...written].sort((one, other) => other.length - one.length)) {
    if (!result.includes(secret)) continue
    result = DIGITS.test(secret)
      ? result.replace(new RegExp(`(?<![\\d.])${secret}(?![\\d.])`, 'g'), '0')
      : result.replaceAll(secret, REDACTED)
  }
  return result
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

function asJson(secret: string): string {
  return JSON.stringify(secret).slice(1, -1)
}

function escapedSlashes(secret: string): string {
  return asJson(secret).replaceAll('/', '\\/')
}
