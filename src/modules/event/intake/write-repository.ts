import type pg from 'pg'
import { newId } from '#lib/ids.ts'
import type { MatchedEvent } from './match.ts'
import type { TenantSnapshot } from './snapshot.ts'

/**
 * The statement that intake is: events and their deliveries at once, so that one autocommit round trip is the whole
 * transaction. Nothing is written unless every snapshot that the events were matched by is still the current one
 * ($1, $2): a plugin whose registration was answered before an event was sent cannot be missed, on any replica.
 *
 * - Arrays by column keep the statement one prepared text for any number of rows. Text goes as one string of
 *   lines, because an array literal would escape every quote of every body, here and again in Postgres; no
 *   value can hold a line break (JSON escapes it, ids and types are checked).
 * - An id that is taken inserts nothing and is told by its absence from `ids`.
 * - `is true` keeps the test a hashed one: as a plain `in` it becomes a join that the planner, who does not see how
 *   long the arrays are, may run as a nested loop (1,000 × 1,000 rows).
 * - A delivery with a reason has failed without an attempt: whether its plugin wants the event could not be told.
 * - What waits for newer ones of its key is due when its window is over (due/coalesced-repository.ts).
 * - feed_position() is asked once, not by the column's default for every row.
 */
const WRITE_EVENTS = `
with guard as materialized (
  select count(*) = cardinality($1::uuid[]) as holds
  from unnest($1::uuid[], $2::bigint[]) as snapshot (tenant_id, version)
  join tenants on tenants.id = snapshot.tenant_id and tenants.subscriptions_version = snapshot.version
), new_events as (
  insert into events (tenant_id, id, source_id, fingerprint, event, source, publisher_plugin_id, occurred_at,
    position, body, schema_problems, causation_id, causation_depth, filtered_plugins, key_id)
  select e.tenant_id, e.id, e.source_id,
    case when e.source_id is null then '' else substring($6::bytea from (e.n * 32 - 31)::int for 32) end,
    e.event, e.source, e.publisher_plugin_id, to_timestamp(e.occurred_at_ms / 1000),
    (select feed_position()), e.body, e.schema_problems::jsonb, e.causation_id, coalesce(e.causation_depth, 0),
    e.filtered_plugins::uuid[], e.key_id
  from unnest($3::uuid[], $4::uuid[], string_to_array($5, chr(10), ''), string_to_array($7, chr(10)),
    string_to_array($8, chr(10)), $9::uuid[], $10::float8[], string_to_array($11, chr(10)),
    string_to_array($12, chr(10), ''), $13::uuid[], $14::smallint[],
    string_to_array($21, chr(10), ''), $22::uuid[]) with ordinality
    as e (tenant_id, id, source_id, event, source, publisher_plugin_id, occurred_at_ms, body,
      schema_problems, causation_id, causation_depth, filtered_plugins, key_id, n)
  where (select holds from guard)
  on conflict (tenant_id, source_id, publisher_plugin_id) where source_id is not null do nothing
  returning id
), new_deliveries as (
  insert into deliveries (tenant_id, id, plugin_id, event_id, event, status, reason, due_at, ordering_key, ordering_place,
    payload, coalesce_key)
  select d.tenant_id, d.id, d.plugin_id, d.event_id, d.event,
    case when d.reason is null then 'pending' else 'failed' end, d.reason, case when d.reason is null then coalesce(now() + d.window_seconds * interval '1 second', now()) end,
    d.ordering_key, case when coalesce(d.ordering_key, d.coalesce_key) is not null then (select feed_position()) end,
    d.payload, d.coalesce_key
  from unnest($15::uuid[], $16::uuid[], $17::uuid[], $18::uuid[], string_to_array($19, chr(10)), $20::text[],
    $23::uuid[], string_to_array($24, chr(10), ''), $25::uuid[], $26::int[])
    as d (tenant_id, id, plugin_id, event_id, event, reason, ordering_key, payload, coalesce_key, window_seconds)
  where (d.event_id in (select id from new_events)) is true
)
select guard.holds, case when written.count < cardinality($4::uuid[]) then
  coalesce((select array_agg(id::text) from new_events), '{}') end as ids
from guard, (select count(*) from new_events) as written`

export interface WriteResult {
  /** False: somebody's subscriptions have changed, and nothing was written. */
  holds: boolean
  /** The events that were written; null: all of them. The others' source ids were taken. */
  ids: readonly string[] | null
}

/** Runs a statement: on a pool for a transaction of its own, else in the caller's. */
export type RunStatement = (text: string, values: readonly unknown[]) => Promise<readonly unknown[]>

export async function writeEvents(run: RunStatement, events: readonly MatchedEvent[]): Promise<WriteResult> {
  const [result] = (await run(WRITE_EVENTS, parametersOf(inLockOrder(events)))) as WriteResult[]
  if (result === undefined) throw new Error('the intake statement gave no row')
  return result
}

