import { Buffer } from 'node:buffer'
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { parseGivenSecret } from '#lib/secrets/signature.ts'
import type { HookScheme, HookSignature, HookVerification } from '#lib/flow/types.ts'

/** A request as it came. */
export interface SentRequest {
  headers: IncomingHttpHeaders
  query: unknown
  bytes: Buffer
}

/** Why a request is not taken: what of it, by a pointer, and what is wrong with that. Nothing of what would be right. */
export interface VerificationFault {
  pointer: string
  detail: string
}

/** Describes how a scheme signs. */
interface Recipe extends Omit<HookSignature, 'algorithm'> {
  /** Null: the header says which. */
  algorithm: string | null
  /** Reads the header; null: it is not of the form. */
  split: (value: string) => Split | null
  /** Shows people the form of the header. */
  form: string
  keysOf: (secret: string) => (string | Buffer)[]
  toleranceSeconds: number
}

interface Split {
  signatures: string[]
  algorithm?: string
  timestamp?: string
}

const VALUE_MAX_CHARS = 4_096
const SIGNATURES_MAX = 20
const TOLERANCE_SECONDS = 300
/** Times of so many digits are milliseconds. */
const MILLISECONDS_DIGITS = 12
const STANDARD_PREFIX = 'whsec_'
const BEARER = /^Bearer +(\S+)$/i

const USUAL = {
  algorithm: 'sha256',
  encoding: 'hex',
  prefix: '',
  signed: '{body}',
  timestamp_header: null,
  id_header: null,
} as const satisfies Omit<HookSignature, 'header'>

const RECIPES: Record<Exclude<HookScheme, 'cloudevents' | 'hmac'>, Recipe> = {
  standard_webhooks: {
    ...recipeOf({
      header: 'webhook-signature',
      algorithm: 'sha256',
      encoding: 'base64',
      prefix: 'v1,',
      signed: '{id}.{timestamp}.{body}',
      timestamp_header: 'webhook-timestamp',
      id_header: 'webhook-id',
    }),
    split: (value) => listed(value.split(' '), 'v1,'),
    keysOf: standardKeys,
  },
  shopify: recipeOf({
    ...USUAL,
    header: 'x-shopify-hmac-sha256',
    encoding: 'base64',
    id_header: 'x-shopify-webhook-id',
  }),
  stripe: {
    ...recipeOf({ ...USUAL, header: 'stripe-signature', signed: '{timestamp}.{body}' }),
    split: splitStripe,
    form: 't=<seconds>,v1=<hex>',
  },
  github: recipeOf({
    ...USUAL,
    header: 'x-hub-signature-256',
    prefix: 'sha256=',
    id_header: 'x-github-delivery',
  }),
  slack: recipeOf({
    ...USUAL,
    header: 'x-slack-signature',
    prefix: 'v0=',
    signed: 'v0:{timestamp}:{body}',
    timestamp_header: 'x-slack-request-timestamp',
  }),
  woocommerce: recipeOf({
    ...USUAL,
    header: 'x-wc-webhook-signature',
    encoding: 'base64',
    id_header: 'x-wc-webhook-delivery-id',
  }),
  meta: recipeOf({ ...USUAL, header: 'x-hub-signature-256', prefix: 'sha256=' }),
  websub: {
    ...recipeOf({ ...USUAL, header: 'x-hub-signature' }),
    algorithm: null,
    split: (value) => {
      const [, algorithm, signature] = /^(sha1|sha256|sha384|sha512)=(.*)$/.exec(value) ?? []
      return algorithm === undefined || signature === undefined
        ? null
        : { signatures: [signature], algorithm }
    },
    form: 'sha256=<hex>',
  },
}

/**
 * Says why a request is not by whom the inlet takes it from; null: it is. Looks at the body's bytes, before anything
 * reads them.
 *
 * @param secrets any of which may be the one
 */
