import { isPlainEventType } from '#lib/event-pattern.ts'
import { isUuid } from '#lib/ids.ts'
import { isRawNumber, toPointer, withPlainNumbers } from '#lib/json/index.ts'
import type { FieldError } from '#lib/api/problem.ts'
import { parseTime } from '#lib/time.ts'
import { type Causation, readCausation } from './causation.ts'
import { isSourceId } from './compose.ts'

/** One event as a caller gives it, checked. */
export interface GivenEvent {
  event: string
  data: Record<string, unknown>
  id: string | null
  timestamp: string | null
  tenantId: string | undefined
  causation: Causation | null
  /** The attributes of a CloudEvent, all but its data. */
  cloudEvent?: Readonly<Record<string, unknown>>
}

/**
 * The names that a body gives an event's parts. Checked here and not by the route's schema, because one bad event of
 * a batch must not spoil the others.
 */
export interface EventShape {
  event: string
  data: string
  id?: string
  timestamp?: string
  tenantId?: string
  causation?: string
  /** Members of other names are passed over, not refused. */
  open?: true
}

export const EVENT_SHAPE: Required<Omit<EventShape, 'open'>> = {
  event: 'event',
  data: 'data',
  id: 'id',
  timestamp: 'timestamp',
  tenantId: 'tenant_id',
  causation: 'causation',
}
/** The platform's own webhook. Its senders may add members at any time. */
export const AUTOMATION_SHAPE: EventShape = {
  event: 'event_type',
  data: 'payload',
  id: 'id',
  timestamp: 'timestamp',
  tenantId: 'tenant_id',
  causation: 'causation',
  open: true,
}

const RFC3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)$/
const EARLIEST_MS = 0
const LATEST_MS = Date.UTC(10_000, 0) - 1

/** The event in `value`, or every field that is wrong; pointers start at `base`. */
export function readEvent(value: unknown, shape: EventShape, base: string): GivenEvent | FieldError[] {
  if (!isObject(value)) return [{ pointer: base, detail: 'must be object' }]
  const errors: FieldError[] = []
  const wrong = (name: string, detail: string): void =>
    void errors.push({ pointer: base + toPointer([name]), detail })

  const event = value[shape.event]
  if (event === undefined) wrong(shape.event, 'is required')
  else if (typeof event !== 'string' || !isPlainEventType(event)) wrong(shape.event, EVENT_TYPE_RULE)
  const data = value[shape.data]
  if (data === undefined) wrong(shape.data, 'is required')
  else if (!isObject(data)) wrong(shape.data, 'must be object')
  const id = optional(value, shape.id)
  if (id !== null && (typeof id !== 'string' || !isSourceId(id))) wrong(shape.id ?? '', SOURCE_ID_RULE)
  const timestamp = optional(value, shape.timestamp)
  if (timestamp !== null && !isEventTime(timestamp)) wrong(shape.timestamp ?? '', TIMESTAMP_RULE)
  const tenantId = optional(value, shape.tenantId)
  if (tenantId !== null && (typeof tenantId !== 'string' || !isUuid(tenantId))) {
    wrong(shape.tenantId ?? '', TENANT_RULE)
  }
  const causation = causationOf(optional(value, shape.causation), base + toPointer([shape.causation ?? '']))
  if (Array.isArray(causation)) errors.push(...causation)
  if (shape.open !== true) {
    const known = Object.values(shape) as unknown[]
    for (const name in value) if (!known.includes(name)) wrong(name, 'is not a known property: remove it')
  }

  if (errors.length > 0) return errors
  return {
    event: event as string,
    data: data as Record<string, unknown>,
    id: id as string | null,
    timestamp: timestamp as string | null,
    tenantId: (tenantId as string | null) ?? undefined,
    causation: causation as Causation | null,
  }
}

const TENANT_RULE = "must be a UUID: give the shop's, or leave it out for that of the key or of X-Tenant-Id"
const EVENT_TYPE_RULE =
  'must be an event type: lower-case letters, digits and underscores in segments joined by dots, at most 128 characters'
export const SOURCE_ID_RULE = 'must be 1 to 255 printable characters'
export const TIMESTAMP_RULE =
  'must be an RFC 3339 time of the years 1970 to 9999, such as 2026-03-01T10:00:00Z'

export function isEventTime(value: unknown): boolean {
  if (typeof value !== 'string' || !RFC3339.test(value)) return false
  const time = parseTime(value)
  return time !== null && time >= EARLIEST_MS && time <= LATEST_MS
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isRawNumber(value)
}

function causationOf(value: unknown, base: string): Causation | null | FieldError[] {
  if (value === null) return null
  if (!isObject(value)) return [{ pointer: base, detail: 'must be object' }]
  const { id, depth: given, token, ...others } = value
  const depth = withPlainNumbers(given)
  const unknown = Object.keys(others).map((name) => ({
    pointer: base + toPointer([name]),
    detail: 'is not a known property: remove it',
  }))
  if (unknown.length > 0) return unknown
  return readCausation(
    { id, depth, token },
    { id: `${base}/id`, depth: `${base}/depth`, token: `${base}/token` },
  )
}

/** Absent and null are the same. */
function optional(value: Record<string, unknown>, name: string | undefined): unknown {
  return name === undefined ? null : (value[name] ?? null)
}
