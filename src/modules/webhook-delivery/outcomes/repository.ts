import type pg from 'pg'
import { plainArray, sparseArray, textArray } from '#db/array-literal.ts'
import type { BreakerState, HoldReason } from '#db/schema.ts'

/** One taking of a lane: one object for all outcomes of it, so that a batch names it once. */
export interface LaneHold {
  readonly tenantId: string
  readonly pluginId: string
  readonly leaseToken: number
  /** JSON: how requests were sent while it was held, but for what follows from the event. */
  readonly request: string
}

/** One finished attempt (or a delivery that could not be attempted). */
export interface Outcome {
  hold: LaneHold
  deliveryId: string
  /** The event's type. */
  event: string
  /** Attempts before this one: the row must still be there. */
  previousAttempts: number
  attempted: boolean
  status: 'sent' | 'retry' | 'failed'
  reason: string | null
  delayMs: number | null
  startedAtMs: number
  durationMs: number
  responseStatus: number | null
  errorClass: string | null
  errorDetail: string | null
  responseHeaders: string | null
  responseBody: string
  responseTruncated: boolean
}

/** The values of a lane's row after a batch of outcomes. */
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
 *
 * - What is the same for a lane ($1 to $3) is sent once and looked up by its place, `slot`: subscripts of arrays of
 *   fixed-size elements, because a join would be planned for ten rows and run as a nested loop over hundreds.
 * - Columns that nearly always have one value are sent only when they have not (array-literal.ts).
 * - Headers travel as lines: JSON holds no line break, and Postgres need not take escapes out.
 * - The attempts are inserted from what the update returns, not by a join with it.
 *
 * Measured beside every column sent for every outcome and the joins: 14 to 17 µs of a backend's CPU for an outcome
 * instead of 19 to 21, of which the update and its three index entries are 10, the attempt 2.
 */
const RECORD = `
with held as materialized (
  select array_agg(l.plugin_id is not null order by own.slot) as slots, string_to_array($34, chr(10)) as requests
  from unnest($2::uuid[], $3::bigint[]) with ordinality as own (plugin_id, lease_token, slot)
  left join delivery_lanes l
    on l.plugin_id = own.plugin_id and l.lease_token = own.lease_token and l.lease_until > clock_timestamp()
), done as (
  update deliveries d
  set status = coalesce(o.status, 'sent'), reason = o.reason,
      attempt_count = d.attempt_count + coalesce(o.attempted, true)::int,
      round_failures = d.round_failures
        + case when o.status is null then 0 else coalesce(o.attempted, true)::int end,
      due_at = case when o.status = 'retry'
        then coalesce($18::timestamptz, clock_timestamp()) + o.delay_ms * interval '1 millisecond' end,
      sent_at = case when o.status is null then clock_timestamp() else d.sent_at end,
      last_response_status = o.response_status, last_error_class = o.error_class
  from unnest($4::int[], $5::uuid[], $6::int[], $7::bool[], $8::text[], $9::text[], $10::float8[], $11::float8[],
    $12::int[], $13::smallint[], $14::text[], $15::text[], string_to_array($16, chr(10), ''), $17::text[], $19::bool[])
  as o (slot, id, previous_attempts, attempted, status, reason, delay_ms, started_at_ms,
    duration_ms, response_status, error_class, error_detail, response_headers, response_body, response_truncated)
  where (select slots from held)[o.slot] and d.tenant_id = ($1::uuid[])[o.slot] and d.id = o.id
    and d.status in ('pending', 'retry') and d.attempt_count = coalesce(o.previous_attempts, 0)
  returning d.tenant_id, d.id, d.attempt_count, coalesce(o.attempted, true) as attempted, o.started_at_ms,
    o.duration_ms, o.response_status, o.error_class, o.error_detail, o.response_headers, o.response_body,
    o.response_truncated, (select requests from held)[o.slot] as request
), logged as (
  insert into delivery_attempts (tenant_id, delivery_id, number, started_at, duration_ms, response_status,
    error_class, error_detail, response_headers, response_body, response_truncated, request)
  select tenant_id, id, attempt_count, to_timestamp(started_at_ms / 1000), duration_ms, response_status,
    error_class, error_detail, response_headers::json, coalesce(response_body, ''), coalesce(response_truncated, false),
    request::json
  from done where attempted
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
  from unnest($20::uuid[], $21::bigint[], $22::int[], $23::text[], $24::int[], $25::float8[], $26::text[], $27::int[],
    $28::bool[], $29::int[], $30::text[], $31::bool[], $32::bool[], $33::real[])
    as u (plugin_id, lease_token, health_version, breaker_state, breaker_opens, hold_ms, hold_reason,
      consecutive_failures, failing, failing_attempts, last_error_class, succeeded, failed, rate_tokens)
  where l.plugin_id = u.plugin_id and l.lease_token = u.lease_token and l.health_version = u.health_version
    and l.lease_until > clock_timestamp()
)
select case when count(*) < cardinality($5::uuid[]) then coalesce(array_agg(id::text), '{}') end as counted from done`

