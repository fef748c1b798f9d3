import { randomBytes } from 'node:crypto'
import type { Kysely } from 'kysely'
import type { DB, DeliveryStatus } from '#db/schema.ts'
import { lowestIdAt } from '#lib/id-range.ts'

export { seedPlugin } from '#test/support/plugin-row.ts'

/** Rows as intake and delivery leave them, at any age: otherwise only the database's clock would make them. */

const HOUR_MS = 3_600_000

export function hoursAgo(hours: number, from = new Date()): Date {
  return new Date(from.getTime() - hours * HOUR_MS)
}

/** A UUIDv7 minted in that millisecond. */
export function idAt(at: Date): string {
  const tail = randomBytes(8).toString('hex')
  return `${lowestIdAt(at.getTime()).slice(0, 14)}7${tail.slice(0, 3)}-a${tail.slice(3, 6)}-${tail.slice(4, 16)}`
}

export async function seedEvent(
  db: Kysely<DB>,
  tenantId: string,
  options: { event?: string; data?: unknown; at?: Date; body?: string | null; sourceId?: string } = {},
): Promise<string> {
  const { event = 'order.created', data = {}, at = new Date() } = options
  const id = idAt(at)
  const timestamp = at.toISOString()
  const body = JSON.stringify({ event, tenant_id: tenantId, timestamp, data })
  await db
    .insertInto('events')
    .values({
      tenant_id: tenantId,
      id,
      source_id: options.sourceId ?? null,
      fingerprint: Buffer.alloc(32),
      event,
      source: 'api',
      occurred_at: at,
      received_at: at,
      body: options.body === undefined ? body : options.body,
    })
    .execute()
  return id
}

export async function seedDelivery(
  db: Kysely<DB>,
  tenantId: string,
  pluginId: string,
  eventId: string,
  status: DeliveryStatus,
  options: { responseBodies?: string[]; dueAt?: Date; at?: Date } = {},
): Promise<string> {
  const { responseBodies = [], at = new Date() } = options
  const open = status === 'pending' || status === 'retry'
  const id = idAt(at)
  await db
    .insertInto('deliveries')
    .values({
      tenant_id: tenantId,
      id,
      plugin_id: pluginId,
      event_id: eventId,
      event: 'order.created',
      status,
      reason: status === 'failed' ? 'exhausted' : null,
      attempt_count: responseBodies.length,
      round_failures: status === 'sent' ? 0 : responseBodies.length,
      due_at: open ? (options.dueAt ?? at) : null,
      created_at: at,
      sent_at: status === 'sent' ? at : null,
    })
    .execute()
  for (const [index, body] of responseBodies.entries()) {
    await db
      .insertInto('delivery_attempts')
      .values({
        tenant_id: tenantId,
        delivery_id: id,
        number: index + 1,
        started_at: at,
        duration_ms: 5,
        response_status: 500,
        response_headers: JSON.stringify({ 'content-type': 'text/plain' }),
        response_body: body,
      })
      .execute()
  }
  return id
}

/** The plugin's deliveries by event, the last one of each. */
export async function deliveriesOf(db: Kysely<DB>, pluginId: string) {
  const rows = await db
    .selectFrom('deliveries')
    .selectAll()
    .where('plugin_id', '=', pluginId)
    .orderBy('resend')
    .execute()
  return new Map(rows.map((row) => [row.event_id, row]))
}
