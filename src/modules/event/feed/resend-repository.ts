import { sql, type Transaction } from 'kysely'
import type { DB, DeliveryStatus, ReplayedStatus } from '#db/schema.ts'
import { newId } from '#lib/ids.ts'

/** An event that is to go to a plugin once more. */
export interface Wanted {
  eventId: string
  event: string
  pluginId: string
}

export interface QueueOptions {
  /** What a replay asks for is bulk: it goes behind what happens now. What a person retries is not. */
  reason: 'manual_retry' | 'replay'
  /** Only what has this status now, by `overallStatus`; null: everything, also what never was. */
  status: ReplayedStatus | null
  /** Rejects with SQLSTATE 55P03 instead of waiting for a row that is being written just now. */
  noWait: boolean
}

interface Present {
  id: string
  event_id: string
  plugin_id: string
  status: DeliveryStatus
  resend: number
}

/**
 * Makes events due to plugins, now. What was sent gets a delivery of its own beside it, what was given up starts a new
 * round, what waits only waits no longer, and what never was is added.
 *
 * @returns how many deliveries are due by it
 */
export async function queueAgain(
  trx: Transaction<DB>,
  tenantId: string,
  wanted: readonly Wanted[],
  { reason, status, noWait }: QueueOptions,
): Promise<number> {
  const present = await lockDeliveries(trx, tenantId, wanted, noWait)
  const again: string[] = []
  const hastened: string[] = []
  const added: (Wanted & { resend: number })[] = []
  for (const each of wanted) {
    const rows = present.get(keyOf(each.eventId, each.pluginId)) ?? []
    const last = rows.at(-1)
    if (status !== null && !hasStatus(rows, status)) continue
    if (last === undefined) added.push({ ...each, resend: 0 })
    else if (last.status === 'pending' || last.status === 'retry') hastened.push(last.id)
    else if (overallStatus(rows) === 'sent') added.push({ ...each, resend: last.resend + 1 })
    else again.push(last.id)
  }
  await startAgain(trx, tenantId, again, reason)
  await hasten(trx, tenantId, hastened, reason)
  return again.length + hastened.length + (await add(trx, tenantId, added, reason))
}

/** What has become of an event at a plugin: what arrived once has arrived, whatever becomes of a resend. */
function overallStatus(rows: readonly Present[]): DeliveryStatus | undefined {
  return rows.some(({ status }) => status === 'sent') ? 'sent' : rows.at(-1)?.status
}

function hasStatus(rows: readonly Present[], status: ReplayedStatus): boolean {
  const overall = overallStatus(rows)
  return status === 'undelivered' ? overall === undefined || overall === 'failed' : overall === status
}

/** The same, for the statements that choose: of one event at one plugin. */
export function selectOverallStatus(eventId: string, pluginId: string, tenantId: string) {
  return sql<DeliveryStatus | null>`(
    select case when bool_or(status = 'sent') then 'sent' else (array_agg(status order by resend desc))[1] end
    from deliveries
    where event_id = ${sql.ref(eventId)} and plugin_id = ${pluginId} and tenant_id = ${tenantId})`
}

function keyOf(eventId: string, pluginId: string): string {
  return `${eventId} ${pluginId}`
}

/** Each event's deliveries to each plugin, the first one first, kept from changing. */
async function lockDeliveries(
  trx: Transaction<DB>,
  tenantId: string,
  wanted: readonly Wanted[],
  noWait: boolean,
): Promise<Map<string, Present[]>> {
  const eventIds = [...new Set(wanted.map(({ eventId }) => eventId))]
  const pluginIds = [...new Set(wanted.map(({ pluginId }) => pluginId))]
  const rows = await trx
    .selectFrom('deliveries')
    .select(['id', 'event_id', 'plugin_id', 'status', 'resend'])
    .where('tenant_id', '=', tenantId)
    .where('event_id', '=', anyOf(eventIds))
    .where('plugin_id', '=', anyOf(pluginIds))
    .orderBy('id')
    .forNoKeyUpdate()
    .$if(noWait, (query) => query.noWait())
    .execute()
  rows.sort((a, b) => a.resend - b.resend)
  return Map.groupBy(rows, (row) => keyOf(row.event_id, row.plugin_id))
}

async function startAgain(
  trx: Transaction<DB>,
  tenantId: string,
  ids: readonly string[],
  reason: QueueOptions['reason'],
): Promise<void> {
  if (ids.length === 0) return
  await trx
    .updateTable('deliveries')
    .set({
      status: 'pending',
      reason,
      due_at: sql<Date>`now()`,
      round_failures: 0,
      bulk: isBulk(reason),
    })
    .where('tenant_id', '=', tenantId)
    .where('id', '=', anyOf(ids))
    .where('status', '=', 'failed')
    .execute()
}

/** What is due already keeps its place, unless a person asks for it. */
async function hasten(
  trx: Transaction<DB>,
  tenantId: string,
  ids: readonly string[],
  reason: QueueOptions['reason'],
): Promise<void> {
  if (ids.length === 0) return
  await trx
    .updateTable('deliveries')
    .set({ due_at: sql<Date>`least(due_at, now())`, bulk: isBulk(reason) })
    .where('tenant_id', '=', tenantId)
    .where('id', '=', anyOf(ids))
    .where((eb) =>
      eb.or([eb('due_at', '>', sql<Date>`now()`), ...(isBulk(reason) ? [] : [eb('bulk', '=', true)])]),
    )
    .execute()
}

async function add(
  trx: Transaction<DB>,
  tenantId: string,
  added: readonly (Wanted & { resend: number })[],
  reason: QueueOptions['reason'],
): Promise<number> {
  if (added.length === 0) return 0
  const { rows } = await sql<{ id: string }>`
    insert into deliveries (tenant_id, id, plugin_id, event_id, event, reason, resend, bulk)
    select ${tenantId}, wanted.id, wanted.plugin_id, wanted.event_id, wanted.event, ${reason}, wanted.resend, ${isBulk(reason)}
    from unnest(${added.map(() => newId())}::uuid[], ${added.map(({ pluginId }) => pluginId)}::uuid[],
      ${added.map(({ eventId }) => eventId)}::uuid[], ${added.map(({ event }) => event)}::text[],
      ${added.map(({ resend }) => resend)}::int[]) as wanted (id, plugin_id, event_id, event, resend)
    order by wanted.event_id, wanted.plugin_id
    on conflict (event_id, plugin_id, resend) do nothing
    returning id`.execute(trx)
  return rows.length
}

function isBulk(reason: QueueOptions['reason']): boolean {
  return reason === 'replay'
}

function anyOf(ids: readonly string[]) {
  return sql<string>`any(${ids}::uuid[])`
}
