import { type RawBuilder, sql, type Transaction } from 'kysely'
import type { DB, DeliveryStatus, ReplayedStatus } from '#db/schema.ts'
import { newId } from '#lib/ids.ts'
import type { Coalesced } from '../intake/coalescing.ts'
import { keysOf } from './key-repository.ts'
import { payloadByType } from '../intake/payload.ts'

/** An event that is to go to a plugin once more. */
export interface Wanted {
  eventId: string
  event: string
  pluginId: string
}

type Added = Wanted & Pick<Present, 'resend' | 'payload'>

/** The keys that an event has had at a plugin; `coalescedBefore`: undefined where it has no delivery. */
interface KeyedBefore {
  key: string | null
  coalescedBefore: string | null | undefined
}

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
  reason: string | null
  resend: number
  ordering_key: string | null
  coalesce_key: string | null
  payload: string | null
}

/** A delivery that is to be made due, with its key if its plugin wants them in order, or only the newest. */
interface Keyed<Row> {
  row: Row
  key: string | null
  coalesced: Coalesced | null
}

/**
 * Makes events due to plugins, now. What was sent gets a delivery of its own beside it, what was given up starts a new
 * round, what waits only waits no longer, and what never was is added. Of those of one key each goes behind what waits. Where
 * only the newest of a key is sent, a replay leaves what an event has to say its place, whereas what a person asks for is sent
 * whatever is newer.
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
  const again: (Wanted & KeyedBefore & { id: string })[] = []
  const hastened: string[] = []
  const added: (Added & KeyedBefore)[] = []
  for (const each of wanted) {
    const rows = present.get(keyOf(each.eventId, each.pluginId)) ?? []
    const last = rows.at(-1)
    if (status !== null && !hasStatus(rows, status)) continue
    const keys = {
      key: last?.ordering_key ?? null,
      coalescedBefore: last && (rows.findLast((row) => row.coalesce_key !== null)?.coalesce_key ?? null),
    }
    if (last === undefined) added.push({ ...each, ...keys, resend: 0, payload: null })
    else if (last.status === 'pending' || last.status === 'retry') hastened.push(last.id)
    else if (overallStatus(rows) === 'sent')
      added.push({ ...each, ...keys, resend: last.resend + 1, payload: last.payload })
    else again.push({ ...each, ...keys, id: last.id })
  }
  const keys = await keysOf(
    trx,
    tenantId,
    [...again, ...added].filter(({ key }) => key === null),
  )
  const keyed = <Row extends Wanted & { key: string | null }>(row: Row): Keyed<Row> => {
    const { ordering = null, coalesced = null } = keys.get(keyOf(row.eventId, row.pluginId)) ?? {}
    return { row, key: row.key ?? ordering, coalesced: isBulk(reason) ? coalesced : null }
  }
  await startAgain(trx, tenantId, again.map(keyed), reason)
  await hasten(trx, tenantId, hastened, reason)
  const chosen = await choosePayloads(trx, tenantId, added)
  return again.length + hastened.length + (await add(trx, tenantId, chosen.map(keyed), reason))
}

/** Says what has become of an event at a plugin; `superseded`: it failed only as a newer one took its place. */
export type OverallStatus = DeliveryStatus | 'superseded'

/** Returns the status of an event at a plugin: what arrived once has arrived, whatever becomes of a resend. */
function overallStatus(rows: readonly Present[]): OverallStatus | undefined {
  if (rows.some(({ status }) => status === 'sent')) return 'sent'
  const last = rows.at(-1)
  return last?.status === 'failed' && last.reason === 'superseded' ? 'superseded' : last?.status
}

function hasStatus(rows: readonly Present[], status: ReplayedStatus): boolean {
  const overall = overallStatus(rows)
  return status === 'undelivered' ? overall === undefined || overall === 'failed' : overall === status
}

