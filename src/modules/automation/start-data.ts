import { invalidRequest } from '#infra/http/problems.ts'
import { newId } from '#lib/ids.ts'
import { validate } from '#lib/schema/safe/index.ts'
import { CATALOGUE } from '#modules/event/index.ts'
import type { AutomationContext } from './context.ts'
import { automationRecordUnfit, automationRecordUnknown } from './errors.ts'
import type { AutomationFields, Channel } from './fields.ts'
import { fetchRecord } from './platform-record.ts'
import {
  IDS_OF,
  idText,
  isRecord,
  isSameId,
  NEEDED,
  OWN_ID,
  RECORD_IDS,
  type RecordData,
  type RecordRef,
  type Subject,
  subjectOf,
} from './record.ts'

/** The record that was asked for the data that an automation starts by. */
export type RecordSource = 'given' | 'platform' | 'sample'

export interface StartData {
  data: RecordData
  source: RecordSource
}

export type RecordRequest = Partial<Record<RecordRef['name'], string | number>> & {
  data?: RecordData | undefined
}

/** The one record that a request names; null: none. @throws `invalid_request` for several */
export function recordOf(request: RecordRequest): RecordRef | null {
  const [name, second] = RECORD_IDS.filter((each) => request[each] !== undefined)
  if (second !== undefined) {
    throw invalidRequest(undefined, {
      errors: [{ pointer: `/${second}`, detail: `must not be given together with ${String(name)}` }],
    })
  }
  const id = name === undefined ? undefined : request[name]
  return name === undefined || id === undefined ? null : { name, id }
}

/**
 * Returns what an automation is to start by: the record that is named, as it was given or as the platform has it.
 *
 * @param sample of the event that starts it, for a test: what is not known is taken from there
 * @throws `automation_record_unfit`, `automation_record_unknown`, `automation_record_not_found`,
 * `automation_platform_failed`
 */
export async function startDataOf(
  ctx: AutomationContext,
  tenantId: string,
  fields: AutomationFields,
  ref: RecordRef,
  given: RecordData | undefined,
  sample: RecordData | null = null,
): Promise<StartData> {
  const subject = subjectOf(fields.trigger)
  checkFits(subject, ref)
  const found = await find(ctx, tenantId, fields, ref, given, sample)
  if (found.source !== 'sample') checkComplete(subject, ref, found)
  return found
}

/** @returns whether data has the record that is named, so that the platform need not be asked */
export function isGiven(subject: Subject, { name }: RecordRef, data: RecordData | undefined): boolean {
  if (data === undefined) return false
  if (name === OWN_ID[subject]) return true
  return subject === 'message' ? data['from'] !== undefined : isRecord(data['customer'])
}

/** Tells whether data is about the record that is named. */
export function isAbout(subject: Subject, { name, id }: RecordRef, data: RecordData): boolean {
  return isSameId(idIn(subject, name, data), id)
}

function idIn(subject: Subject, name: RecordRef['name'], data: RecordData): unknown {
  if (subject !== 'booking' || name !== 'customer_id') return data[name]
  const { customer } = data
  return (isRecord(customer) ? customer['customer_id'] : undefined) ?? data['customer_id']
}

/** @throws `automation_record_unfit` */
function checkFits(subject: Subject, { name }: RecordRef): void {
  const fitting = IDS_OF[subject]
  if (fitting.includes(name)) return
  throw automationRecordUnfit(undefined, {
    errors: [
      {
        pointer: `/${name}`,
        detail: `must be left out: this automation is for a ${subject}. Give ${fitting.join(' or ')}`,
      },
    ],
  })
}

async function find(
  ctx: AutomationContext,
  tenantId: string,
  fields: AutomationFields,
  ref: RecordRef,
  given: RecordData | undefined,
  sample: RecordData | null,
): Promise<StartData> {
  const subject = subjectOf(fields.trigger)
  if (
    given !== undefined &&
    idText(idIn(subject, ref.name, given)) !== null &&
    !isAbout(subject, ref, given)
  ) {
    const pointer = `/data/${ref.name}`
    throw automationRecordUnfit(undefined, {
      errors: [{ pointer, detail: `must be left out, or the same as ${ref.name}` }],
    })
  }
  if (isGiven(subject, ref, given)) {
    return { data: named(subject, ref, { ...sample, ...given }), source: 'given' }
  }
  let record: RecordData
  try {
    record = await fetchRecord(ctx.platform, tenantId, ref)
  } catch (error) {
    if (sample === null || !isUnknown(error)) throw error
    return { data: named(subject, ref, { ...sample, ...given }), source: 'sample' }
  }
  const data = await compose(ctx, tenantId, fields, { ref, record, given, sample })
  return { data, source: 'platform' }
}

