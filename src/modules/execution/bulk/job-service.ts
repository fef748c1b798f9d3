import { cancelJob } from '#infra/job-repository.ts'
import { audit } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { invalidCursor } from '#infra/http/problems.ts'
import { decodeCursor, page } from '#lib/api/cursor.ts'
import type { ExecutionContext } from '../context.ts'
import { bulkChangeFinished, bulkChangeNotFound } from '../errors.ts'
import { type BulkRequest, findBulkChange, insertBulkChange, selectBulkChanges } from './job-repository.ts'
import type { BulkChange } from './schemas.ts'

type Context = Pick<ExecutionContext, 'db' | 'signals' | 'onChange'>

/** Leaves the rest to a durable job. @returns its id; null: the tenant has enough of them open */
export async function leaveToJob(
  { db, signals, onChange }: Context,
  actor: Actor,
  tenantId: string,
  request: BulkRequest,
  cursor: string | null,
): Promise<string | null> {
  const id = await db.transaction().execute((trx) => insertBulkChange(trx, tenantId, actor, request, cursor))
  if (id === null) return null
  signals.publish('jobs_due', [id])
  onChange?.(tenantId)
  return id
}

export async function listBulkChanges(
  { db }: Context,
  tenantId: string,
  query: { limit: number; cursor?: string | undefined },
): Promise<{ data: BulkChange[]; next_cursor: string | null }> {
  const before = query.cursor === undefined ? null : decodeCursor(query.cursor, ['uuid'])?.[0]
  if (before === undefined) throw invalidCursor()
  const rows = await selectBulkChanges(db, tenantId, {
    before: before as string | null,
    limit: query.limit + 1,
  })
  return page(rows, query.limit, ({ id }) => [id])
}

/** @throws `bulk_change_not_found` */
export async function readBulkChange({ db }: Context, tenantId: string, id: string): Promise<BulkChange> {
  const found = await findBulkChange(db, tenantId, id)
  if (found === undefined) throw bulkChangeNotFound()
  return found
}

/** Stops a bulk change. What it has done stays done; again it changes nothing. @throws `bulk_change_not_found`, `bulk_change_finished` */
export async function stopBulkChange(
  ctx: Context,
  actor: Actor,
  tenantId: string,
  id: string,
): Promise<BulkChange> {
  await ctx.db.transaction().execute(async (trx) => {
    if (await cancelJob(trx, 'bulk_changes', { tenantId, id })) {
      const target = { tenantId, targetKind: 'bulk_change', targetId: id }
      await audit(trx, actor, { ...target, action: 'bulk_change.cancelled' })
      return
    }
    const { status } = await readBulkChange({ ...ctx, db: trx }, tenantId, id)
    if (status !== 'cancelled') throw bulkChangeFinished()
  })
  ctx.onChange?.(tenantId)
  return readBulkChange(ctx, tenantId, id)
}