/** Two statements that wait for each other's source ids must meet them in the same order, or they deadlock. */
function inLockOrder(events: readonly MatchedEvent[]): readonly MatchedEvent[] {
  if (events.every(({ composed }) => composed.sourceId === null)) return events
  return [...events].sort(({ composed: a }, { composed: b }) =>
    a.tenantId === b.tenantId
      ? compare(a.sourceId ?? '', b.sourceId ?? '') ||
        compare(a.publisherPluginId ?? '', b.publisherPluginId ?? '')
      : compare(a.tenantId, b.tenantId),
  )
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** A shop with thousands of plugins must not make every event's row large. */
const MAX_FILTERED_NOTED = 100
const NO_FINGERPRINT = Buffer.alloc(32)

function parametersOf(events: readonly MatchedEvent[]): unknown[] {
  const snapshots = new Map<TenantSnapshot, string>()
  const tenantIds: string[] = []
  const ids: string[] = []
  const sourceIds: string[] = []
  const fingerprints: Buffer[] = []
  const types: string[] = []
  const sources: string[] = []
  const publishers: (string | null)[] = []
  const times: number[] = []
  const bodies: string[] = []
  const problems: string[] = []
  const causationIds: (string | null)[] = []
  const causationDepths: number[] = []
  const filteredPlugins: string[] = []
  const keyIds: (string | null)[] = []
  const deliveries = { tenantIds: [], ids: [], pluginIds: [], eventIds: [], types: [] } as Record<
    'tenantIds' | 'ids' | 'pluginIds' | 'eventIds' | 'types',
    string[]
  >
  const reasons: (string | null)[] = []
  const orderingKeys: (string | null)[] = []
  const payloads: string[] = []
  const coalesceKeys: (string | null)[] = []
  const windows: (number | null)[] = []
  for (const {
    composed,
    snapshot,
    plugins,
    undecided,
    filtered,
    orderingKeys: keys,
    payloads: chosen,
    coalesced,
    schemaProblems,
  } of events) {
    snapshots.set(snapshot, composed.tenantId)
    tenantIds.push(composed.tenantId)
    ids.push(composed.id)
    sourceIds.push(composed.sourceId ?? '')
    fingerprints.push(composed.fingerprint ?? NO_FINGERPRINT)
    types.push(composed.event)
    sources.push(composed.source)
    publishers.push(composed.publisherPluginId)
    keyIds.push(composed.sender?.id ?? null)
    times.push(composed.occurredAtMs)
    bodies.push(composed.body)
    problems.push(schemaProblems === null ? '' : JSON.stringify(schemaProblems))
    causationIds.push(composed.causation?.id ?? null)
    causationDepths.push(composed.causation?.depth ?? 0)
    filteredPlugins.push(filtered.length === 0 ? '' : literal(filtered.slice(0, MAX_FILTERED_NOTED)))
    for (const [index, pluginId] of [...plugins, ...undecided].entries()) {
      reasons.push(index < plugins.length ? null : 'filter_budget')
      orderingKeys.push(index < plugins.length ? (keys?.get(pluginId) ?? null) : null)
      payloads.push(chosen?.get(pluginId) ?? '')
      const burst = index < plugins.length ? coalesced?.get(pluginId) : undefined
      coalesceKeys.push(burst?.key ?? null)
      windows.push(burst?.windowSeconds ?? null)
      deliveries.tenantIds.push(composed.tenantId)
      deliveries.ids.push(newId())
      deliveries.pluginIds.push(pluginId)
      deliveries.eventIds.push(composed.id)
      deliveries.types.push(composed.event)
    }
  }
  return [
    literal([...snapshots.values()]),
    literal([...snapshots.keys()].map(({ version }) => version)),
    literal(tenantIds),
    literal(ids),
    lines(sourceIds),
    Buffer.concat(fingerprints),
    lines(types),
    lines(sources),
    rare(publishers),
    literal(times),
    lines(bodies),
    lines(problems),
    rare(causationIds),
    causationDepths.some((depth) => depth !== 0) ? literal(causationDepths) : '{}',
    literal(deliveries.tenantIds),
    literal(deliveries.ids),
    literal(deliveries.pluginIds),
    literal(deliveries.eventIds),
    lines(deliveries.types),
    rare(reasons),
    filteredPlugins.every((noted) => noted === '') ? '' : lines(filteredPlugins),
    rare(keyIds),
    rare(orderingKeys),
    payloads.every((payload) => payload === '') ? '' : lines(payloads),
    rare(coalesceKeys),
    rare(windows),
  ]
}

/** An array literal of values that need no quoting. */
function literal(values: readonly (string | number)[]): string {
  return `{${values.join(',')}}`
}

/** Of a column whose values are often all null; `unnest` fills up the shorter arrays with nulls. */
function rare(values: readonly (string | number | null)[]): string {
  return values.every((value) => value === null)
    ? '{}'
    : `{${values.map((value) => value ?? 'NULL').join(',')}}`
}

function lines(values: readonly string[]): string {
  return values.join('\n')
}

/** Each statement is a transaction of its own, prepared once for each connection. */
export function runOn(pool: pg.Pool): RunStatement {
  return async (text, values) =>
    (await pool.query<object>({ name: 'write_events', text, values: [...values] })).rows
}
