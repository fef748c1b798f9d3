import type pg from 'pg'
import { FLUSHED, nextToken } from '#db/fence.ts'
import type { BreakerState } from '#db/schema.ts'

/**
 * Finding, leasing and giving back lanes. Like the queue's other SQL (due/repository.ts, outcomes/repository.ts),
 * prepared statements on the raw driver: each runs for a whole batch. Times go in and out as durations, so that only
 * the database's clock decides what is due; `now` replaces that clock in tests (null: the database's own).
 */
export interface LaneClaim {
  plugin_id: string
  tenant_id: string
  lease_token: number
  health_version: number
  breaker_state: BreakerState
  breaker_opens: number
  /** True if a breaker's pause has just passed. */
  held_before: boolean
  consecutive_failures: number
  failing_for_ms: number | null
  failing_attempts: number
  failing_announced: boolean
  disabling_announced: boolean
  last_error_class: string | null
  proven: boolean
  rate_tokens: number | null
  rate_age_ms: number | null
  /** Not null: deliveries from before then are to be given up first. */
  skip_before: string | null
  /** Not null: deliveries that wait are to be looked over first. */
  unsubscribed_at: string | null
  /** Written by its last holder with `markUnreadable`. */
  secret_unreadable: boolean
  revision: number
}

/** A plugin that has deliveries due and a lane that is free to take. */
export interface LaneCandidate {
  plugin_id: string
  tenant_id: string
  failing: boolean
  proven: boolean
}

/** True of a lane whose waiting deliveries have to be seen to, also while nothing may be sent. */
const HAS_MARK = '(l.skip_before is not null or l.unsubscribed_at is not null)'

/** Most lanes that one look finds: of each tenant the longest waiting come first, the rest at the next look. */
const DISCOVER_MAX = 2_000

/**
 * Finds plugins with due deliveries by hopping over the queue's index: one probe a plugin for what happens now and one for
 * what replays ask for, if there is any, whatever the length of its backlog. Measured with 5,050 plugins and 1,000,000 waiting rows: see docs/performance.md.
 */
const DISCOVER = `
with recursive waiting as (
  (select plugin_id, bulk, due_at from deliveries
   where status in ('pending', 'retry') order by plugin_id, bulk, due_at limit 1)
  union all
  select next.plugin_id, next.bulk, next.due_at from waiting cross join lateral (
    select plugin_id, bulk, due_at from deliveries
    where status in ('pending', 'retry') and (plugin_id, bulk) > (waiting.plugin_id, waiting.bulk)
    order by plugin_id, bulk, due_at limit 1
  ) next
), work as (
  select plugin_id from waiting where due_at <= coalesce($2::timestamptz, clock_timestamp())
  union select plugin_id from delivery_lanes where skip_before is not null
  union select plugin_id from delivery_lanes where unsubscribed_at is not null
)
select l.plugin_id, l.tenant_id, l.consecutive_failures > 0 as failing, l.last_success_at is not null as proven
from work join delivery_lanes l on l.plugin_id = work.plugin_id
join plugins p on p.id = l.plugin_id and p.tenant_id = l.tenant_id
where ($1::uuid is null or l.tenant_id = $1)
  and (l.lease_until is null or l.lease_until <= clock_timestamp())
  and (l.hold_until is null or l.hold_until <= coalesce($2::timestamptz, clock_timestamp()) or ${HAS_MARK})
  and (p.status = 'active' or ${HAS_MARK})
order by row_number() over (partition by l.tenant_id order by l.served_at), l.served_at
limit ${DISCOVER_MAX}`

export async function discoverLanes(
  pool: pg.Pool,
  options: { tenantId: string | null; now: Date | null },
): Promise<LaneCandidate[]> {
  const { rows } = await pool.query<LaneCandidate>({
    name: 'discover_lanes',
    text: DISCOVER,
    values: [options.tenantId, options.now],
  })
  return rows
}

/** Finds whose lanes these are, and of which kind; whether they are free, a claim tells. */
export async function identifyLanes(pool: pg.Pool, pluginIds: readonly string[]): Promise<LaneCandidate[]> {
  const { rows } = await pool.query<LaneCandidate>({
    name: 'identify_lanes',
    text: `select plugin_id, tenant_id, consecutive_failures > 0 as failing, last_success_at is not null as proven
           from delivery_lanes where plugin_id = any($1::uuid[])`,
    values: [pluginIds],
  })
  return rows
}