/** The same, for the statements that choose: of one event at one plugin. */
export function selectOverallStatus(eventId: string, pluginId: string, tenantId: string) {
  return sql<OverallStatus | null>`(
    select case when bool_or(status = 'sent') then 'sent' else (array_agg(
      case when status = 'failed' and reason = 'superseded' then 'superseded' else status end order by resend desc))[1] end
    from deliveries
    where event_id = ${sql.ref(eventId)} and plugin_id = ${pluginId} and tenant_id = ${tenantId})`
}

function keyOf(eventId: string, pluginId: string): string {
  return `${eventId} ${pluginId}`
}

/** The place of a delivery among those of its key when it is queued again: behind them, if it had ended. */
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
    .select([
      'id',
      'event_id',
      'plugin_id',
      'status',
      'reason',
      'resend',
      'ordering_key',
      'coalesce_key',
      'payload',
    ])
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
    set status = 'pending', reason = ${reason}, due_at = ${DUE}, round_failures = 0, bulk = ${isBulk(reason)},
      behind_since = null, ordering_key = wanted.key, coalesce_key = wanted.coalesce_key, superseded_by = null,
      ordering_place = ${placeOf(tenantId, sql`d.event_id`)}
    from unnest(${again.map(({ row }) => row.id)}::uuid[], ${again.map(({ key }) => key)}::uuid[],
      ${again.map(({ coalesced }) => coalesced?.key ?? null)}::uuid[],
      ${again.map(({ coalesced }) => coalesced?.windowSeconds ?? null)}::int[]) as wanted (id, key, coalesce_key, window_seconds)
    where d.tenant_id = ${tenantId} and d.id = wanted.id and d.status = 'failed'`.execute(trx)
}

/** The time at which it is due: at once, or when the window of its key is over. */
const DUE = sql`coalesce(now() + wanted.window_seconds * interval '1 second', now())`

/** The place among those of its key: behind them, or where only the newest is sent the event's own. */
function placeOf(tenantId: string, eventId: RawBuilder<unknown>) {
  return sql`case when wanted.key is not null then feed_position() when wanted.coalesce_key is not null then
    (select e.position from events e where e.tenant_id = ${tenantId} and e.id = ${eventId}) end`
}

/** Makes deliveries due. What is due already keeps its place, unless a person asks for it, who gets it whatever is newer; what waits for another of its key gains nothing by a replay. */
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
    .$if(!isBulk(reason), (query) => query.set({ coalesce_key: null }))
    .where('tenant_id', '=', tenantId)
    .where('id', '=', anyOf(ids))
    .where((eb) =>
      isBulk(reason)
        ? eb.and([eb('due_at', '>', sql<Date>`now()`), eb('behind_since', 'is', null)])
        : eb.or([
            eb('due_at', '>', sql<Date>`now()`),
            eb('bulk', '=', true),
            eb('coalesce_key', 'is not', null),
          ]),
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
    insert into deliveries (tenant_id, id, plugin_id, event_id, event, reason, resend, bulk, due_at, ordering_key, ordering_place,
      payload, coalesce_key)
    select ${tenantId}, wanted.id, wanted.plugin_id, wanted.event_id, wanted.event, ${reason}, wanted.resend, ${isBulk(reason)},
      ${DUE}, wanted.key, ${placeOf(tenantId, sql`wanted.event_id`)}, wanted.payload, wanted.coalesce_key
    from unnest(${added.map(() => newId())}::uuid[], ${added.map(({ row }) => row.pluginId)}::uuid[],
      ${added.map(({ row }) => row.eventId)}::uuid[], ${added.map(({ row }) => row.event)}::text[],
      ${added.map(({ row }) => row.resend)}::int[], ${added.map(({ key }) => key)}::uuid[],
      ${added.map(({ row }) => row.payload)}::text[], ${added.map(({ coalesced }) => coalesced?.key ?? null)}::uuid[],
      ${added.map(({ coalesced }) => coalesced?.windowSeconds ?? null)}::int[])
      as wanted (id, plugin_id, event_id, event, resend, key, payload, coalesce_key, window_seconds)
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