function isUnknown(error: unknown): boolean {
  return (error as { code?: unknown }).code === automationRecordUnknown.code
}

/** Data that says whom it is about. */
function named(subject: Subject, { name, id }: RecordRef, data: RecordData): RecordData {
  if (subject === 'booking' && name === 'customer_id') {
    const customer = isRecord(data['customer']) ? data['customer'] : {}
    return { ...data, customer: { ...customer, customer_id: customer['customer_id'] ?? id } }
  }
  if (subject === 'message') {
    const nobody = { lead_id: null, customer_id: null }
    return { ...data, ...nobody, [name]: data[name] ?? id }
  }
  return { ...data, [name]: id }
}

interface Found {
  ref: RecordRef
  /** Of the platform. */
  record: RecordData
  given: RecordData | undefined
  sample: RecordData | null
}

/** Composes what an event would have told of the record of the platform. */
async function compose(
  ctx: AutomationContext,
  tenantId: string,
  { trigger, channel }: AutomationFields,
  { ref, record, given, sample }: Found,
): Promise<RecordData> {
  switch (subjectOf(trigger)) {
    case 'lead':
      return { ...occasionOf(sample), ...record }
    case 'message':
      return { ...messageOf(channel, ref, record, sample), ...given }
    case 'booking':
      if (ref.name === 'customer_id') return { ...sample, ...given, customer: record }
      return { ...occasionOf(sample), ...(await withCustomer(ctx, tenantId, record)) }
  }
}

/** The members that an event has besides the record. */
const OCCASION = ['previous_status', 'changed_at', 'changes', 'completed_at']

function occasionOf(sample: RecordData | null): RecordData {
  return Object.fromEntries(Object.entries(sample ?? {}).filter(([name]) => OCCASION.includes(name)))
}

/** A message without words by whoever it was. @throws `automation_record_unfit` */
function messageOf(
  channel: Channel,
  { name }: RecordRef,
  record: RecordData,
  sample: RecordData | null,
): RecordData {
  const { email, phone } = record
  const wanted = channel === 'sms' ? [phone] : channel === 'email' ? [email] : [email, phone]
  const from = wanted.find((address) => typeof address === 'string' && address.trim() !== '')
  if (from === undefined) {
    const address = channel === 'sms' ? 'phone number' : channel === 'email' ? 'email address' : 'address'
    throw automationRecordUnfit(undefined, {
      errors: [
        { pointer: `/${name}`, detail: `must be of somebody of whom the platform has the ${address}` },
      ],
    })
  }
  return {
    text: null,
    ...sample,
    message_id: newId(),
    channel: from === email ? 'email' : 'sms',
    from,
    lead_id: null,
    customer_id: null,
    [name]: record[name],
  }
}

/** A booking that only names its customer is told with the customer, like those of events. */
async function withCustomer(
  ctx: AutomationContext,
  tenantId: string,
  booking: RecordData,
): Promise<RecordData> {
  const given = booking['customer_id']
  const id = typeof given === 'number' ? given : idText(given)
  if (isRecord(booking['customer']) || id === null) return booking
  const customer = await fetchRecord(ctx.platform, tenantId, { name: 'customer_id', id }, '/booking_id')
  return { ...booking, customer }
}

/** @throws `automation_record_unfit` */
function checkComplete(subject: Subject, ref: RecordRef, { data, source }: StartData): void {
  const properties = CATALOGUE.get(`${subject}.${subject === 'message' ? 'received' : 'created'}`)?.schema
    .properties
  const required = [...NEEDED[subject]]
  const needed = Object.fromEntries(required.map((name) => [name, properties?.[name] ?? {}]))
  const violations = validate({ type: 'object', required, properties: needed }, data)
  if (violations.length === 0) return
  throw automationRecordUnfit(undefined, {
    errors: violations.map(({ pointer, detail }) =>
      source === 'given' || ref.name !== OWN_ID[subject]
        ? { pointer: `/data${pointer}`, detail }
        : { pointer: `/${ref.name}`, detail: `${pointer.slice(1)} of the platform's record: ${detail}` },
    ),
  })
}