export function verificationFault(
  verify: HookVerification,
  secrets: readonly string[],
  request: SentRequest,
  nowSeconds: number,
): VerificationFault | null {
  if (verify.scheme === 'cloudevents') return tokenFault(secrets, request)
  const recipe = verify.scheme === 'hmac' ? ofTrigger(verify) : RECIPES[verify.scheme]
  return signatureFault(recipe, secrets, request, {
    nowSeconds,
    toleranceSeconds: verify.tolerance_seconds ?? recipe.toleranceSeconds,
    alias: aliasOf(verify.scheme, request.headers),
  })
}

/**
 * Returns what tells a delivery that is verified from others, by the scheme; null: nothing does. A repetition of the
 * delivery has the same, if not always the same body.
 */
export function deliveryId(
  verify: HookVerification,
  headers: IncomingHttpHeaders,
  body: unknown,
): string | null {
  const { scheme } = verify
  if (scheme === 'stripe') return memberOf(body, 'id')
  if (scheme === 'slack') return memberOf(body, 'event_id')
  if (scheme === 'cloudevents') {
    const id = headerOf(headers, 'ce-id') ?? memberOf(body, 'id')
    const source = headerOf(headers, 'ce-source') ?? memberOf(body, 'source')
    return id === null || source === null ? null : `${source} ${id}`
  }
  // Has no id: the same bytes are the same notification.
  if (scheme === 'meta') return signatureOf(RECIPES.meta, headers)
  const name = scheme === 'hmac' ? verify.hmac?.id_header : RECIPES[scheme].id_header
  if (name == null) return null
  const id = headerOf(headers, aliasOf(scheme, headers)(name))
  if (scheme !== 'woocommerce' || id === null) return id
  // Made of the webhook and the second: two orders of one second have the same.
  return `${id} ${signatureOf(RECIPES.woocommerce, headers)}`
}

/** Compares what is secret with what came, in a time that says nothing of either. */
export function isSameSecret(secret: string, given: string): boolean {
  const [one, other] = [secret, given].map((text) => createHash('sha256').update(text).digest())
  return timingSafeEqual(one as Buffer, other as Buffer)
}

/** In one spelling, however it was sent. */
function signatureOf({ header, prefix, encoding }: Recipe, headers: IncomingHttpHeaders): string | null {
  const value = headerOf(headers, header)
  return value === null ? null : Buffer.from(value.slice(prefix.length), encoding).toString('hex')
}

interface Clock {
  nowSeconds: number
  toleranceSeconds: number
  /** Returns the sender's name of a header. */
  alias: (name: string) => string
}

function signatureFault(
  recipe: Recipe,
  secrets: readonly string[],
  { headers, bytes }: SentRequest,
  { nowSeconds, toleranceSeconds, alias }: Clock,
): VerificationFault | null {
  const header = alias(recipe.header)
  const value = headerOf(headers, header)
  if (value === null) return faultOf(header, 'is missing')
  if (value.length > VALUE_MAX_CHARS) {
    return faultOf(header, `must have at most ${VALUE_MAX_CHARS} characters`)
  }
  const split = recipe.split(value)
  if (split === null) return faultOf(header, `must be of the form ${recipe.form}`)
  const parts: Record<string, string> = {}
  if (recipe.signed.includes('{timestamp}')) {
    const from = recipe.timestamp_header === null ? header : alias(recipe.timestamp_header)
    const timestamp = split.timestamp ?? headerOf(headers, from)
    if (timestamp === null) return faultOf(from, 'is missing')
    const fault = timeFault(timestamp, nowSeconds, toleranceSeconds)
    if (fault !== null) return faultOf(from, fault)
    parts['timestamp'] = timestamp
  }
  if (recipe.signed.includes('{id}')) {
    const from = alias(recipe.id_header ?? '')
    const id = headerOf(headers, from)
    if (id === null) return faultOf(from, 'is missing')
    parts['id'] = id
  }
  const algorithm = split.algorithm ?? recipe.algorithm ?? 'sha256'
  const given = split.signatures
    .slice(0, SIGNATURES_MAX)
    .map((signature) => Buffer.from(signature, recipe.encoding))
  let isRight = false
  for (const key of secrets.flatMap(recipe.keysOf)) {
    // Anybody signs with that.
    if (key.length === 0) continue
    const hmac = createHmac(algorithm, key)
    for (const part of recipe.signed.split(/(\{(?:body|timestamp|id)\})/)) {
      const name = /^\{(\w+)\}$/.exec(part)?.[1]
      hmac.update(name === 'body' ? bytes : name === undefined ? part : (parts[name] ?? part))
    }
    const expected = hmac.digest()
    for (const signature of given) {
      if (signature.length === expected.length && timingSafeEqual(signature, expected)) isRight = true
    }
  }
  const detail = 'does not match: it was made with another secret, or the body was changed on its way'
  return isRight ? null : faultOf(header, detail)
}

