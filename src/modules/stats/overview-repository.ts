import { type Kysely, sql } from 'kysely'
import type { DB } from '#db/schema.ts'
import { partsOf, type StatsPeriod } from '#infra/statistics/read-repository.ts'
import { lowestIdAt } from '#lib/id-range.ts'
import { EXPIRY_WARNING_DAYS } from '#modules/plugin/index.ts'
import type { AttentionKind } from './overview-schemas.ts'

/** Beyond it what waits is not counted. */
export const WAITING_MAX = 1_000
/** The age at which a waiting delivery is behind, unless it is of a replay: those wait for live ones. */
const BEHIND_SECONDS = 300
/** A flow of which so many executions failed, and such a share, is failing. */
const FAILING_COUNT = 3
const FAILING_SHARE = 0.2
/** So many of each kind that the list stays one that somebody reads. */
export const EACH_MAX = 20

export interface PluginTrouble {
  id: string
  slug: string
  name: string
  /** The gravest of the troubles that keep it from getting its events; null: none does. */
  kind: AttentionKind | null
  reason: string | null
  since: Date | null
  consecutive_failures: number
  /** Null: they do not fail, or the plugin has a graver trouble. */
  capability_failures: number | null
  capability_error: string | null
  /** Null: it does not end soon, or the plugin has none. */
  certificate_ends_at: Date | null
  waiting: number
}

/** Plugins of which somebody has to know, at most 20 of each kind, and how much waits for them. */
export async function selectPluginTrouble(db: Kysely<DB>, tenantId: string): Promise<PluginTrouble[]> {
  const isWaiting = (plugin: string) =>
    sql`d.plugin_id = ${sql.ref(plugin)} and d.tenant_id = ${tenantId} and d.status in ('pending', 'retry')`
  const { rows } = await sql<PluginTrouble>`
    with plugin as (
      select p.id, p.slug, p.name, p.status, p.status_reason, p.status_changed_at, l.breaker_state, l.secret_unreadable,
        l.failing_since, l.last_error_class, l.consecutive_failures,
        case when p.status = 'active' and c.consecutive_failures > 0 then c.consecutive_failures end as capability_failures,
        c.last_error as capability_error,
        case when p.status <> 'disabled' and p.client_certificate_ends_at < now() + ${EXPIRY_WARNING_DAYS}::int * interval '1 day'
          then p.client_certificate_ends_at end as certificate_ends_at,
        (select d.due_at from deliveries d where ${isWaiting('p.id')} and not d.bulk and d.due_at <= now()
          order by d.due_at limit 1) as oldest_due_at
      from plugins p join delivery_lanes l on l.plugin_id = p.id and l.tenant_id = p.tenant_id
      left join plugin_capabilities c on c.plugin_id = p.id and c.tenant_id = p.tenant_id
      where p.tenant_id = ${tenantId} and p.deleted_at is null
    ), found as (
      select plugin.*, case
        when status = 'disabled' then 'plugin_disabled'
        when status = 'paused' then
          case when exists (select from deliveries d where ${isWaiting('plugin.id')}) then 'plugin_paused' end
        when secret_unreadable then 'secret_unreadable'
        when breaker_state = 'open' then 'breaker_open'
        when failing_since is not null then 'plugin_failing'
        when oldest_due_at < now() - ${BEHIND_SECONDS}::int * interval '1 second' then 'deliveries_behind'
        end as kind
      from plugin
    ), trouble as (
      select found.*,
        case when kind in ('plugin_disabled', 'plugin_paused') then status_reason
          when kind in ('breaker_open', 'plugin_failing') then last_error_class end as reason,
        case when kind in ('plugin_disabled', 'plugin_paused') then status_changed_at
          when kind in ('breaker_open', 'plugin_failing') then failing_since
          when kind = 'deliveries_behind' then oldest_due_at end as since
      from found where kind is not null or capability_failures is not null or certificate_ends_at is not null
    ), ranked as (
      select trouble.*, row_number() over (partition by kind order by since nulls last, id) as rank,
        row_number() over (partition by capability_failures is null order by id) as capability_rank,
        row_number() over (order by certificate_ends_at nulls last, id) as certificate_rank
      from trouble
    )
    select id, slug, name, case when rank <= ${EACH_MAX} then kind end as kind, reason, since, consecutive_failures,
      case when capability_rank <= ${EACH_MAX} then capability_failures end as capability_failures, capability_error,
      case when certificate_rank <= ${EACH_MAX} then certificate_ends_at end as certificate_ends_at, (
      select count(*)::int from (
        select from deliveries d where ${isWaiting('ranked.id')} limit ${WAITING_MAX}
      ) waiting
    ) as waiting
    from ranked
    where (kind is not null and rank <= ${EACH_MAX}) or (capability_failures is not null and capability_rank <= ${EACH_MAX})
      or (certificate_ends_at is not null and certificate_rank <= ${EACH_MAX})
    order by rank, id`.execute(db)
  return rows
}

