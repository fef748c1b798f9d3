import type { ActionCallFailure } from '#lib/action-call.ts'
import { newId } from '#lib/ids.ts'
import { pathSegment, segmentFault } from '#lib/path-segment.ts'
import type { PlatformService } from '#modules/platform/index.ts'
import { automationPlatformFailed, automationRecordNotFound, automationRecordUnknown } from './errors.ts'
import { idText, isRecord, isSameId, type RecordData, type RecordIdName, type RecordRef } from './record.ts'

const WHAT: Readonly<Record<RecordIdName, { one: string; path: string }>> = {
  lead_id: { one: 'lead', path: '/api/leads' },
  booking_id: { one: 'booking', path: '/api/bookings' },
  customer_id: { one: 'customer', path: '/api/customers' },
}
/** No such record, or an id that no record can have. */
const NO_RECORD = new Set([400, 404, 410, 422])

/**
 * Asks the platform for a record. What it says is not trusted: it is bounded, an object, and the one that was asked for.
 *
 * @param pointer where the id stands in the request
 * @returns the record with its id under the platform's name
 * @throws `automation_record_unknown`, `automation_record_not_found`, `automation_platform_failed`
 */
export async function fetchRecord(
  platform: PlatformService,
  tenantId: string,
  { name, id }: RecordRef,
  pointer = `/${name}`,
): Promise<RecordData> {
  const { one, path } = WHAT[name]
  if (segmentFault(id) !== null) {
    throw automationRecordNotFound(undefined, {
      errors: [{ pointer, detail: `must be the id of a ${one} of the platform` }],
    })
  }
  const result = await platform.call(tenantId, {
    method: 'GET',
    path: `${path}/${pathSegment(id)}`,
    body: undefined,
    idempotencyKey: newId(),
    idempotent: true,
  })
  if (!result.ok) throw problemOf(result, one, pointer)
  const record = recordIn(result.data, name, one)
  if (record === null) throw untrusted(`The platform's answer is no ${one}.`)
  const found = record[name] ?? record['id'] ?? id
  if (!isSameId(found, id)) {
    throw untrusted(
      `The platform answered with the ${one} ${idText(found)?.slice(0, 200) ?? 'without an id'}.`,
    )
  }
  return { ...record, [name]: found }
}

/** The record as it is, or in an envelope such as `{ "data": … }`. */
function recordIn(answer: unknown, name: RecordIdName, one: string): RecordData | null {
  if (!isRecord(answer)) return null
  if (answer[name] !== undefined || answer['id'] !== undefined) return answer
  const inner = answer[one] ?? answer['data']
  return isRecord(inner) ? inner : answer
}

function problemOf({ status, code, message }: ActionCallFailure, one: string, pointer: string) {
  if (code === 'platform_not_configured') {
    return automationRecordUnknown(`Give the ${one}'s data as \`data\`, or: ${message}`, {
      errors: [{ pointer, detail: `cannot be looked up: there is no platform to ask for the ${one}` }],
    })
  }
  if (status !== null && NO_RECORD.has(status)) {
    return automationRecordNotFound(undefined, {
      errors: [{ pointer, detail: `must be the id of a ${one} of the platform, which says: ${message}` }],
    })
  }
  return automationPlatformFailed(
    `${code}: ${message} Try again later, or give the ${one}'s data as \`data\`.`,
    {
      extensions: { error_class: code, response_status: status },
    },
  )
}

function untrusted(detail: string) {
  return automationPlatformFailed(detail, { extensions: { error_class: 'invalid_response' } })
}