function tokenFault(secrets: readonly string[], { headers, query }: SentRequest): VerificationFault | null {
  const header = headerOf(headers, 'authorization')
  const given = header === null ? memberOf(query, 'access_token') : (BEARER.exec(header)?.[1] ?? '')
  if (given === null) return faultOf('authorization', 'is missing, and so is the parameter access_token')
  const isRight = given !== '' && secrets.map((secret) => isSameSecret(secret, given)).includes(true)
  if (isRight) return null
  const detail = 'must be Bearer with the token'
  return header === null
    ? { pointer: '/query/access_token', detail: 'is not the token' }
    : faultOf('authorization', detail)
}

function timeFault(timestamp: string, nowSeconds: number, toleranceSeconds: number): string | null {
  if (!/^\d{1,15}$/.test(timestamp)) return 'must be a time in seconds since 1970'
  const isMilliseconds = timestamp.length >= MILLISECONDS_DIGITS
  const off = nowSeconds - Number(timestamp) / (isMilliseconds ? 1_000 : 1)
  if (Math.abs(off) <= toleranceSeconds) return null
  const where = off > 0 ? 'before' : 'after'
  return `is more than ${toleranceSeconds} seconds ${where} this service's time`
}

function recipeOf(signature: HookSignature): Recipe {
  const { prefix, encoding } = signature
  return {
    ...signature,
    split: (value) => (value.startsWith(prefix) ? { signatures: [value.slice(prefix.length)] } : null),
    form: `${prefix}<${encoding}>`,
    keysOf: (secret) => [secret],
    toleranceSeconds: TOLERANCE_SECONDS,
  }
}

function ofTrigger({ hmac }: HookVerification): Recipe {
  if (hmac === undefined) throw new Error('a trigger of the scheme hmac says nothing of its signature')
  return recipeOf(hmac)
}

function splitStripe(value: string): Split | null {
  const pairs = value.split(',').map((pair) => pair.trim())
  const timestamp = pairs.find((pair) => pair.startsWith('t='))?.slice(2)
  const split = listed(pairs, 'v1=')
  return timestamp === undefined || split === null ? null : { ...split, timestamp }
}

function listed(values: readonly string[], prefix: string): Split | null {
  const signatures = values.filter((each) => each.startsWith(prefix)).map((each) => each.slice(prefix.length))
  return signatures.length === 0 ? null : { signatures }
}

/** The secret is base64 behind `whsec_`, or without; some senders sign with the text itself. */
function standardKeys(secret: string): (string | Buffer)[] {
  const key = parseGivenSecret(secret)
  const text = secret.startsWith(STANDARD_PREFIX) ? [] : [secret]
  return key === null ? text : [key, ...text]
}

/** Svix sends Standard Webhooks under names of its own. */
function aliasOf(scheme: HookScheme, headers: IncomingHttpHeaders): (name: string) => string {
  const isSvix =
    scheme === 'standard_webhooks' &&
    headers['webhook-signature'] === undefined &&
    headers['svix-signature'] !== undefined
  return (name) => (isSvix ? name.replace(/^webhook-/, 'svix-') : name)
}

function headerOf(headers: IncomingHttpHeaders, name: string): string | null {
  const value = headers[name]
  return typeof value === 'string' && value !== '' ? value : null
}

function memberOf(value: unknown, name: string): string | null {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return null
  const member = (value as Record<string, unknown>)[name]
  return typeof member === 'string' && member !== '' ? member : null
}

function faultOf(header: string, detail: string): VerificationFault {
  return { pointer: `/headers/${header}`, detail }
}
