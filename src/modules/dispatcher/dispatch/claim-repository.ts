import type pg from 'pg'
import { nextToken } from '#db/fence.ts'
import type { InvocationStatus } from '#db/schema.ts'
import { readJson } from '#db/json.ts'

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
  keyId: string | null
}

/** An action that is ours to run, for as long as its row has this token. */
export interface Lease {
  tenantId: string
  id: string
  token: number
}

/** The answer to a claim. `busy`: somebody else runs it; `conflict`: the row stands for another request. */
export type ClaimAnswer =
  | { state: 'run'; lease: Lease; /** Microseconds of the database's clock. */ claimedAt: number }
  | { state: 'recorded'; recorded: RecordedInvocation }
  | { state: 'busy' | 'conflict' }

export interface RecordedInvocation {
  id: string
  status: InvocationStatus
  data: unknown
  error_code: string | null
  error_message: string | null
  response_status: number | null
  attempts: number
  duration_ms: number | null
}

/** A process that stopped answering keeps what it runs for so long; renewed while it lives. */
export const INVOCATION_LEASE_MS = 15_000

const LEASE_END = `clock_timestamp() + ${INVOCATION_LEASE_MS} * interval '1 millisecond'`

/**
 * Inserts come in the order of their keys, and what is retaken is not waited for, so that two claims never wait for
 * each other. `completed_at` stays when a failure is done again: by it a token from before that is known.
 */
const CLAIM = `
with want as (
  select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::bytea[],
    $8::uuid[])
    with ordinality as w (tenant_id, id, flow_execution_id, event_key, action_type, plugin_id, fingerprint, key_id, n)
), fresh as (
  insert into action_invocations
    (tenant_id, id, flow_execution_id, event_key, action_type, plugin_id, fingerprint, status, lease_token,
     lease_until, key_id)
  select tenant_id, id, flow_execution_id, event_key, action_type, plugin_id, fingerprint, 'running', ${nextToken('0')},
    ${LEASE_END}, key_id
  from want order by n
  on conflict (tenant_id, flow_execution_id, event_key) do nothing
  returning tenant_id, id, lease_token
), open as (
  select a.tenant_id, a.id from want w join action_invocations a using (tenant_id, flow_execution_id, event_key)
  where a.fingerprint = w.fingerprint
    and (a.status = 'failed' or (a.status = 'running' and a.lease_until < clock_timestamp()))
  for no key update of a skip locked
), retaken as (
  update action_invocations a
  set status = 'running', lease_token = ${nextToken('a.lease_token')}, error_code = null, error_message = null,
      lease_until = ${LEASE_END}
  from open o where a.tenant_id = o.tenant_id and a.id = o.id
  returning a.tenant_id, a.id, a.lease_token
)
select w.n, coalesce(f.id, a.id) as id, coalesce(f.lease_token, r.lease_token) as token,
  (extract(epoch from clock_timestamp()) * 1000000)::bigint as claimed_at,
  a.fingerprint = w.fingerprint as same, a.status, a.data::text as data, a.error_code, a.error_message,
  a.response_status, a.attempts, a.duration_ms
from want w
left join fresh f on f.tenant_id = w.tenant_id and f.id = w.id
left join action_invocations a on a.tenant_id = w.tenant_id and a.flow_execution_id = w.flow_execution_id
  and a.event_key = w.event_key
left join retaken r on r.tenant_id = a.tenant_id and r.id = a.id
where f.id is not null or a.id is not null`

type ClaimRow = Omit<RecordedInvocation, 'data'> & {
  n: number
  /** Null: it is not ours to run. */
  token: number | null
  claimed_at: number
  same: boolean
  data: string | null
}

/** Takes what is new, failed or abandoned; for the rest says what is recorded. One answer for each, in order. */
export async function claimInvocations(
  pool: pg.Pool,
  wants: readonly ClaimRequest[],
): Promise<ClaimAnswer[]> {
  const answers = new Map<ClaimRequest, ClaimAnswer>()
  // The same action twice goes one after the other. A row that another transaction was just inserting is in no
  // half of the answer: the next look sees it.
  while (answers.size < wants.length) {
    const open = firstOfEach(wants.filter((want) => !answers.has(want)))
    for (const row of await claimOnce(pool, open)) {
      const want = open[row.n - 1] as ClaimRequest
      answers.set(want, toAnswer(want.tenantId, row))
    }
  }
  return wants.map((want) => answers.get(want) as ClaimAnswer)
}

