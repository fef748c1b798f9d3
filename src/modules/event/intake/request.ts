import type { FastifyRequest } from 'fastify'
import { jsonProblem } from '#infra/http/edge.ts'
import { invalidRequest } from '#infra/http/problems.ts'
import { isUuid } from '#lib/ids.ts'
import { JsonInputError } from '#lib/json/index.ts'
import { type FieldError, Problem } from '#lib/api/problem.ts'
import {
  BATCHED,
  isBinaryCloudEvent,
  readBinaryCloudEvent,
  readCloudEvent,
  STRUCTURED,
} from './cloudevents.ts'
import { eventTooLarge } from '../errors.ts'
import { readCausationHeaders } from './causation.ts'
import { isSourceId } from './compose.ts'
import {
  AUTOMATION_SHAPE,
  EVENT_SHAPE,
  type GivenEvent,
  isObject,
  readEvent,
  SOURCE_ID_RULE,
} from './parse.ts'
import { MAX_BATCH_EVENTS } from './schemas.ts'

type Read = GivenEvent | FieldError[] | Problem

/** The events of a request to POST /api/events. */
export interface GivenEvents {
  format: 'json' | 'cloudevents'
  /** One event that is answered for itself, or a batch with a result for each. */
  single: boolean
  events: Read[]
}

/** @throws `invalid_request` when the request as a whole makes no sense */
export function readEvents(headers: FastifyRequest['headers'], body: unknown): GivenEvents {
  const given = readGiven(headers, body)
  const events = withCausation(headers, given.events)
  return { ...given, events }
}

function readGiven(headers: FastifyRequest['headers'], body: unknown): GivenEvents {
  const contentType = headers['content-type'] ?? ''
  if (STRUCTURED.test(contentType)) {
    return { format: 'cloudevents', single: true, events: [readCloudEvent(body, '')] }
  }
  if (BATCHED.test(contentType)) {
    const events = checkBatch(body, '').map((event, index) =>
      event instanceof JsonInputError ? unreadable(event) : readCloudEvent(event, `/${index}`),
    )
    return { format: 'cloudevents', single: false, events }
  }
  if (isBinaryCloudEvent(headers)) {
    return { format: 'cloudevents', single: true, events: [readBinaryCloudEvent(headers, body)] }
  }
  if (isObject(body) && body['events'] !== undefined) {
    return { format: 'json', single: false, events: readBatch(headers, body) }
  }
  return { format: 'json', single: true, events: [withKey(headers, readEvent(body, EVENT_SHAPE, ''))] }
}

/** The request's causation for events without one of their own. @throws `invalid_request` */
export function withCausation(headers: FastifyRequest['headers'], events: readonly Read[]): Read[] {
  const causation = readCausationHeaders(headers)
  if (causation === null) return [...events]
  return events.map((event) =>
    Array.isArray(event) || event instanceof Problem || event.causation !== null
      ? event
      : { ...event, causation },
  )
}

/** The event of a request, with its Idempotency-Key as its id unless it has one. */
export function withKey(headers: FastifyRequest['headers'], event: Read): Read {
  const key = headers['idempotency-key']
  if (key === undefined || Array.isArray(event) || event instanceof Problem || event.id !== null) return event
  if (typeof key === 'string' && isSourceId(key)) return { ...event, id: key }
  return [{ pointer: '/headers/idempotency-key', detail: SOURCE_ID_RULE }]
}

/**
 * The event of the platform's own webhook. The platform's documents name a shop `tenant_123`; where there is one shop
 * and no key, a name that is no UUID can only mean that one.
 */
export function readAutomationEvent(body: unknown, options: { isOpen: boolean }): Read {
  if (!options.isOpen || !isObject(body)) return readEvent(body, AUTOMATION_SHAPE, '')
  const { tenant_id: tenantId, ...others } = body
  const isName = typeof tenantId === 'string' && !isUuid(tenantId)
  return readEvent(isName ? others : body, AUTOMATION_SHAPE, '')
}

function readBatch(headers: FastifyRequest['headers'], body: Record<string, unknown>): Read[] {
  const { events, ...others } = body
  const errors = Object.keys(others).map((name) => ({
    pointer: `/${name}`,
    detail: 'is not a known property: remove it',
  }))
  if (headers['idempotency-key'] !== undefined) {
    errors.push({
      pointer: '/headers/idempotency-key',
      detail: 'stands for one event: give each event of the batch an id',
    })
  }
  if (errors.length > 0) throw invalidRequest(undefined, { errors })
  return checkBatch(events, '/events').map((event, index) =>
    event instanceof JsonInputError ? unreadable(event) : readEvent(event, EVENT_SHAPE, `/events/${index}`),
  )
}

function unreadable(error: JsonInputError): Problem {
  return error.code === 'too_large' ? eventTooLarge() : jsonProblem(error)
}

function checkBatch(events: unknown, pointer: string): unknown[] {
  if (Array.isArray(events) && events.length > 0 && events.length <= MAX_BATCH_EVENTS) return events
  const detail = `must be a list of 1 to ${MAX_BATCH_EVENTS} events`
  throw invalidRequest(undefined, { errors: [{ pointer, detail }] })
}