/** @returns the ids of the deliveries whose outcome did not count */
export async function recordOutcomes(
  pool: pg.Pool,
  outcomes: readonly Outcome[],
  lanes: readonly LaneUpdate[],
  now: Date | null,
): Promise<ReadonlySet<string>> {
  const { rows } = await pool.query<{ counted: string[] | null }>({
    name: 'record_outcomes',
    text: RECORD,
    values: [...outcomeColumns(outcomes, now), ...laneColumns(lanes), requestLines(outcomes)],
  })
  // An id for each row would be read back for nothing: nearly always all of them count.
  const counted = rows[0]?.counted ?? null
  if (counted === null) return new Set()
  const lost = new Set(outcomes.map(({ deliveryId }) => deliveryId))
  for (const id of counted) lost.delete(id)
  return lost
}

function outcomeColumns(outcomes: readonly Outcome[], now: Date | null): unknown[] {
  const slots = new Map<LaneHold, number>()
  for (const { hold } of outcomes) if (!slots.has(hold)) slots.set(hold, slots.size + 1)
  const holds = [...slots.keys()]
  const column = <T>(read: (outcome: Outcome) => T): T[] => outcomes.map(read)
  return [
    plainArray(holds.map((hold) => hold.tenantId)),
    plainArray(holds.map((hold) => hold.pluginId)),
    plainArray(holds.map((hold) => hold.leaseToken)),
    plainArray(column((o) => slots.get(o.hold) ?? null)),
    plainArray(column((o) => o.deliveryId)),
    sparseArray(
      column((o) => o.previousAttempts),
      0,
    ),
    sparseArray(
      column((o) => o.attempted),
      true,
    ),
    sparseArray(
      column((o) => (o.status === 'sent' ? null : o.status)),
      null,
    ),
    sparseArray(
      column((o) => o.reason),
      null,
    ),
    sparseArray(
      column((o) => o.delayMs),
      null,
    ),
    plainArray(column((o) => o.startedAtMs)),
    plainArray(column((o) => o.durationMs)),
    plainArray(column((o) => o.responseStatus)),
    sparseArray(
      column((o) => o.errorClass),
      null,
    ),
    sparseArray(
      column((o) => o.errorDetail),
      null,
      textArray,
    ),
    column((o) => o.responseHeaders ?? '').join('\n'),
    sparseArray(
      column((o) => o.responseBody),
      '',
      textArray,
    ),
    now,
    sparseArray(
      column((o) => o.responseTruncated),
      false,
    ),
  ]
}

/** One line for each slot of `outcomeColumns`: the same Map order. */
function requestLines(outcomes: readonly Outcome[]): string {
  return [...new Set(outcomes.map(({ hold }) => hold))].map(({ request }) => request).join('\n')
}

function laneColumns(lanes: readonly LaneUpdate[]): unknown[] {
  return [
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
  ]
}
