import type { SafeSchema } from '#lib/schema/safe/index.ts'
import { isPlainObject } from '#lib/schema/safe/shape.ts'
import {
  HOOK_ALGORITHMS,
  HOOK_ANSWER_STATUSES,
  HOOK_ANSWER_TYPES,
  HOOK_ENCODINGS,
  HOOK_SCHEMES,
  type HookAnswer,
  type HookSignature,
  type HookVerification,
  type WebhookTrigger,
} from '../elements.ts'
import { readConnectionName, WEBHOOK_SECRET } from './connection.ts'
import {
  at,
  createReader,
  finish,
  has,
  type Reader,
  readChoice,
  readInteger,
  report,
  take,
} from './reader.ts'

const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$/
/** Credentials, and what proxies say of people. */
const HIDDEN_HEADERS = new RegExp(
  `^(?:${[
    ...['cookie', 'set-cookie', 'proxy-.+', 'x-forwarded-.+', 'forwarded', '.*hmac.*'],
    '(?:.*-)?(?:auth|authorization|token|secret|password|signature(?:-.+)?|api-?key|access-key)',
    '(?:.*-)?(?:client-ip|connecting-ip|real-ip)',
  ].join('|')})$`,
)
const MAX_HEADERS = 20
const MAX_TOLERANCE_SECONDS = 86_400
const MAX_PREFIX_CHARS = 40
const MAX_SIGNED_CHARS = 200
const MAX_TOPIC_CHARS = 2_048
const MAX_ANSWER_CHARS = 4_096
const PLACEHOLDERS = /\{(?:body|timestamp|id)\}/g
/** Schemes that sign the time of sending. */
const TIMED = new Set<string>(['standard_webhooks', 'stripe', 'slack'])

/** The members that a webhook trigger may have beside its filter, for builders. */
export const WEBHOOK_SCHEMA = {
  type: 'object',
  properties: {
    verify: {
      type: 'object',
      description: 'How a request shows who it is from. Left out: by the address alone.',
      properties: {
        scheme: { type: 'string', enum: [...HOOK_SCHEMES], default: 'standard_webhooks' },
        connection: { type: 'string', description: 'Of the kind webhook_secret, by name.' },
        tolerance_seconds: { type: 'integer', description: 'How far the time that is signed may be off.' },
        topic: { type: 'string', description: 'Of websub: the only one that may be subscribed to.' },
        header: { type: 'string', description: 'Of hmac: where the signature stands.' },
        algorithm: { type: 'string', enum: [...HOOK_ALGORITHMS], default: 'sha256' },
        encoding: { type: 'string', enum: [...HOOK_ENCODINGS], default: 'hex' },
        prefix: { type: 'string', description: 'Before the signature, such as sha256=.' },
        signed: { type: 'string', description: 'What is signed, such as {timestamp}.{body}.' },
        timestamp_header: { type: 'string', description: 'Has the time of sending.' },
        id_header: { type: 'string', description: 'Tells a delivery from others.' },
      },
      required: ['scheme', 'connection'],
    },
    answer: {
      type: 'object',
      description: 'What is answered once the request is stored. Left out: what became of it.',
      properties: {
        status: { type: 'integer', enum: [...HOOK_ANSWER_STATUSES], default: 200 },
        content_type: { type: 'string', enum: [...HOOK_ANSWER_TYPES], default: 'text/plain' },
        body: { type: 'string', description: 'As it is: no templates.' },
      },
    },
    headers: {
      type: 'array',
      items: { type: 'string' },
      description: 'More headers that trigger.headers has.',
    },
  },
} satisfies SafeSchema

/** Reads how a webhook is verified and answered, and what of it flows see. */
export function readWebhook(reader: Reader): Pick<WebhookTrigger, 'verify' | 'answer' | 'headers'> {
  const verify = readPart(reader, 'verify', readVerify)
  const answer = readPart(reader, 'answer', readAnswer)
  const headers = readHeaders(reader)
  return {
    ...(verify !== null && { verify }),
    ...(answer !== null && { answer }),
    ...(headers.length > 0 && { headers }),
  }
}

function readPart<Read>(reader: Reader, name: string, read: (part: Reader) => Read | null): Read | null {
  const members = take(reader, name)
  if (members === undefined) return null
  if (!isPlainObject(members)) {
    report(reader, 'malformed', at(reader, name), `Give "${name}" an object.`)
    return null
  }
  const { compilation, stepId, place } = reader
  const part = createReader(compilation, members, at(reader, name), stepId, place)
  const result = read(part)
  finish(part)
  return result
}

