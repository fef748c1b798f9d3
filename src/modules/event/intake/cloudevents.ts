import { createHash } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { isEventType } from '#lib/event-pattern.ts'
import { numberOf } from '#lib/json/index.ts'
import type { FieldError } from '#lib/api/problem.ts'
import { type Causation, fromText, readCausation } from './causation.ts'
import { isSourceId, MAX_SOURCE_ID_CHARS } from './compose.ts'
import { type GivenEvent, isEventTime, isObject, TIMESTAMP_RULE } from './parse.ts'

/**
 * CloudEvents 1.0 (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md), JSON format and HTTP
 * binding: type → event, data → data, source and id → the source id, time → timestamp, the extensions causationid and
 * causationdepth → causation, causationtoken → its token. All other attributes are kept beside the data and delivered with it.
 */
export const STRUCTURED = /^application\/cloudevents\+json(?:\s*;|$)/i
export const BATCHED = /^application\/cloudevents-batch\+json(?:\s*;|$)/i
/** The content type of data in binary mode: JSON under a name of its own. */
export const JSON_LIKE = /^application\/[\w.+-]+\+json(?:\s*;|$)/i

/** Of one attribute; `source` and `id` together may be longer than our own ids. */
const MAX_ATTRIBUTE_CHARS = 2_048
const ATTRIBUTE_RULE = `must be 1 to ${MAX_ATTRIBUTE_CHARS} printable characters`
const TYPE_RULE =
  'must be letters, digits, underscores, hyphens and slashes in segments joined by dots, at most 128 characters'
const JSON_TYPE = /^application\/(?:[\w.+-]+\+)?json(?:\s*;|$)/i
const ATTRIBUTE_NAME = /^[a-z0-9]{1,64}$/
const MAX_ATTRIBUTES = 64
const HEADER_PREFIX = 'ce-'

type Attributes = Record<string, unknown>
type PointerTo = (name: string) => string

/** One CloudEvent of the JSON format, or every attribute that is wrong; pointers start at `base`. */
export function readCloudEvent(value: unknown, base: string): GivenEvent | FieldError[] {
  if (!isObject(value)) return [{ pointer: base, detail: 'must be object' }]
  const { data, data_base64: base64, ...attributes } = value
  const errors: FieldError[] = []
  if (base64 !== undefined) {
    errors.push({ pointer: `${base}/data_base64`, detail: 'is not taken: send JSON in data' })
  }
  if (data != null && !isObject(data)) errors.push({ pointer: `${base}/data`, detail: 'must be object' })
  return read(
    present(attributes),
    (data ?? {}) as Record<string, unknown>,
    errors,
    (name) => `${base}/${name}`,
  )
}

/** Binary mode: the attributes are headers, the body is the data. */
export function isBinaryCloudEvent(headers: FastifyRequest['headers']): boolean {
  return headers['ce-specversion'] !== undefined
}

export function readBinaryCloudEvent(
  headers: FastifyRequest['headers'],
  data: unknown,
): GivenEvent | FieldError[] {
  const attributes: Attributes = {}
  for (const [name, header] of Object.entries(headers)) {
    if (name.startsWith(HEADER_PREFIX) && typeof header === 'string') {
      attributes[name.slice(HEADER_PREFIX.length)] = decodeHeader(header)
    }
  }
  if (data !== undefined) attributes['datacontenttype'] = headers['content-type']
  const errors = data != null && !isObject(data) ? [{ pointer: '', detail: 'must be object' }] : []
  const given = (data ?? {}) as Record<string, unknown>
  return read(present(attributes), given, errors, (name) => `/headers/${HEADER_PREFIX}${name}`)
}

/** An attribute that is null is not there. */
function present(attributes: Attributes): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value != null))
}

function read(
  attributes: Attributes,
  data: Record<string, unknown>,
  found: readonly FieldError[],
  pointerTo: PointerTo,
): GivenEvent | FieldError[] {
  const causation = readCausation(
    {
      id: attributes['causationid'],
      depth: fromText(attributes['causationdepth']),
      token: attributes['causationtoken'],
    },
    {
      id: pointerTo('causationid'),
      depth: pointerTo('causationdepth'),
      token: pointerTo('causationtoken'),
    },
  )
  const wrong = Array.isArray(causation) ? causation : []
  const errors = [...checkAttributes(attributes, pointerTo), ...wrong, ...found]
  if (errors.length > 0) return errors
  const { type, source, id, time } = attributes as { type: string; source: string; id: string; time?: string }
  return {
    event: type,
    data,
    id: sourceIdOf(source, id),
    timestamp: time ?? null,
    tenantId: undefined,
    causation: causation as Causation | null,
    cloudEvent: withoutToken(attributes),
  }
}

/** It is nobody's business but the sender's. */
function withoutToken({ causationtoken: _, ...attributes }: Attributes): Attributes {
  return attributes
}

function checkAttributes(attributes: Attributes, pointerTo: PointerTo): FieldError[] {
  const errors: FieldError[] = []
  const wrong = (name: string, detail: string): void => void errors.push({ pointer: pointerTo(name), detail })
  const { specversion, type, source, id, time, datacontenttype, ...others } = attributes
  if (specversion !== '1.0') wrong('specversion', 'must be 1.0')
  if (typeof type !== 'string' || !isEventType(type)) wrong('type', TYPE_RULE)
  if (!isText(source)) wrong('source', ATTRIBUTE_RULE)
  if (!isText(id)) wrong('id', ATTRIBUTE_RULE)
  if (time !== undefined && !isEventTime(time)) wrong('time', TIMESTAMP_RULE)
  if (
    datacontenttype !== undefined &&
    !(typeof datacontenttype === 'string' && JSON_TYPE.test(datacontenttype))
  ) {
    wrong('datacontenttype', 'must be a JSON type, such as application/json')
  }
  const names = Object.keys(others)
  if (names.length > MAX_ATTRIBUTES) {
    wrong('', `has more than ${MAX_ATTRIBUTES} attributes`)
    return errors
  }
  for (const name of names) {
    const value = others[name]
    if (!ATTRIBUTE_NAME.test(name)) wrong(name, 'must be named by lower-case letters and digits')
    else if (name === 'subject' || name === 'dataschema' || typeof value === 'string') {
      if (!isText(value)) wrong(name, ATTRIBUTE_RULE)
    } else if (typeof value !== 'boolean' && numberOf(value) === null) {
      wrong(name, 'must be text, a number, true or false')
    }
  }
  return errors
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && isSourceId(value, MAX_ATTRIBUTE_CHARS)
}

/** A CloudEvent is unique by source and id together. A source is a URI reference, which holds no space. */
function sourceIdOf(source: string, id: string): string {
  const both = `${source} ${id}`
  return both.length <= MAX_SOURCE_ID_CHARS
    ? both
    : `sha256:${createHash('sha256').update(both).digest('hex')}`
}

/** Header values are percent-encoded UTF-8, and may stand in quotes (HTTP binding, 3.1.3.2). */
function decodeHeader(header: string): string {
  const quoted = /^"((?:[^"\\]|\\.)*)"$/.exec(header)
  const text = quoted === null ? header : (quoted[1] ?? '').replaceAll(/\\(.)/g, '$1')
  return text.replaceAll(/(?:%[0-9A-Fa-f]{2})+/g, (encoded) => {
    try {
      return decodeURIComponent(encoded)
    } catch {
      return encoded
    }
  })
}
