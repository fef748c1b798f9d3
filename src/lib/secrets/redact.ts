import { isRawNumber } from '#lib/json/raw-number.ts'

export const REDACTED = '[redacted]'

/**
 * Endings of names that hold a secret, without case and separators: `api_key` finds `apiKey` and `X-Api-Key`,
 * `token` finds `accessToken`, but not `token_type`.
 */
const SECRET_FIELD: readonly string[] = [
  'password',
  'passwd',
  'passphrase',
  'pwd',
  'secret',
  'secrets',
  'token',
  'tokens',
  'apikey',
  'accesskey',
  'privatekey',
  'secretkey',
  'signingkey',
  'masterkey',
  'encryptionkey',
  'authorization',
  'credential',
  'credentials',
  'cookie',
  'cookies',
  'cardnumber',
  'cvc',
  'cvv',
]

/**
 * Secrets that show what they are: signing secrets, our keys, and the text after Bearer or Basic, if it is too long
 * to be a word: "Basic subscription" is a product.
 */
const SECRET_TEXT = /\b(?:whsec_|bcs_)[A-Za-z0-9+/=_-]{8,}|\b(?:[Bb]earer|[Bb]asic) [A-Za-z0-9+/=._~-]{20,}/g
/** In front of a credential in a header: no secret. */
const SCHEME = /^(?:bearer|basic|token) +/i
const URL_IN_TEXT = /\b[a-z][a-z0-9+.-]{0,20}:\/\/[^\s"'<>]+/gi

/** Paths that let their holder do what they are for. The part after the first group is secret. */
const SECRET_PATHS: readonly RegExp[] = [
  /^(https?:\/\/hooks\.slack(?:-gov)?\.com\/(?:services|workflows|triggers)\/)[^?#]+/i,
  /^(https?:\/\/(?:[\w-]+\.)?discord(?:app)?\.com\/api\/(?:v\d+\/)?webhooks\/)[^?#]+/i,
  /^(https?:\/\/api\.telegram\.org\/(?:file\/)?bot)[^/?#]+/i,
  /^(https?:\/\/(?:[\w-]+\.){0,4}office(?:365)?\.com\/webhook(?:b2)?\/)[^?#]+/i,
  /^(https?:\/\/hooks\.zapier\.com\/hooks\/)[^?#]+/i,
  /^(https?:\/\/hook\.(?:[\w-]+\.)?(?:make|integromat)\.com\/)[^?#]+/i,
  /^(https?:\/\/maker\.ifttt\.com\/trigger\/[^/?#]+\/(?:json\/)?with\/key\/)[^?#]+/i,
  // Of others what looks like a credential, behind a segment that says so; our own inlets are among them.
  /(\/(?:hooks?|webhooks?|webhook-test|tokens?|keys?|secrets?|api[-_]?keys?)\/)(?=[^/?#]*\d)[\w~.:%=+-]{16,}/gi,
]
const QUERY_PAIR = /([?&])([^=&?#\s]{1,100})=([^&#\s]+)/g
/** Names of credentials that are also those of other things: a value as long as a credential is taken for one. */
const CREDENTIAL_IN_QUERY = /^(?:.*[_-])?(?:key|sig|signature|auth|sid|session)$/i
const CREDENTIAL_MIN_CHARS = 16

/** Keys that tell themselves, by how they begin: our own, and those of services that mark theirs. */
const KEY_TEXT =
  /\b(?:(?:whsec_|bcs_|[spr]k_(?:live|test)_|gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|shp(?:at|ca|pa|ss)_|sk-|SG\.|AIza|ya29\.|npm_|pypi-|dop_v1_|hf_)[A-Za-z0-9_.-]{16,}|(?:AKIA|ASIA)[A-Z0-9]{16}\b)/
/**
 * Signed tokens of three parts. Looking begins where a run of their characters does, and goes into one only if two
 * others follow it: so each character is looked at a few times, however many beginnings of tokens a run has.
 */
const SIGNED_TOKEN = /(?<![\w-])(?=[\w-]+\.[\w-]{10,}\.[\w-]{10})[\w-]*?\beyJ[\w-]{10,}\./

/** Tells that there is something in the text that is a key by its form. */
export function looksLikeKey(text: string): boolean {
  return KEY_TEXT.test(text) || SIGNED_TOKEN.test(text) || text.search(SECRET_TEXT) !== -1
}

const MAX_DEPTH = 64
/** Shorter secrets are found in other text by chance. */
export const SECRET_MIN_CHARS = 6

/** Returns whether values under this name are secret, by its ending. */
export function isSecretField(name: string): boolean {
  const plain = name.toLowerCase().replace(/[^a-z0-9]/g, '')
  return SECRET_FIELD.some((ending) => plain.endsWith(ending))
}

/**
 * Returns a copy without secrets, for logs and records: values of secret-looking names become `[redacted]`, and so do
 * secrets inside of other text. Booleans, null and empty text stay, since they only tell whether there is one.
 */
export function redact(value: unknown): unknown {
  return copy(value, new Set())
}

/**
 * Lists what stands under secret-looking names, to take it out of other text, too: a customer's note may repeat the
 * password that a field holds.
 */
export function secretValues(value: unknown): Set<string> {
  const found = new Set<string>()
  collect(value, false, new Set(), found)
  return found
}

/** Text without the secrets that tell themselves, credentials in URLs, and `known`; for values in objects, see `redact`. */
export function redactText(text: string, known: Iterable<string> = []): string {
  let result = text
  // A secret that holds another one goes first.
  for (const secret of [...known].sort((one, other) => other.length - one.length)) {
    if (secret !== '') result = result.replaceAll(secret, REDACTED)
  }
  return result.replace(SECRET_TEXT, REDACTED).replace(URL_IN_TEXT, withoutCredentials)
}

/** A URL without user, known secret-bearing paths and values of the query whose names tell. */
function withoutCredentials(url: string): string {
  const anonymous = url.includes('@') ? url.replace(/\/\/[^/?#]*@/, `//${REDACTED}@`) : url
  const pathless = SECRET_PATHS.reduce(
    (text, pattern) => text.replace(pattern, (_, shown: string) => shown + REDACTED),
    anonymous,
  )
  return pathless.replace(QUERY_PAIR, (pair, start: string, name: string, value: string) =>
    isSecretField(name) || (CREDENTIAL_IN_QUERY.test(name) && value.length >= CREDENTIAL_MIN_CHARS)
      ? `${start}${name}=${REDACTED}`
      : pair,
  )
}

function copy(value: unknown, ancestors: Set<object>): unknown {
  if (typeof value === 'string') return redactText(value)
  if (typeof value !== 'object' || value === null || value instanceof Date || isRawNumber(value)) return value
  if (ancestors.has(value) || ancestors.size === MAX_DEPTH) return '[omitted]'
  ancestors.add(value)
  const result = Array.isArray(value)
    ? value.map((item) => copy(item, ancestors))
    : Object.fromEntries(
        Object.entries(value).map(([name, member]) => [
          name,
          isSecretField(name) ? hide(member) : copy(member, ancestors),
        ]),
      )
  ancestors.delete(value)
  return result
}

function collect(value: unknown, isSecret: boolean, ancestors: Set<object>, found: Set<string>): void {
  if (typeof value !== 'object' || value === null || isRawNumber(value)) {
    if (isSecret && (typeof value === 'string' || typeof value === 'number' || isRawNumber(value))) {
      const text = isRawNumber(value) ? value.rawJSON : String(value)
      for (const part of [text, text.replace(SCHEME, '')])
        if (part.length >= SECRET_MIN_CHARS) found.add(part)
    }
    return
  }
  if (ancestors.has(value) || ancestors.size === MAX_DEPTH) return
  ancestors.add(value)
  for (const [name, member] of Object.entries(value)) {
    collect(member, isSecret || isSecretField(name), ancestors, found)
  }
  ancestors.delete(value)
}

function hide(value: unknown): unknown {
  return value === null || value === undefined || value === '' || typeof value === 'boolean'
    ? value
    : REDACTED
}
