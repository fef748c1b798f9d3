import { createHash } from 'node:crypto'
import type { EventSource } from '#db/schema.ts'
import { now as clockNow } from '#lib/clock.ts'
import { isEventType } from '#lib/event-pattern.ts'
import { newId } from '#lib/ids.ts'
import { canonicalNumber, isRawNumber } from '#lib/json/index.ts'
import { sourceOf } from '#lib/json/source.ts'
import type { Problem } from '#lib/api/problem.ts'
import { parseTime } from '#lib/time.ts'
import type { Causation } from './causation.ts'
import { eventTooLarge } from '../errors.ts'
import type { NewEvent, Sender } from '../context.ts'

/** The parts of an event that are decided once and for all, before anybody's subscriptions are looked at. */
export interface ComposedEvent {
  readonly id: string
  readonly tenantId: string
  readonly event: string
  readonly data: unknown
  readonly source: EventSource
  readonly sourceId: string | null
  /** 32 bytes; null without a source id, where nothing will ever be compared. */
  readonly fingerprint: Buffer | null
  readonly publisherPluginId: string | null
  readonly sender: Sender | null
  readonly occurredAtMs: number
  /** The exact text that every attempt sends and signs. */
  readonly body: string
  readonly causation: Readonly<Causation> | null
  /** Of a CloudEvent. */
  readonly subject: string | null
}

/** Receivers commonly refuse more, and every attempt holds one body in memory. */
const MAX_EVENT_BYTES = 1024 * 1024
/** No UTF-16 unit takes more bytes of UTF-8. */
const MAX_BYTES_PER_UNIT = 3

export const MAX_SOURCE_ID_CHARS = 255
const PRINTABLE = /^[^\p{Cc}\p{Cs}\p{Zl}\p{Zp}]+$/u

/** Printable, so that it can stand in a URL, a header and a line of the statement that writes it. */
export function isSourceId(text: string, maxChars = MAX_SOURCE_ID_CHARS): boolean {
  return text.length <= maxChars && PRINTABLE.test(text)
}

/** The event's text and identity, or why it has none. */
export function composeEvent(event: NewEvent, now = new Date(clockNow())): ComposedEvent | Problem {
  const sourceId = event.sourceId ?? null
  if (!isEventType(event.event)) throw new TypeError(`not an event type: ${event.event.slice(0, 128)}`)
  if (sourceId !== null && !isSourceId(sourceId)) throw new TypeError('not a source id')
  const timestamp = event.timestamp ?? now.toISOString()
  const body = bodyOf(event, timestamp)
  if (body.length * MAX_BYTES_PER_UNIT > MAX_EVENT_BYTES && Buffer.byteLength(body) > MAX_EVENT_BYTES) {
    return eventTooLarge()
  }
  return {
    id: newId(),
    tenantId: event.tenantId,
    event: event.event,
    data: event.data,
    source: event.source,
    sourceId,
    fingerprint: sourceId === null ? null : fingerprintOf(event),
    publisherPluginId: event.publisherPluginId ?? null,
    sender: event.sender ?? null,
    occurredAtMs: (event.timestamp == null ? null : parseTime(timestamp)) ?? now.getTime(),
    body,
    causation: event.causation ?? null,
    subject: subjectOf(event.cloudEvent),
  }
}

export function subjectOf(cloudEvent: Readonly<Record<string, unknown>> | undefined): string | null {
  const subject = cloudEvent?.['subject']
  return typeof subject === 'string' ? subject : null
}

/** The data stand in it as they were written: no number changes its text, and no member its place. */
function bodyOf({ event, tenantId, data, cloudEvent }: NewEvent, timestamp: string): string {
  const head = JSON.stringify({ event, tenant_id: tenantId, timestamp })
  const tail = cloudEvent === undefined ? '' : `,"cloudevent":${JSON.stringify(cloudEvent)}`
  return `${head.slice(0, -1)},"data":${sourceOf(data) ?? JSON.stringify(data)}${tail}}`
}

/**
 * SHA-256 of what the caller sent. White space, the order of members and the spelling of numbers make no difference, and
 * neither does the time:
 * clients that stamp an event when they build it, as CloudEvents' SDK does, give it another one when they send it again.
 */
function fingerprintOf(event: NewEvent): Buffer {
  return createHash('sha256')
    .update(`${event.event}\n${canonicalJson(event.data)}`)
    .digest()
}

/** JSON with sorted member names and one form of numbers: many languages write a map's members in another order. */
function canonicalJson(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (isRawNumber(value)) return JSON.stringify(canonicalNumber(value))
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  const members = value as Record<string, unknown>
  return `{${Object.keys(members)
    .sort()
    .map((name) => `${JSON.stringify(name)}:${canonicalJson(members[name])}`)
    .join(',')}}`
}