export interface FailingFlow {
  id: string
  name: string
  failed: number
  /** The number of its executions that ended. */
  size: number
  /** The error code that came most. */
  reason: string | null
}

/** Flows that fail often, the ones that fail most first. */
export async function selectFailingFlows(
  db: Kysely<DB>,
  tenantId: string,
  period: StatsPeriod,
): Promise<FailingFlow[]> {
  const { rows } = await sql<FailingFlow>`
    with cell as materialized (
      select flow_id, error_code, sum(failed) as failed, sum(completed + failed + cancelled + timed_out) as size
      from (${await partsOf(db, period)}) part group by flow_id, error_code
    ), failing as (
      select flow_id, sum(failed) as failed, sum(size) as size from cell group by flow_id
      having sum(failed) >= ${FAILING_COUNT}::int and sum(failed) >= ${FAILING_SHARE}::float8 * sum(size)
    )
    select f.id, f.name, failing.failed::int, failing.size::int, (
      select error_code from cell where cell.flow_id = f.id and error_code <> ''
      order by cell.failed desc, error_code limit 1
    ) as reason
    from failing join automation_flows f on f.id = failing.flow_id
    where f.tenant_id = ${tenantId} and f.deleted_at is null
    order by failing.failed desc, f.id limit ${EACH_MAX}`.execute(db)
  return rows
}

export async function selectPausedFlows(
  db: Kysely<DB>,
  tenantId: string,
): Promise<{ id: string; name: string; status_reason: string | null; updated_at: Date }[]> {
  return db
    .selectFrom('automation_flows')
    .select(['id', 'name', 'status_reason', 'updated_at'])
    .where('tenant_id', '=', tenantId)
    .where('deleted_at', 'is', null)
    .where('status', '=', 'paused')
    .orderBy('id')
    .limit(EACH_MAX)
    .execute()
}

export async function selectHaltedAt(db: Kysely<DB>, tenantId: string): Promise<Date | null> {
  const row = await db
    .selectFrom('flow_cursors')
    .select('halted_at')
    .where('tenant_id', '=', tenantId)
    .executeTakeFirst()
  return row?.halted_at ?? null
}

/** Counts events that are set aside, up to a limit, and tells since when the oldest of them are. */
export async function countSetAside(
  db: Kysely<DB>,
  tenantId: string,
): Promise<{ count: number; since: Date | null }> {
  const { rows } = await sql<{ count: number; since: Date | null }>`
    select count(*)::int as count, min(set_aside_at) as since from (
      select set_aside_at from set_aside_events where tenant_id = ${tenantId} order by event_id limit ${WAITING_MAX}
    ) found`.execute(db)
  return rows[0] ?? { count: 0, since: null }
}

/** Counts events by the time of their ids, up to a limit. */
export async function countEvents(
  db: Kysely<DB>,
  tenantId: string,
  since: Date,
  limit: number,
): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count from (
      select from events where tenant_id = ${tenantId} and id >= ${lowestIdAt(since.getTime())} limit ${limit}
    ) found`.execute(db)
  return rows[0]?.count ?? 0
}

/** Matches entries of the audit log about a change; their index names the same. */
const IS_CHANGE = sql<boolean>`action not in ('actions.dispatched', 'automations.run_due', 'deliveries.processed',
  'flow.exported', 'flow.run', 'flow.tested', 'plugin.tested', 'session.started', 'session.ended')`

/**
 * Returns the id of the last entry about a change in the tenant's audit log: every change by anybody, in any process,
 * has one. Dispatches, tests, runs, exports and sessions have entries, too, and change nothing that the overview shows.
 */
export async function selectLastChange(db: Kysely<DB>, tenantId: string): Promise<string | null> {
  const last = await db
    .selectFrom('audit_log')
    .select('id')
    .where('tenant_id', '=', tenantId)
    .where(IS_CHANGE)
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst()
  return last?.id ?? null
}

/** Tells whether the shop has any plugin, event and flow. */
export async function selectPresence(
  db: Kysely<DB>,
  tenantId: string,
): Promise<{ plugin: boolean; event: boolean; flow: boolean }> {
  const { rows } = await sql<{ plugin: boolean; event: boolean; flow: boolean }>`
    select exists (select from plugins where tenant_id = ${tenantId} and deleted_at is null) as plugin,
      exists (select from events where tenant_id = ${tenantId}) as event,
      exists (select from automation_flows where tenant_id = ${tenantId} and deleted_at is null) as flow`.execute(
    db,
  )
  return rows[0] ?? { plugin: false, event: false, flow: false }
}
