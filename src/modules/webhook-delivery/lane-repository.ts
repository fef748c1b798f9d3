import type pg from 'pg'
import type { BreakerState, HoldReason } from '../../../db/schema.ts'

/**
 * The queue's SQL. Prepared statements on the raw driver: this is the hot path, and each runs for a whole
 * batch. Times go in and out as durations, so that only the database's clock decides what is due; `now`
 * replaces that clock in tests (null: the database's own).
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
  last_error_class: string | null
  proven: boolean
  rate_tokens: number | null
  rate_age_ms: number | null
  /** Not null: deliveries from before then are to be given up first. */
  skip_before: string | null
  revision: number
}

/** A plugin that has deliveries due and a lane that is free to take. */
export interface LaneCandidate {
  plugin_id: string
  failing: boolean
  proven: boolean
}

export interface DueDelivery {
  plugin_id: string
  revision: number
  /** The rest is null where the plugin has nothing due. */
  id: string | null
  event_id: string | null
  event: string | null
  attempt_count: number
  round_failures: number
}

/** Most lanes that one look finds; the longest waiting come first, the rest at the next look. */
const DISCOVER_MAX = 2_000

/**
 * Finds plugins with due deliveries by hopping over the queue's index: one probe a plugin, whatever the
 * length of its backlog. Measured with 5,050 plugins and 1,000,000 waiting rows: see docs/performance.md.
 */
const DISCOVER = `
with recursive waiting as (
  (select plugin_id, due_at from deliveries
   where status in ('pending', 'retry') order by plugin_id, due_at limit 1)
  union all
  select next.plugin_id, next.due_at from waiting cross join lateral (
    select plugin_id, due_at from deliveries
    where status in ('pending', 'retry') and plugin_id > waiting.plugin_id
    order by plugin_id, due_at limit 1
  ) next
), work as (
  select plugin_id from waiting where due_at <= coalesce($2::timestamptz, clock_timestamp())
  union select plugin_id from delivery_lanes where skip_before is not null
)
select l.plugin_id, l.consecutive_failures > 0 as failing, l.last_success_at is not null as proven
from work join delivery_lanes l on l.plugin_id = work.plugin_id
join plugins p on p.id = l.plugin_id and p.tenant_id = l.tenant_id
where ($1::uuid is null or l.tenant_id = $1)
  and (l.lease_until is null or l.lease_until <= clock_timestamp())
  and (l.hold_until is null or l.hold_until <= coalesce($2::timestamptz, clock_timestamp()) or l.skip_before is not null)
  and (p.status = 'active' or l.skip_before is not null)
order by l.served_at
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

const CLAIM = `
with free as (
  select l.plugin_id, p.revision, l.hold_until is not null as held_before
  from delivery_lanes l join plugins p on p.id = l.plugin_id and p.tenant_id = l.tenant_id
  where l.plugin_id = any($1::uuid[])
    and (l.lease_until is null or l.lease_until <= clock_timestamp())
    and (l.hold_until is null or l.hold_until <= coalesce($4::timestamptz, clock_timestamp()) or l.skip_before is not null)
    and (p.status = 'active' or l.skip_before is not null)
  for update of l skip locked
)
update delivery_lanes l
set lease_token = l.lease_token + 1, lease_owner = $2, lease_until = clock_timestamp() + $3 * interval '1 millisecond',
    served_at = clock_timestamp()
