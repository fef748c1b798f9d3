import type pg from 'pg'
import type { InvocationStatus } from '../../../db/schema.ts'

/** Wants to run one action. */
export interface ClaimRequest {
  tenantId: string
  /** For the row, if there is none yet. */
  id: string
  flowExecutionId: string
  eventKey: string
  actionType: string
  pluginId: string | null
  fingerprint: Buffer
}

/** What the claim found: `run` is ours to do, under this token. */
export interface ClaimAnswer {
  id: string
  state: 'run' | 'recorded' | 'busy' | 'conflict'
  token: number
  recorded: RecordedInvocation | null
}

export interface RecordedInvocation {
  status: InvocationStatus
  data: unknown
  error_code: string | null
  error_message: string | null
  response_status: number | null
  attempts: number
  duration_ms: number | null
}

/** How long a process that stopped answering keeps what it runs; renewed while it lives. */
export const INVOCATION_LEASE_MS = 15_000

const CLAIM = `
with want as (
  select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::bytea[])
    as w (tenant_id, id, flow_execution_id, event_key, action_type, plugin_id, fingerprint)
), fresh as (
  insert into action_invocations
    (tenant_id, id, flow_execution_id, event_key, action_type, plugin_id, fingerprint, status, lease_until)
  select tenant_id, id, flow_execution_id, event_key, action_type, plugin_id, fingerprint, 'running',
    clock_timestamp() + ${INVOCATION_LEASE_MS} * interval '1 millisecond'
  from want
  on conflict (tenant_id, flow_execution_id, event_key) do nothing
  returning tenant_id, id, flow_execution_id, event_key, lease_token
), retaken as (
  update action_invocations a
  set status = 'running', lease_token = a.lease_token + 1, error_code = null, error_message = null, finished_at = null,
      lease_until = clock_timestamp() + ${INVOCATION_LEASE_MS} * interval '1 millisecond'
  from want w
  where a.tenant_id = w.tenant_id and a.flow_execution_id = w.flow_execution_id and a.event_key = w.event_key
    and a.fingerprint = w.fingerprint
    and (a.status = 'failed' or (a.status = 'running' and a.lease_until < clock_timestamp()))
  returning a.tenant_id, a.id, a.flow_execution_id, a.event_key, a.lease_token
)
select tenant_id, flow_execution_id, event_key, id, lease_token, true as ours,
  null as status, null::jsonb as data, null as error_code, null as error_message, null::smallint as response_status,
  null::int as attempts, null::int as duration_ms, true as same
from (select * from fresh union all select * from retaken) taken
union all
select a.tenant_id, a.flow_execution_id, a.event_key, a.id, a.lease_token, false, a.status, a.data, a.error_code,
  a.error_message, a.response_status, a.attempts, a.duration_ms, a.fingerprint = w.fingerprint
from want w join action_invocations a
  on a.tenant_id = w.tenant_id and a.flow_execution_id = w.flow_execution_id and a.event_key = w.event_key
where not exists (select from retaken r where r.tenant_id = a.tenant_id and r.id = a.id)`

type ClaimRow = RecordedInvocation & {
  tenant_id: string
  flow_execution_id: string
  event_key: string
  id: string
  lease_token: number
  ours: boolean
  same: boolean
}

/** Takes what is new, failed or abandoned; for the rest says what is recorded. One answer for each, in order. */
export async function claimInvocations(
  pool: pg.Pool,
  wants: readonly ClaimRequest[],
): Promise<ClaimAnswer[]> {
  const answers = new Map<string, ClaimAnswer>()
  // A row that another transaction inserted meanwhile is in neither half of the answer: the next look sees it.
  for (let open = [...wants]; open.length > 0; open = open.filter((want) => !answers.has(keyOf(want)))) {
    open.sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
    const { rows } = await pool.query<ClaimRow>({
      name: 'claim_invocations',
      text: CLAIM,
      values: [
        open.map((want) => want.tenantId),
        open.map((want) => want.id),
        open.map((want) => want.flowExecutionId),
        open.map((want) => want.eventKey),
        open.map((want) => want.actionType),
        open.map((want) => want.pluginId),
        open.map((want) => want.fingerprint),
      ],
    })
    for (const row of rows) {
      const key = `${row.tenant_id} ${row.flow_execution_id} ${row.event_key}`
      if (!answers.has(key) || row.ours) answers.set(key, toAnswer(row))
    }
  }
  const given = new Set<string>()
  return wants.map((want) => {
    const answer = answers.get(keyOf(want)) as ClaimAnswer
    // Two callers of one batch cannot both run it: the second finds it taken.
    if (answer.state !== 'run' || !given.has(keyOf(want))) {
      given.add(keyOf(want))
      return answer
    }
    return { ...answer, state: 'busy' }
  })
}