/** In an order that all claims have in common. */
function firstOfEach(wants: readonly ClaimRequest[]): ClaimRequest[] {
  const byKey = new Map<string, ClaimRequest>()
  for (const want of wants) {
    const key = JSON.stringify([want.tenantId, want.flowExecutionId, want.eventKey])
    if (!byKey.has(key)) byKey.set(key, want)
  }
  return [...byKey].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, want]) => want)
}

async function claimOnce(pool: pg.Pool, wants: readonly ClaimRequest[]): Promise<ClaimRow[]> {
  const { rows } = await pool.query<ClaimRow>({
    name: 'claim_invocations',
    text: CLAIM,
    values: [
      wants.map((want) => want.tenantId),
      wants.map((want) => want.id),
      wants.map((want) => want.flowExecutionId),
      wants.map((want) => want.eventKey),
      wants.map((want) => want.actionType),
      wants.map((want) => want.pluginId),
      wants.map((want) => want.fingerprint),
      wants.map((want) => want.keyId),
    ],
  })
  return rows
}

function toAnswer(tenantId: string, row: ClaimRow): ClaimAnswer {
  if (row.token !== null) {
    return { state: 'run', lease: { tenantId, id: row.id, token: row.token }, claimedAt: row.claimed_at }
  }
  if (!row.same) return { state: 'conflict' }
  if (row.status !== 'succeeded' && row.status !== 'accepted') return { state: 'busy' }
  return { state: 'recorded', recorded: toRecorded(row) }
}

export function toRecorded<R extends { data: string | null }>(row: R): Omit<R, 'data'> & { data: unknown } {
  return { ...row, data: row.data === null ? null : readJson(row.data) }
}

/** Leases that are still ours are renewed; what is being written at this moment is left alone. @returns those */
export async function renewLeases(pool: pg.Pool, leases: readonly Lease[]): Promise<Lease[]> {
  const { rows } = await pool.query<{ n: number }>({
    name: 'renew_invocations',
    text: `
with held as (
  select a.tenant_id, a.id, h.n
  from unnest($1::uuid[], $2::uuid[], $3::bigint[]) with ordinality as h (tenant_id, id, token, n)
  join action_invocations a on a.tenant_id = h.tenant_id and a.id = h.id
  where a.lease_token = h.token and a.status = 'running'
  for no key update of a skip locked
)
update action_invocations a set lease_until = ${LEASE_END}
from held where a.tenant_id = held.tenant_id and a.id = held.id returning held.n`,
    values: columns(leases),
  })
  return rows.map(({ n }) => leases[n - 1] as Lease)
}

/** @returns whether the lease is ours; it is renewed then */
export async function confirmLease(pool: pg.Pool, { tenantId, id, token }: Lease): Promise<boolean> {
  const { rowCount } = await pool.query(
    `update action_invocations set lease_until = ${LEASE_END}
     where tenant_id = $1 and id = $2 and lease_token = $3 and status = 'running'`,
    [tenantId, id, token],
  )
  return rowCount === 1
}

/** Gives back what was not run. */
export async function releaseLeases(pool: pg.Pool, leases: readonly Lease[]): Promise<void> {
  await pool.query(
    `update action_invocations a set lease_until = '-infinity'
     from unnest($1::uuid[], $2::uuid[], $3::bigint[]) as h (tenant_id, id, token)
     where a.tenant_id = h.tenant_id and a.id = h.id and a.lease_token = h.token and a.status = 'running'`,
    columns(leases),
  )
}

function columns(leases: readonly Lease[]): [string[], string[], number[]] {
  return [leases.map((l) => l.tenantId), leases.map((l) => l.id), leases.map((l) => l.token)]
}