from free
where l.plugin_id = free.plugin_id
returning l.plugin_id, l.tenant_id, l.lease_token, l.health_version, l.breaker_state, l.breaker_opens,
  free.held_before, l.consecutive_failures, l.failing_attempts, l.failing_announced, l.last_error_class,
  (extract(epoch from coalesce($4::timestamptz, clock_timestamp()) - l.failing_since) * 1000)::float8 as failing_for_ms,
  l.last_success_at is not null as proven,
  l.rate_tokens, (extract(epoch from clock_timestamp() - l.rate_at) * 1000)::float8 as rate_age_ms,
  l.skip_before::text, free.revision`

/** Takes the free ones among these lanes for `leaseMs`; each taking raises the fencing token. */
export async function claimLanes(
  pool: pg.Pool,
  options: { pluginIds: readonly string[]; owner: string; leaseMs: number; now: Date | null },
): Promise<LaneClaim[]> {
  const { rows } = await pool.query<LaneClaim>({
    name: 'claim_lanes',
    text: CLAIM,
    values: [options.pluginIds, options.owner, options.leaseMs, options.now],
  })
  return rows
}

const FETCH = `
select want.plugin_id, p.revision, due.id, due.event_id, due.event, due.attempt_count, due.round_failures
from unnest($1::uuid[], $2::int[]) want (plugin_id, most)
join plugins p on p.id = want.plugin_id
left join lateral (
  select d.id, d.event_id, d.event, d.attempt_count, d.round_failures from deliveries d
  where d.plugin_id = want.plugin_id and d.tenant_id = p.tenant_id and d.status in ('pending', 'retry')
    and d.due_at <= coalesce($4::timestamptz, clock_timestamp()) and d.id <> all ($3::uuid[])
  order by d.due_at, d.id limit want.most
) due on true`

/**
 * What is due in lanes that the caller holds, oldest first; at least one row for each lane (with null ids where
 * nothing is due), so that a changed plugin is noticed. Takes nothing: the lane's lease is what makes it ours.
 */
export async function fetchDue(
  pool: pg.Pool,
  wants: readonly { pluginId: string; most: number }[],
  exceptIds: readonly string[],
  now: Date | null,
): Promise<DueDelivery[]> {
  const { rows } = await pool.query<DueDelivery>({
    name: 'fetch_due',
    text: FETCH,
    values: [wants.map((want) => want.pluginId), wants.map((want) => want.most), exceptIds, now],
  })
  return rows
}

export interface EventBody {
  id: string
  /** Null: it has aged out or was erased, or `over_budget`. */
  body: string | null
  over_budget: boolean
}

/**
 * The bodies of these events, in the order asked for, up to `maxBytes` in all but at least one: a batch of the
 * largest bodies must not be the worker's memory. (octet_length reads a stored body's size without unpacking it.)
 */
export async function fetchBodies(
  pool: pg.Pool,
  events: readonly { tenantId: string; eventId: string }[],
  maxBytes: number,
): Promise<EventBody[]> {
  const { rows } = await pool.query<EventBody>({
    name: 'fetch_bodies',
    text: `select id, case when not over_budget then body end as body, over_budget from (
             select e.id, e.body, place > 1 and sum(octet_length(e.body)) over (order by place) > $3 as over_budget
             from unnest($1::uuid[], $2::uuid[]) with ordinality want (tenant_id, id, place)
             join events e on e.tenant_id = want.tenant_id and e.id = want.id
           ) found`,
    values: [events.map((event) => event.tenantId), events.map((event) => event.eventId), maxBytes],
  })
  return rows
}

/** One finished attempt (or a delivery that could not be attempted: `number` is then its last attempt). */
export interface Outcome {
  tenantId: string
  pluginId: string
  leaseToken: number
  deliveryId: string
  /** Attempts before this one: the row must still be there. */
  previousAttempts: number
  attempted: boolean
  status: 'sent' | 'retry' | 'failed'
  reason: string | null
  delayMs: number | null
  startedAt: Date
  durationMs: number
  responseStatus: number | null
  errorClass: string | null
  errorDetail: string | null
  responseHeaders: string | null
  responseBody: string | null
  responseTruncated: boolean
}

/** What a lane's row is to say after a batch of outcomes. */
export interface LaneUpdate {
  pluginId: string
  leaseToken: number
  healthVersion: number
  breakerState: BreakerState
  breakerOpens: number
  holdMs: number | null
  holdReason: HoldReason | null
  consecutiveFailures: number
  failing: boolean
  failingAttempts: number
  lastErrorClass: string | null
  succeeded: boolean
  failed: boolean
  rateTokens: number | null
}

/**
 * Writes a batch of outcomes in one statement. The fence: an outcome counts only if the lane still has the token
 * it was attempted under, its lease has not passed, and the delivery has not moved on. Attempts are logged
 * only for outcomes that count. A worker that slept through its lease writes nothing here.
 */
const RECORD = `
with outcome as (
  select * from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::int[], $6::bool[], $7::text[], $8::text[],
    $9::float8[], $10::timestamptz[], $11::int[], $12::smallint[], $13::text[], $14::text[], $15::jsonb[], $16::text[],
    $17::bool[])
  as o (tenant_id, plugin_id, lease_token, id, previous_attempts, attempted, status, reason, delay_ms, started_at,
    duration_ms, response_status, error_class, error_detail, response_headers, response_body, response_truncated)
), held as (
  select plugin_id, lease_token from delivery_lanes
  where plugin_id = any($2::uuid[]) and lease_until > clock_timestamp()
), done as (
  update deliveries d
  set status = o.status, reason = o.reason,
      attempt_count = d.attempt_count + o.attempted::int,
      round_failures = case when o.status = 'sent' then d.round_failures else d.round_failures + o.attempted::int end,
      due_at = case when o.status = 'retry'
        then coalesce($18::timestamptz, clock_timestamp()) + o.delay_ms * interval '1 millisecond' end,
      sent_at = case when o.status = 'sent' then clock_timestamp() end,
      last_response_status = o.response_status, last_error_class = o.error_class
  from outcome o join held on held.plugin_id = o.plugin_id and held.lease_token = o.lease_token
  where d.tenant_id = o.tenant_id and d.id = o.id
    and d.status in ('pending', 'retry') and d.attempt_count = o.previous_attempts
  returning d.id
), logged as (
  insert into delivery_attempts (tenant_id, delivery_id, number, started_at, duration_ms, response_status,
    error_class, error_detail, response_headers, response_body, response_truncated)
  select o.tenant_id, o.id, o.previous_attempts + 1, o.started_at, o.duration_ms, o.response_status,
    o.error_class, o.error_detail, o.response_headers, o.response_body, o.response_truncated
  from outcome o join done on done.id = o.id where o.attempted
), lane as (
  update delivery_lanes l
  set breaker_state = u.breaker_state, breaker_opens = u.breaker_opens,
      hold_until = coalesce($18::timestamptz, clock_timestamp()) + u.hold_ms * interval '1 millisecond',
      hold_reason = u.hold_reason,
      consecutive_failures = u.consecutive_failures,
      failing_since = case when u.failing then coalesce(l.failing_since, coalesce($18::timestamptz, clock_timestamp())) end,
      failing_attempts = u.failing_attempts, last_error_class = u.last_error_class,
      last_success_at = case when u.succeeded then clock_timestamp() else l.last_success_at end,
      last_failure_at = case when u.failed then clock_timestamp() else l.last_failure_at end,
      rate_tokens = u.rate_tokens, rate_at = case when u.rate_tokens is not null then clock_timestamp() end
  from unnest($19::uuid[], $20::bigint[], $21::int[], $22::text[], $23::int[], $24::float8[], $25::text[], $26::int[],
    $27::bool[], $28::int[], $29::text[], $30::bool[], $31::bool[], $32::real[])
    as u (plugin_id, lease_token, health_version, breaker_state, breaker_opens, hold_ms, hold_reason,
      consecutive_failures, failing, failing_attempts, last_error_class, succeeded, failed, rate_tokens)
  where l.plugin_id = u.plugin_id and l.lease_token = u.lease_token and l.health_version = u.health_version
    and l.lease_until > clock_timestamp()
)
select id from done`

/** @returns the ids of the deliveries whose outcome counted */
export async function recordOutcomes(
  pool: pg.Pool,
  outcomes: readonly Outcome[],
  lanes: readonly LaneUpdate[],
  now: Date | null,
): Promise<Set<string>> {
  const { rows } = await pool.query<{ id: string }>({
    name: 'record_outcomes',
    text: RECORD,
    values: [
      outcomes.map((o) => o.tenantId),
      outcomes.map((o) => o.pluginId),
      outcomes.map((o) => o.leaseToken),
      outcomes.map((o) => o.deliveryId),
      outcomes.map((o) => o.previousAttempts),
      outcomes.map((o) => o.attempted),
      outcomes.map((o) => o.status),
      outcomes.map((o) => o.reason),
      outcomes.map((o) => o.delayMs),
      outcomes.map((o) => o.startedAt),
      outcomes.map((o) => o.durationMs),
      outcomes.map((o) => o.responseStatus),
      outcomes.map((o) => o.errorClass),
      outcomes.map((o) => o.errorDetail),
      outcomes.map((o) => o.responseHeaders),
      outcomes.map((o) => o.responseBody),
      outcomes.map((o) => o.responseTruncated),
      now,
      lanes.map((l) => l.pluginId),
      lanes.map((l) => l.leaseToken),
      lanes.map((l) => l.healthVersion),
      lanes.map((l) => l.breakerState),
      lanes.map((l) => l.breakerOpens),
      lanes.map((l) => l.holdMs),
      lanes.map((l) => l.holdReason),
      lanes.map((l) => l.consecutiveFailures),
      lanes.map((l) => l.failing),
      lanes.map((l) => l.failingAttempts),
      lanes.map((l) => l.lastErrorClass),
      lanes.map((l) => l.succeeded),
      lanes.map((l) => l.failed),
      lanes.map((l) => l.rateTokens),
    ],
  })
  return new Set(rows.map((row) => row.id))
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

/** Gives lanes back. The token stays: whoever takes them next gets a higher one. */
export async function releaseLanes(
  pool: pg.Pool,
  lanes: readonly { pluginId: string; leaseToken: number; rateTokens: number | null }[],
): Promise<void> {
  await pool.query({
    name: 'release_lanes',
    text: `update delivery_lanes l set lease_until = null, lease_owner = null, rate_tokens = held.rate_tokens,
             rate_at = case when held.rate_tokens is not null then clock_timestamp() end
           from unnest($1::uuid[], $2::bigint[], $3::real[]) as held (plugin_id, lease_token, rate_tokens)
           where l.plugin_id = held.plugin_id and l.lease_token = held.lease_token`,
    values: [
      lanes.map((lane) => lane.pluginId),
      lanes.map((lane) => lane.leaseToken),
      lanes.map((lane) => lane.rateTokens),
    ],
  })
}

/** Deliveries given up at once by `giveUpSkipped`: short enough not to hold their rows for long. */
const SKIP_BATCH = 1_000

/**
 * Gives up waiting deliveries from before the lane's `skip_before`, a batch at a time, and clears the mark once
 * none is left. @returns how many were given up; 0: done
 */
export async function giveUpSkipped(
  pool: pg.Pool,
  lane: { pluginId: string; leaseToken: number; skipBefore: string },
): Promise<number> {
  const { rowCount } = await pool.query({
    name: 'give_up_skipped',
    text: `with lane as (
             select plugin_id, tenant_id, skip_before, skip_reason from delivery_lanes
             where plugin_id = $1 and lease_token = $2 and lease_until > clock_timestamp() and skip_before is not null
           ), doomed as (
             select d.tenant_id, d.id from lane join deliveries d on d.plugin_id = lane.plugin_id and d.tenant_id = lane.tenant_id
             where d.status in ('pending', 'retry') and d.created_at < lane.skip_before
             limit ${SKIP_BATCH} for update of d
           )
           update deliveries d set status = 'failed', reason = (select skip_reason from lane), due_at = null
           from doomed where d.tenant_id = doomed.tenant_id and d.id = doomed.id`,
    values: [lane.pluginId, lane.leaseToken],
  })
  if (rowCount === 0) {
    await pool.query({
      name: 'clear_skip',
      text: `update delivery_lanes set skip_before = null, skip_reason = null 
             where plugin_id = $1 and lease_token = $2 and skip_before = $3::timestamptz
               and lease_until > clock_timestamp()`,
      values: [lane.pluginId, lane.leaseToken, lane.skipBefore],
    })
  }
  return rowCount ?? 0
}

/** A worker that has not been seen for so long is not counted on any more. */
const WORKER_GONE_SECONDS = 10

/** Says that this worker is there. @returns how many workers there are and how many lanes they hold together */
export async function checkIn(pool: pg.Pool, owner: string): Promise<{ workers: number; lanes: number }> {
  const { rows } = await pool.query<{ workers: number; lanes: number }>({
    name: 'check_in',
    text: `with me as (
             insert into delivery_workers (owner, seen_at) values ($1, clock_timestamp())
             on conflict (owner) do update set seen_at = excluded.seen_at
           ), gone as (
             delete from delivery_workers where seen_at < clock_timestamp() - interval '10 minutes' and owner <> $1
           )
           select (select count(*) from delivery_workers where owner <> $1
                     and seen_at > clock_timestamp() - $2 * interval '1 second') + 1 as workers,
                  (select count(*) from delivery_lanes where lease_until > clock_timestamp()) as lanes`,
    values: [owner, WORKER_GONE_SECONDS],
  })
  return rows[0] ?? { workers: 1, lanes: 0 }
}

export async function checkOut(pool: pg.Pool, owner: string): Promise<void> {
  await pool.query('delete from delivery_workers where owner = $1', [owner])
}
