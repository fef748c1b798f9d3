import { type Kysely, sql, type Transaction } from 'kysely'
import { writeJson } from '#db/json.ts'
import type { DB } from '#db/schema.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { advanceJob, claimJob, type HeldJob } from '#infra/job-repository.ts'
import { newId } from '#lib/ids.ts'
import type { BulkCancelInput, BulkChange, BulkRetryInput } from './schemas.ts'

/** A tenant's open ones at most: beyond it, who asked goes on by asking again. */
const MAX_OPEN = 10

export type BulkRequest =
  | { kind: 'cancel'; request: Omit<BulkCancelInput, 'dry_run'> }
  | { kind: 'retry'; request: Omit<BulkRetryInput, 'dry_run' | 'cursor'> }

export type BulkJob = HeldJob & { tenantId: string } & BulkRequest & {
    actor: Actor
    cursor: string | null
    refused: Record<string, number>
    createdAt: Date
  }

/** @returns its id; null: the tenant has enough of them open */
export async function insertBulkChange(
  trx: Transaction<DB>,
  tenantId: string,
  actor: Actor,
  { kind, request }: BulkRequest,
  cursor: string | null,
): Promise<string | null> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`bulk_changes:${tenantId}`}, 0))`.execute(trx)
  const { open } = await trx
    .selectFrom('bulk_changes')
    .select((eb) => eb.fn.countAll<number>().as('open'))
    .where('tenant_id', '=', tenantId)
    .where('status', 'in', ['queued', 'running'])
    .executeTakeFirstOrThrow()
  if (open >= MAX_OPEN) return null
  const id = newId()
  await trx
    .insertInto('bulk_changes')
    .values({
      id,
      tenant_id: tenantId,
      kind,
      request: writeJson(request),
      actor: writeJson(actor),
      cursor_id: cursor,
    })
    .execute()
  return id
}

export async function claimBulkChange(db: Kysely<DB>, leaseMs: number): Promise<BulkJob | null> {
  const columns = sql`j.kind, j.request, j.actor, j.cursor_id as cursor, j.refused, j.created_at as "createdAt"`
  return claimJob<BulkJob>(db, 'bulk_changes', { leaseMs, columns })
}

/** Only inside the transaction that holds the job. */
export async function advanceBulkChange(
  trx: Transaction<DB>,
  job: BulkJob,
  done: number,
  leaseMs: number,
): Promise<void> {
  const changes = sql`done = done + ${done}, cursor_id = ${job.cursor}, refused = ${writeJson(job.refused)}`
  await advanceJob(trx, 'bulk_changes', job, { changes, leaseMs })
}

/** Newest first; `before` is the last one of the page before. */
export async function selectBulkChanges(
  db: Kysely<DB>,
  tenantId: string,
  page: { before: string | null; limit: number },
): Promise<BulkChange[]> {
  const rows = await selectShown(db, tenantId)
    .$if(page.before !== null, (query) => query.where('id', '<', page.before))
    .orderBy('id', 'desc')
    .limit(page.limit)
    .execute()
  return rows.map(view)
}

export async function findBulkChange(
  db: Kysely<DB>,
  tenantId: string,
  id: string,
): Promise<BulkChange | undefined> {
  const row = await selectShown(db, tenantId).where('id', '=', id).executeTakeFirst()
  return row && view(row)
}

function selectShown(db: Kysely<DB>, tenantId: string) {
  return db
    .selectFrom('bulk_changes')
    .select(['id', 'kind', 'status', 'done', 'refused', 'error', 'created_at', 'finished_at'])
    .where('tenant_id', '=', tenantId)
}

function view({
  refused,
  ...row
}: Awaited<ReturnType<ReturnType<typeof selectShown>['execute']>>[number]): BulkChange {
  return { ...row, refused: Object.entries(refused).map(([reason, count]) => ({ reason, count })) }
}