function toAnswer(row: ClaimRow): ClaimAnswer {
  if (row.ours) return { id: row.id, state: 'run', token: row.lease_token, recorded: null }
  const state = !row.same
    ? 'conflict'
    : row.status === 'succeeded' || row.status === 'accepted'
      ? 'recorded'
      : 'busy'
  return { id: row.id, state, token: row.lease_token, recorded: row }
}

function keyOf(want: Pick<ClaimRequest, 'tenantId' | 'flowExecutionId' | 'eventKey'>): string {
  return `${want.tenantId} ${want.flowExecutionId} ${want.eventKey}`
}

/** One finished action, for its row and for the log. */
export interface ResultRecord {
  tenantId: string
  /** Null: it was refused before it had a row; only the log tells of it. */
  invocationId: string | null
  token: number
  logId: string
  flowExecutionId: string
  eventKey: string
  actionType: string
  pluginId: string | null
  plugin: string | null
  /** JSON, secrets redacted. */
  payload: string
  status: 'succeeded' | 'failed' | 'accepted'
  responseStatus: number | null
  /** JSON as it is returned to the caller. */
  data: string | null
  /** JSON, secrets redacted. */
  loggedResult: string | null
  errorCode: string | null
  errorMessage: string | null
  attempts: number
  durationMs: number
  completeSeconds: number | null
}

const RECORD = `
with result as (
  select * from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::uuid[],
    $9::text[], $10::jsonb[], $11::text[], $12::smallint[], $13::jsonb[], $14::jsonb[], $15::text[], $16::text[],
    $17::int[], $18::int[], $19::int[])
  as r (tenant_id, id, token, log_id, flow_execution_id, event_key, action_type, plugin_id, plugin, payload, status,
    response_status, data, logged_result, error_code, error_message, attempts, duration_ms, complete_seconds)
), done as (
  update action_invocations a
  set status = r.status, data = r.data, error_code = r.error_code, error_message = r.error_message,
      response_status = r.response_status, attempts = a.attempts + r.attempts, duration_ms = r.duration_ms,
      lease_until = null, finished_at = case when r.status <> 'accepted' then clock_timestamp() end,
      complete_until = clock_timestamp() + r.complete_seconds * interval '1 second'
  from result r
  where a.tenant_id = r.tenant_id and a.id = r.id and a.status = 'running' and a.lease_token = r.token
  returning a.id
), logged as (
  insert into automation_event_log (tenant_id, id, invocation_id, flow_execution_id, event_key, action_type, plugin_id,
    plugin, payload, result, success, status, error_code, response_status, attempts, duration_ms)
  select tenant_id, log_id, id, flow_execution_id, event_key, action_type, plugin_id, plugin, payload, logged_result,
    status <> 'failed', status, error_code, response_status, attempts, duration_ms
  from result r where r.id is null or exists (select from done where done.id = r.id)
)
select id from done`

/**
 * Writes results and their log entries. A result counts only under the token that its action was run with.
 * @returns for each record whether it counted
 */
export async function recordResults(pool: pg.Pool, records: readonly ResultRecord[]): Promise<boolean[]> {
  const { rows } = await pool.query<{ id: string }>({
    name: 'record_results',
    text: RECORD,
    values: [
      records.map((r) => r.tenantId),
      records.map((r) => r.invocationId),
      records.map((r) => r.token),
      records.map((r) => r.logId),
      records.map((r) => r.flowExecutionId),
      records.map((r) => r.eventKey),
      records.map((r) => r.actionType),
      records.map((r) => r.pluginId),
      records.map((r) => r.plugin),
      records.map((r) => r.payload),
      records.map((r) => r.status),
      records.map((r) => r.responseStatus),
      records.map((r) => r.data),
      records.map((r) => r.loggedResult),
      records.map((r) => r.errorCode),
      records.map((r) => r.errorMessage),
      records.map((r) => r.attempts),
      records.map((r) => r.durationMs),
      records.map((r) => r.completeSeconds),
    ],
  })
  const counted = new Set(rows.map((row) => row.id))
  return records.map((record) => record.invocationId === null || counted.has(record.invocationId))
}

/** Keeps running actions ours. */
export async function renewInvocations(
  pool: pg.Pool,
  held: readonly { tenantId: string; id: string; token: number }[],
): Promise<void> {
  await pool.query({
    name: 'renew_invocations',
    text: `update action_invocations a set lease_until = clock_timestamp() + ${INVOCATION_LEASE_MS} * interval '1 millisecond'
           from unnest($1::uuid[], $2::uuid[], $3::bigint[]) as h (tenant_id, id, token)
           where a.tenant_id = h.tenant_id and a.id = h.id and a.lease_token = h.token and a.status = 'running'`,
    values: [held.map((h) => h.tenantId), held.map((h) => h.id), held.map((h) => h.token)],
  })
}
