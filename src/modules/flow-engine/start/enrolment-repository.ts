import { createHash } from 'node:crypto'
import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'

/** An enrolment key within its flow. */
interface EnrolmentKey {
  tenantId: string
  flowId: string
  key: string
}

/**
 * @param since null: at any time. Executions are looked at, too: there may have been no rule when they started.
 * @param own an earlier start of the same execution, which does not count
 */
export async function hasEnrolled(
  db: Kysely<DB> | Transaction<DB>,
  enrolment: EnrolmentKey,
  since: Date | null,
  own: string | null,
): Promise<boolean> {
  const { tenantId, flowId, key } = enrolment
  const known = await db
    .selectFrom('automation_enrolments')
    .select('execution_id')
    .where('tenant_id', '=', tenantId)
    .where('flow_id', '=', flowId)
    .where('key_hash', '=', keyHash(flowId, key))
    .$if(since !== null, (query) => query.where('enrolled_at', '>', since))
    .$if(own !== null, (query) => query.where('execution_id', '<>', own))
    .executeTakeFirst()
  if (known !== undefined) return true
  const recent = await underKey(db, enrolment)
    .where('status', '<>', 'skipped')
    .$if(since !== null, (query) => query.where('created_at', '>', since))
    .$if(own !== null, (query) => query.where('id', '<>', own))
    .limit(1)
    .execute()
  return recent.length > 0
}

export async function upsertEnrolment(
  trx: Transaction<DB>,
  { tenantId, flowId, key }: EnrolmentKey,
  { executionId, now, expiresAt }: { executionId: string; now: Date; expiresAt: Date | null },
): Promise<void> {
  const row = { execution_id: executionId, enrolled_at: now, expires_at: expiresAt }
  await trx
    .insertInto('automation_enrolments')
    .values({ tenant_id: tenantId, flow_id: flowId, key_hash: keyHash(flowId, key), ...row })
    .onConflict((conflict) => conflict.columns(['tenant_id', 'flow_id', 'key_hash']).doUpdateSet(row))
    .execute()
}

/** Returns the executions under a key that have not ended. */
export async function selectActive(
  db: Kysely<DB> | Transaction<DB>,
  enrolment: EnrolmentKey,
): Promise<string[]> {
  const rows = await underKey(db, enrolment).where('status', 'in', ['queued', 'running', 'waiting']).execute()
  return rows.map(({ id }) => id)
}

/** Tells whether the event has started the flow already: it does not do so again. */
export async function hasStarted(
  db: Kysely<DB> | Transaction<DB>,
  { tenantId, flowId, eventId }: { tenantId: string; flowId: string; eventId: string },
): Promise<boolean> {
  const row = await db
    .selectFrom('automation_executions')
    .select('id')
    .where('tenant_id', '=', tenantId)
    .where('flow_id', '=', flowId)
    .where('event_id', '=', eventId)
    .where('retry_of', 'is', null)
    .executeTakeFirst()
  return row !== undefined
}

/** Two starts under one key decide one after the other. */
export async function lockKey(trx: Transaction<DB>, flowId: string, key: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`${flowId} ${key}`}, 0))`.execute(trx)
}

function underKey(db: Kysely<DB> | Transaction<DB>, { tenantId, flowId, key }: EnrolmentKey) {
  return db
    .selectFrom('automation_executions')
    .select('id')
    .where('tenant_id', '=', tenantId)
    .where('flow_id', '=', flowId)
    .where('key', '=', key)
}

/** Keys are people's addresses and numbers: what outlives their executions does not tell them. */
function keyHash(flowId: string, key: string): Buffer {
  return createHash('sha256').update(`${flowId} ${key}`).digest()
}
