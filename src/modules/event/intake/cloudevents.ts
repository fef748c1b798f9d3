import { createHash } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { isEventType } from '#lib/event-pattern.ts'
import type { FieldError } from '#lib/api/problem.ts'
import { type Causation, fromText, readCausation } from './causation.ts'
import { isSourceId, MAX_SOURCE_ID_CHARS } from './compose.ts'
import { EVENT_TYPE_RULE, type GivenEvent, isEventTime, isObject, TIMESTAMP_RULE } from './parse.ts'

/**
 * CloudEvents 1.0 (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md), JSON format and HTTP
 * binding: type → event, data → data, source and id → the source id, time → timestamp. the extensions
 * causationid and causationdepth → causation. `subject`, `dataschema` and other extensions have no place here and are not
 * kept.
 */
export const STRUCTURED = /^application\/cloudevents\+json(?:\s*;|$)/i
export const BATCHED = /^application\/cloudevents-batch\+json(?:\s*;|$)/i

/** Of `source` and `id`; together they may be longer than our own ids. */
const MAX_NAME_CHARS = 2_048
const NAME_RULE = `must be 1 to ${MAX_NAME_CHARS} printable characters`
const JSON_TYPE = /^application\/(?:[\w.+-]+\+)?json(?:\s*;|$)/i

/** One CloudEvent of the JSON format, or every attribute that is wrong; pointers start at `base`. */
export function readCloudEvent(value: unknown, base: string): GivenEvent | FieldError[] {
  if (!isObject(value)) return [{ pointer: base, detail: 'must be object' }]
  const pointerTo = (name: string): string => `${base}/${name}`
  const errors = checkAttributes(value, pointerTo)
  const causation = causationOf(value, pointerTo)
  if (Array.isArray(causation)) errors.push(...causation)
  const { datacontenttype, data } = value
  if (value['data_base64'] !== undefined) {
    errors.push({ pointer: `${base}/data_base64`, detail: 'is not taken: send JSON in data' })
  }
  if (datacontenttype != null && (typeof datacontenttype !== 'string' || !JSON_TYPE.test(datacontenttype))) {
    errors.push({
      pointer: `${base}/datacontenttype`,
      detail: 'must be a JSON type, such as application/json',
    })
  }
  if (data != null && !isObject(data)) errors.push({ pointer: `${base}/data`, detail: 'must be object' })
  if (errors.length > 0) return errors
  return given(value, (data ?? {}) as Record<string, unknown>, causation as Causation | null)
}

/** Binary mode: the attributes are headers, the body is the data. */
export function isBinaryCloudEvent(headers: FastifyRequest['headers']): boolean {
  return headers['ce-specversion'] !== undefined
}

export function readBinaryCloudEvent(
  headers: FastifyRequest['headers'],
  data: unknown,
): GivenEvent | FieldError[] {
  const attributes: Record<string, unknown> = {}
  for (const name of ['specversion', 'type', 'source', 'id', 'time', 'causationid', 'causationdepth']) {
    const header = headers[`ce-${name}`]
    if (typeof header === 'string') attributes[name] = decodeHeader(header)
  }
  attributes['causationdepth'] = fromText(attributes['causationdepth'])
  const pointerTo = (name: string): string => `/headers/ce-${name}`
  const errors = checkAttributes(attributes, pointerTo)
  const causation = causationOf(attributes, pointerTo)
  if (Array.isArray(causation)) errors.push(...causation)
  if (!isObject(data)) errors.push({ pointer: '', detail: 'must be object' })
  if (errors.length > 0) return errors
  return given(attributes, data as Record<string, unknown>, causation as Causation | null)
}

function checkAttributes(
  attributes: Record<string, unknown>,
  pointerTo: (name: string) => string,
): FieldError[] {
  const errors: FieldError[] = []
  const wrong = (name: string, detail: string): void => void errors.push({ pointer: pointerTo(name), detail })
  const { specversion, type, source, id, time } = attributes
  if (specversion !== '1.0') wrong('specversion', 'must be 1.0')
  if (typeof type !== 'string' || !isEventType(type)) wrong('type', EVENT_TYPE_RULE)
  if (!isName(source)) wrong('source', NAME_RULE)
  if (!isName(id)) wrong('id', NAME_RULE)
  if (time != null && !isEventTime(time)) wrong('time', TIMESTAMP_RULE)
  return errors
}

function isName(value: unknown): boolean {
  return typeof value === 'string' && isSourceId(value, MAX_NAME_CHARS)
}

function causationOf(
  { causationid, causationdepth }: Record<string, unknown>,
  pointerTo: (name: string) => string,
): Causation | null | FieldError[] {
  const pointers = { id: pointerTo('causationid'), depth: pointerTo('causationdepth') }
  return readCausation(causationid, causationdepth, pointers)
}

function given(
  attributes: Record<string, unknown>,
  data: Record<string, unknown>,
  causation: Causation | null,
): GivenEvent {
  const { type, source, id, time } = attributes as { type: string; source: string; id: string; time?: string }
  return {
    event: type,
    data,
    id: sourceIdOf(source, id),
    timestamp: time ?? null,
    tenantId: undefined,
    causation,
  }
}

/** A CloudEvent is unique by source and id together. A source is a URI reference, which holds no space. */
function sourceIdOf(source: string, id: string): string {
  const both = `${source} ${id}`
  return both.length <= MAX_SOURCE_ID_CHARS
    ? both
    : `sha256:${createHash('sha256').update(both).digest('hex')}`
}

/** Header values are percent-encoded UTF-8 (HTTP binding, 3.1.3.2). */
function decodeHeader(header: string): string {
  try {
    return decodeURIComponent(header)
  } catch {
    return header
  }
}
