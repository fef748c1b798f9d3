import type pg from 'pg'
import { plainArray, textArray } from '#db/array-literal.ts'
import type { Lease } from './claim-repository.ts'

/** One action's end, for its row and for the log. */
export interface ResultRecord {
  tenantId: string
  /** Null: the log alone tells of it. */
  lease: Lease | null
  invocationId: string | null
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
  keyId: string | null
}

const RECORD = `
with result as (
  select * from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::uuid[],
    $9::text[], $10::json[], $11::text[], $12::smallint[], $13::json[], $14::json[], $15::text[], $16::text[],
    $17::int[], $18::int[], $19::int[], $20::uuid[]) with ordinality
  as r (tenant_id, id, token, log_id, flow_execution_id, event_key, action_type, plugin_id, plugin, payload, status,
    response_status, data, logged_result, error_code, error_message, attempts, duration_ms, complete_seconds,
    key_id, n)
), done as (
  update action_invocations a
  set status = r.status, data = r.data, error_code = r.error_code, error_message = r.error_message,
      response_status = r.response_status, attempts = a.attempts + r.attempts, duration_ms = r.duration_ms,
      lease_until = null,
      finished_at = case when r.status = 'accepted' then a.finished_at else clock_timestamp() end,
      complete_until = clock_timestamp() + r.complete_seconds * interval '1 second'
  from result r
  where r.token is not null and a.tenant_id = r.tenant_id and a.id = r.id and a.status = 'running'
    and a.lease_token = r.token
  returning r.n
), logged as (
  insert into automation_event_log (tenant_id, id, invocation_id, flow_execution_id, event_key, action_type, plugin_id,
    plugin, payload, result, success, status, error_code, response_status, attempts, duration_ms, key_id)
  select tenant_id, log_id, id, flow_execution_id, event_key, action_type, plugin_id, plugin, payload, logged_result,
    status <> 'failed', status, error_code, response_status, attempts, duration_ms, key_id
  from result r where r.token is null or exists (select from done where done.n = r.n)
  on conflict (tenant_id, id) do nothing
)
select n from done`

/**
 * Writes results and their log entries. A result counts only under the lease that its action was run with. Records whose
 * answer was lost may come again: they count as they did, and have one entry.
 * @returns for each record whether it counted
 */
export async function recordResults(pool: pg.Pool, records: readonly ResultRecord[]): Promise<boolean[]> {
  const { rows } = await pool.query<{ n: number }>({
    name: 'record_results',
    text: RECORD,
    values: [
      plainArray(records.map((r) => r.tenantId)),
      plainArray(records.map((r) => r.invocationId)),
      plainArray(records.map((r) => r.lease?.token ?? null)),
      plainArray(records.map((r) => r.logId)),
      textArray(records.map((r) => r.flowExecutionId)),
      textArray(records.map((r) => r.eventKey)),
      textArray(records.map((r) => r.actionType)),
      plainArray(records.map((r) => r.pluginId)),
      textArray(records.map((r) => r.plugin)),
      textArray(records.map((r) => r.payload)),
      plainArray(records.map((r) => r.status)),
      plainArray(records.map((r) => r.responseStatus)),
      textArray(records.map((r) => r.data)),
      textArray(records.map((r) => r.loggedResult)),
      textArray(records.map((r) => r.errorCode)),
      textArray(records.map((r) => r.errorMessage)),
      plainArray(records.map((r) => r.attempts)),
      plainArray(records.map((r) => r.durationMs)),
      plainArray(records.map((r) => r.completeSeconds)),
      plainArray(records.map((r) => r.keyId)),
    ],
  })
  const counted = new Set(rows.map(({ n }) => n))
  const isCounted = records.map(({ lease }, index) => lease === null || counted.has(index + 1))
  if (!isCounted.includes(false)) return isCounted
  const logged = await findLogged(
    pool,
    records.filter((_, index) => isCounted[index] === false),
  )
  return records.map(({ logId }, index) => isCounted[index] === true || logged.has(logId))
}

/** Finds the entries that an earlier try has written, with what they are of: a statement's answer may be lost. */
async function findLogged(pool: pg.Pool, records: readonly ResultRecord[]): Promise<ReadonlySet<string>> {
  const { rows } = await pool.query<{ id: string }>(
    `select l.id from unnest($1::uuid[], $2::uuid[]) as r (tenant_id, log_id)
     join automation_event_log l on l.tenant_id = r.tenant_id and l.id = r.log_id`,
    [records.map(({ tenantId }) => tenantId), records.map(({ logId }) => logId)],
  )
  return new Set(rows.map(({ id }) => id))
}

/**
 * Puts everything that was committed before on the disk: a commit that waits for it takes the log before it along,
 * whoever wrote that.
 */
export async function flushLog(pool: pg.Pool): Promise<void> {
  await pool.query(`select pg_logical_emit_message(true, 'bcs', '')`)
}