const CLAIM = `
with free as (
  select l.plugin_id, p.revision, l.hold_until is not null as held_before
  from delivery_lanes l join plugins p on p.id = l.plugin_id and p.tenant_id = l.tenant_id
  where l.plugin_id = any($1::uuid[])
    and (l.lease_until is null or l.lease_until <= clock_timestamp()
      or (l.lease_owner = $2 and l.plugin_id = any($5::uuid[])))
    and (l.hold_until is null or l.hold_until <= coalesce($4::timestamptz, clock_timestamp()) or ${HAS_MARK})
    and (p.status = 'active' or ${HAS_MARK})
  for update of l skip locked
)
update delivery_lanes l
set lease_token = ${nextToken('l.lease_token')}, lease_owner = $2, lease_until = clock_timestamp() + $3 * interval '1 millisecond',
    served_at = clock_timestamp()
from free
where l.plugin_id = free.plugin_id
returning l.plugin_id, l.tenant_id, l.lease_token, l.health_version, l.breaker_state, l.breaker_opens,
  free.held_before, l.consecutive_failures, l.failing_attempts, l.failing_announced,
  l.disabling_announced, l.last_error_class,
  (extract(epoch from coalesce($4::timestamptz, clock_timestamp()) - l.failing_since) * 1000)::float8 as failing_for_ms,
  l.last_success_at is not null as proven,
  l.rate_tokens, (extract(epoch from clock_timestamp() - l.rate_at) * 1000)::float8 as rate_age_ms,
  l.skip_before::text, l.unsubscribed_at::text, l.secret_unreadable, free.revision, ${FLUSHED}`

/**
 * Takes the free ones among these lanes for `leaseMs`; each taking raises the fencing token, on the disk. Those of `unsure`
 * are free, too, where the owner has taken them before and has not heard of it.
 */
export async function claimLanes(
  pool: pg.Pool,
  options: {
    pluginIds: readonly string[]
    unsure: readonly string[]
    owner: string
    leaseMs: number
    now: Date | null
  },
): Promise<LaneClaim[]> {
  const { rows } = await pool.query<LaneClaim>({
    name: 'claim_lanes',
    text: CLAIM,
    values: [options.pluginIds, options.owner, options.leaseMs, options.now, options.unsure],
  })
  return rows
}

/** Prolongs the leases; a lane that is not in the answer belongs to somebody else by now. */
export async function renewLeases(
  pool: pg.Pool,
  lanes: readonly { pluginId: string; leaseToken: number }[],
  leaseMs: number,
): Promise<Set<string>> {
  const { rows } = await pool.query<{ plugin_id: string }>({
    name: 'renew_leases',
    text: `update delivery_lanes l set lease_until = clock_timestamp() + $3 * interval '1 millisecond'
           from unnest($1::uuid[], $2::bigint[]) as held (plugin_id, lease_token)
           where l.plugin_id = held.plugin_id and l.lease_token = held.lease_token and l.lease_until > clock_timestamp()
           returning l.plugin_id`,
    values: [lanes.map((lane) => lane.pluginId), lanes.map((lane) => lane.leaseToken), leaseMs],
  })
  return new Set(rows.map((row) => row.plugin_id))
}

/** Writes whether the plugins' secrets could be opened: their deliveries tell why they wait. */
export async function markUnreadable(
  pool: pg.Pool,
  lanes: readonly { pluginId: string; leaseToken: number; unreadable: boolean }[],
): Promise<void> {
  await pool.query({
    name: 'mark_unreadable',
    text: `update delivery_lanes l set secret_unreadable = held.unreadable
           from unnest($1::uuid[], $2::bigint[], $3::boolean[]) as held (plugin_id, lease_token, unreadable)
           where l.plugin_id = held.plugin_id and l.lease_token = held.lease_token`,
    values: [
      lanes.map((lane) => lane.pluginId),
      lanes.map((lane) => lane.leaseToken),
      lanes.map((lane) => lane.unreadable),
    ],
  })
}

/**
 * Gives lanes back, some of them for a while to nobody. The token stays: whoever takes them next gets a higher one. A hold
 * without a reason is such a pause.
 */
export async function releaseLanes(
  pool: pg.Pool,
  lanes: readonly {
    pluginId: string
    leaseToken: number
    rateTokens: number | null
    pauseMs?: number | null
  }[],
): Promise<void> {
  await pool.query({
    name: 'release_lanes',
    text: `update delivery_lanes l set lease_until = null, lease_owner = null, rate_tokens = held.rate_tokens,
             rate_at = case when held.rate_tokens is not null then clock_timestamp() end,
             hold_reason = case when held.pause_ms is not null and coalesce(l.hold_until <= clock_timestamp(), true) then null else l.hold_reason end,
             hold_until = case when held.pause_ms is null then l.hold_until
               else greatest(l.hold_until, clock_timestamp() + held.pause_ms * interval '1 millisecond') end
           from unnest($1::uuid[], $2::bigint[], $3::real[], $4::float8[]) as held (plugin_id, lease_token, rate_tokens, pause_ms)
           where l.plugin_id = held.plugin_id and l.lease_token = held.lease_token`,
    values: [
      lanes.map((lane) => lane.pluginId),
      lanes.map((lane) => lane.leaseToken),
      lanes.map((lane) => lane.rateTokens),
      lanes.map((lane) => lane.pauseMs ?? null),
    ],
  })
}
