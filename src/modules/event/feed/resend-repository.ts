import { sql, type Transaction } from 'kysely'
import type { DB, DeliveryStatus, ReplayedStatus } from '#db/schema.ts'
import { newId } from '#lib/ids.ts'
import { keysOf } from './key-repository.ts'
import { payloadByType } from '../intake/payload.ts'

/** An event that is to go to a plugin once more. */
export interface Wanted {
  eventId: string
  event: string
  pluginId: string
}

type Added = Wanted & Pick<Present, 'resend' | 'payload'>

export interface QueueOptions {
  /** A replay is bulk: it goes behind what happens now. A retry by a person is not. */
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
  ordering_key: string | null
  payload: string | null
}

/** A delivery that is to be made due, with its key if its plugin wants them in order. */
interface Keyed<Row> {
  row: Row
  key: string | null
}

/**
 * Makes events due to plugins, now. What was sent gets a delivery of its own beside it, what was given up starts a new
 * round, what waits only waits no longer, and what never was is added. Of those of one key each goes behind what waits.
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
  const again: (Wanted & { id: string; key: string | null })[] = []
  const hastened: string[] = []
  const added: (Added & { key: string | null })[] = []
  for (const each of wanted) {
    const rows = present.get(keyOf(each.eventId, each.pluginId)) ?? []
    const last = rows.at(-1)
    if (status !== null && !hasStatus(rows, status)) continue
    const key = last?.ordering_key ?? null
    if (last === undefined) added.push({ ...each, resend: 0, key, payload: null })
    else if (last.status === 'pending' || last.status === 'retry') hastened.push(last.id)
    else if (overallStatus(rows) === 'sent')
      added.push({ ...each, resend: last.resend + 1, key, payload: last.payload })
    else again.push({ ...each, id: last.id, key })
  }
  const keys = await keysOf(
    trx,
    tenantId,
    [...again, ...added].filter(({ key }) => key === null),
  )
  const keyed = <Row extends Wanted & { key: string | null }>(row: Row): Keyed<Row> => ({
    row,
    key: row.key ?? keys.get(keyOf(row.eventId, row.pluginId)) ?? null,
  })
  await startAgain(trx, tenantId, again.map(keyed), reason)
  await hasten(trx, tenantId, hastened, reason)
  const chosen = await choosePayloads(trx, tenantId, added)
  return again.length + hastened.length + (await add(trx, tenantId, chosen.map(keyed), reason))
}

/** Returns the status of an event at a plugin: what arrived once has arrived, whatever becomes of a resend. */
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

/** Where a delivery stands among those of its key when it is queued again: behind them, if it had ended. */
export function placeAgain() {
  return sql<
    string | null
  >`case when status in ('sent', 'failed') and ordering_key is not null then feed_position()
    else ordering_place end`
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
    .select(['id', 'event_id', 'plugin_id', 'status', 'resend', 'ordering_key', 'payload'])
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
  again: readonly Keyed<{ id: string }>[],
  reason: QueueOptions['reason'],
): Promise<void> {
  if (again.length === 0) return
  await sql`
    update deliveries d
    set status = 'pending', reason = ${reason}, due_at = now(), round_failures = 0, bulk = ${isBulk(reason)},
      behind_since = null, ordering_key = wanted.key,
      ordering_place = case when wanted.key is not null then feed_position() end
    from unnest(${again.map(({ row }) => row.id)}::uuid[], ${again.map(({ key }) => key)}::uuid[]) as wanted (id, key)
    where d.tenant_id = ${tenantId} and d.id = wanted.id and d.status = 'failed'`.execute(trx)
}

/** Makes deliveries due. What is due keeps its place, unless a person asks; what waits for another of its key gains nothing by a replay. */
async function hasten(
  trx: Transaction<DB>,
  tenantId: string,
  ids: readonly string[],
  reason: QueueOptions['reason'],
): Promise<void> {
  if (ids.length === 0) return
  await trx
    .updateTable('deliveries')
    .set({ due_at: sql<Date>`least(due_at, now())`, bulk: isBulk(reason), behind_since: null })
    .where('tenant_id', '=', tenantId)
    .where('id', '=', anyOf(ids))
    .where((eb) =>
      isBulk(reason)
        ? eb.and([eb('due_at', '>', sql<Date>`now()`), eb('behind_since', 'is', null)])
        : eb.or([eb('due_at', '>', sql<Date>`now()`), eb('bulk', '=', true)]),
    )
    .execute()
}

/** Chooses payloads: what is sent again is sent as it was; what never went out, as the plugin now wants such events. */
async function choosePayloads<Row extends Added>(
  trx: Transaction<DB>,
  tenantId: string,
  added: readonly Row[],
): Promise<readonly Row[]> {
  const pluginIds = [...new Set(added.filter(({ resend }) => resend === 0).map(({ pluginId }) => pluginId))]
  if (pluginIds.length === 0) return added
  const rows = await trx
    .selectFrom('plugins')
    .select(['id', 'subscriptions'])
    .where('tenant_id', '=', tenantId)
    .where('id', '=', anyOf(pluginIds))
    .execute()
  const subscriptions = new Map(rows.map((row) => [row.id, row.subscriptions]))
  return added.map((each) =>
    each.resend > 0
      ? each
      : { ...each, payload: payloadByType(subscriptions.get(each.pluginId) ?? [], each.event) },
  )
}

async function add(
  trx: Transaction<DB>,
  tenantId: string,
  added: readonly Keyed<Added>[],
  reason: QueueOptions['reason'],
): Promise<number> {
  if (added.length === 0) return 0
  const { rows } = await sql<{ id: string }>`
    insert into deliveries (tenant_id, id, plugin_id, event_id, event, reason, resend, bulk, ordering_key, ordering_place, payload)
    select ${tenantId}, wanted.id, wanted.plugin_id, wanted.event_id, wanted.event, ${reason}, wanted.resend, ${isBulk(reason)},
      wanted.key, case when wanted.key is not null then feed_position() end, wanted.payload
    from unnest(${added.map(() => newId())}::uuid[], ${added.map(({ row }) => row.pluginId)}::uuid[],
      ${added.map(({ row }) => row.eventId)}::uuid[], ${added.map(({ row }) => row.event)}::text[],
      ${added.map(({ row }) => row.resend)}::int[], ${added.map(({ key }) => key)}::uuid[],
      ${added.map(({ row }) => row.payload)}::text[])
      as wanted (id, plugin_id, event_id, event, resend, key, payload)
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