function readVerify(reader: Reader): HookVerification | null {
  const { name: connection, known } = readConnectionName(reader)
  if (take(reader, 'connection') === undefined) {
    const message = 'Add "connection", the name of one of the kind webhook_secret: it has the secret.'
    report(reader, 'missing_property', at(reader, 'connection'), message)
  } else if (known !== undefined && known.kind !== WEBHOOK_SECRET) {
    const message = `The connection "${connection}" is not of the kind webhook_secret.`
    report(reader, 'connection_kind', at(reader, 'connection'), message)
  }
  const given = take(reader, 'scheme')
  const scheme = HOOK_SCHEMES.find((each) => each === given)
  if (scheme === undefined) {
    const code = given === undefined ? 'missing_property' : 'invalid_value'
    report(reader, code, at(reader, 'scheme'), `Give "scheme" one of ${HOOK_SCHEMES.join(', ')}.`)
    // What the others are cannot be said without it.
    for (const name of Object.keys(WEBHOOK_SCHEMA.properties.verify.properties)) take(reader, name)
    return null
  }
  const verify: HookVerification = { scheme, connection: connection ?? '' }
  if (scheme === 'hmac') verify.hmac = readSignature(reader)
  if (scheme === 'websub' && has(reader, 'topic')) {
    const topic = readText(reader, 'topic', MAX_TOPIC_CHARS)
    if (topic !== null) verify.topic = topic
  }
  const isTimed = TIMED.has(scheme) || verify.hmac?.timestamp_header != null
  if (isTimed && has(reader, 'tolerance_seconds')) {
    const range = { min: 1, max: MAX_TOLERANCE_SECONDS, fallback: 300 }
    verify.tolerance_seconds = readInteger(reader, 'tolerance_seconds', range)
  }
  return verify
}

function readSignature(reader: Reader): HookSignature {
  const header = readHeaderName(reader, 'header')
  if (!has(reader, 'header')) {
    report(reader, 'missing_property', at(reader, 'header'), 'Add "header", the one that has the signature.')
  }
  const timestamp = readHeaderName(reader, 'timestamp_header')
  const usual = timestamp === null ? '{body}' : '{timestamp}.{body}'
  const id = readHeaderName(reader, 'id_header')
  const signed = has(reader, 'signed') ? (readText(reader, 'signed', MAX_SIGNED_CHARS) ?? usual) : usual
  const parts: string[] = signed.match(PLACEHOLDERS) ?? []
  const wanted: [part: string, needed: boolean, member: string][] = [
    ['{body}', true, 'signed'],
    // Else whoever has one delivery could send it again for ever, with another time.
    ['{timestamp}', timestamp !== null, 'timestamp_header'],
  ]
  for (const [part, isNeeded] of wanted) {
    if (isNeeded && !parts.includes(part)) {
      report(reader, 'invalid_value', at(reader, 'signed'), `Write ${part} into "signed", where it stands.`)
    }
  }
  if (parts.includes('{timestamp}') && timestamp === null) {
    const message = 'Add "timestamp_header", as "signed" has {timestamp}.'
    report(reader, 'missing_property', at(reader, 'timestamp_header'), message)
  }
  if (parts.includes('{id}') && id === null) {
    report(reader, 'missing_property', at(reader, 'id_header'), 'Add "id_header", as "signed" has {id}.')
  }
  return {
    header: header ?? '',
    algorithm: readChoice(reader, 'algorithm', HOOK_ALGORITHMS, 'sha256'),
    encoding: readChoice(reader, 'encoding', HOOK_ENCODINGS, 'hex'),
    prefix: has(reader, 'prefix') ? (readText(reader, 'prefix', MAX_PREFIX_CHARS) ?? '') : '',
    signed,
    timestamp_header: timestamp,
    id_header: id,
  }
}

function readAnswer(reader: Reader): HookAnswer {
  const status = take(reader, 'status') ?? 200
  const known = HOOK_ANSWER_STATUSES.find((each) => each === status)
  if (known === undefined) {
    const message = `Give "status" one of ${HOOK_ANSWER_STATUSES.join(', ')}.`
    report(reader, 'invalid_value', at(reader, 'status'), message)
  }
  const body = has(reader, 'body') ? (readText(reader, 'body', MAX_ANSWER_CHARS) ?? '') : ''
  if (known === 204 && body !== '') {
    report(reader, 'invalid_value', at(reader, 'body'), 'Remove "body", or answer 200: a 204 has none.')
  }
  const content_type = readChoice(reader, 'content_type', HOOK_ANSWER_TYPES, 'text/plain')
  return { status: known ?? 200, content_type, body }
}

function readHeaders(reader: Reader): string[] {
  const sent = take(reader, 'headers')
  if (sent === undefined) return []
  const path = at(reader, 'headers')
  if (!Array.isArray(sent) || sent.length > MAX_HEADERS) {
    report(reader, 'malformed', path, `Give "headers" a list of at most ${MAX_HEADERS} names.`)
    return []
  }
  return (sent as unknown[]).flatMap((name, index) => {
    const lower = typeof name === 'string' && HEADER_NAME.test(name) ? name.toLowerCase() : null
    if (lower !== null && !HIDDEN_HEADERS.test(lower)) return [lower]
    const message = 'Give the name of a header, and not of one with credentials or addresses.'
    report(reader, 'invalid_header', [...path, index], message)
    return []
  })
}

function readHeaderName(reader: Reader, member: string): string | null {
  const name = take(reader, member)
  if (name === undefined) return null
  if (typeof name === 'string' && HEADER_NAME.test(name)) return name.toLowerCase()
  report(reader, 'invalid_header', at(reader, member), `Give "${member}" a header's name.`)
  return null
}

function readText(reader: Reader, name: string, maxChars: number): string | null {
  const text = take(reader, name)
  if (typeof text === 'string' && text.length <= maxChars) return text
  report(reader, 'invalid_value', at(reader, name), `Give "${name}" text of at most ${maxChars} characters.`)
  return null
}
