import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { audit } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import type { JobListener } from '#infra/durable-jobs.ts'
import { invalidCursor, invalidRequest } from '#infra/http/problems.ts'
import { secretContext } from '#infra/secrets.ts'
import type { Signals } from '#infra/signals.ts'
import { decodeCursor, page } from '#lib/api/cursor.ts'
import { newId } from '#lib/ids.ts'
import { parsePath } from '#lib/json/path.ts'
import type { SecretBox } from '#lib/secrets/secret-box.ts'
import { erasureNotFound, tooManyErasures } from './errors.ts'
import { countOpenErasures, findErasure, insertErasure, selectErasures } from './repository.ts'
import type { Erasure, NewErasure } from './schemas.ts'
import { hashValue } from './value.ts'

export interface ErasureContext {
  db: Kysely<DB>
  secretBox: SecretBox
  signals: Pick<Signals, 'publish'>
  /** Told when a job of a tenant changes. */
  onChange?: JobListener
}

const MAX_OPEN_ERASURES = 10

/** @throws `invalid_request`, `too_many_erasures` */
export async function createErasure(
  ctx: ErasureContext,
  actor: Actor,
  tenantId: string,
  { path, value }: NewErasure,
): Promise<Erasure> {
  if (parsePath(path) === null) {
    const detail = 'must be names and positions, as in `customer.email` or `items[0].sku`'
    throw invalidRequest(undefined, { errors: [{ pointer: '/path', detail }] })
  }
  const id = newId()
  const sealed = ctx.secretBox.seal(JSON.stringify(value), secretContext(tenantId, id, 'value'))
  const value_hash = await hashValue(value)
  const erasure = await ctx.db.transaction().execute(async (trx) => {
    if ((await countOpenErasures(trx, tenantId)) >= MAX_OPEN_ERASURES) throw tooManyErasures()
    await insertErasure(trx, { id, tenant_id: tenantId, path, value_hash, value_sealed: sealed })
    await audit(trx, actor, {
      tenantId,
      action: 'erasure.created',
      targetKind: 'erasure',
      targetId: id,
      detail: { path },
    })
    return findErasure(trx, tenantId, id)
  })
  if (erasure === undefined) throw erasureNotFound()
  ctx.signals.publish('jobs_due', [id])
  ctx.onChange?.(tenantId)
  return erasure
}

export async function listErasures(
  ctx: ErasureContext,
  tenantId: string,
  query: { limit: number; cursor?: string | undefined },
): Promise<{ data: Erasure[]; next_cursor: string | null }> {
  const before = query.cursor === undefined ? null : decodeCursor(query.cursor, ['uuid'])?.[0]
  if (before === undefined) throw invalidCursor()
  const rows = await selectErasures(ctx.db, tenantId, {
    before: before as string | null,
    limit: query.limit + 1,
  })
  return page(rows, query.limit, (row) => [row.id])
}

export async function readErasure(ctx: ErasureContext, tenantId: string, id: string): Promise<Erasure> {
  const erasure = await findErasure(ctx.db, tenantId, id)
  if (erasure === undefined) throw erasureNotFound()
  return erasure
}
