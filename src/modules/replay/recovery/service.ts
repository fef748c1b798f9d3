import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { audit } from '#infra/audit.ts'
import { type Actor, forbidden, tenantRequired } from '#infra/auth/auth.ts'
import type { JobListener } from '#infra/durable-jobs.ts'
import { invalidCursor, invalidRequest } from '#infra/http/problems.ts'
import type { Signals } from '#infra/signals.ts'
import { decodeCursor, page } from '#lib/api/cursor.ts'
import { newId } from '#lib/ids.ts'
import { recoveryFinished, recoveryNotFound, tooManyRecoveries } from '../errors.ts'
import { readFilter, resolveFilter } from '../service.ts'
import {
  cancelRecoveryRow,
  countOpenRecoveries,
  findRecovery,
  insertRecovery,
  type RecoveryScope,
  selectRecoveredPlugins,
  selectRecoveries,
} from './repository.ts'
import type { NewRecovery, RecoveredPlugin, Recovery, RecoveryQuery } from './schemas.ts'

export interface RecoveryContext {
  db: Kysely<DB>
  signals: Pick<Signals, 'publish'>
  /** Told when a job of a tenant changes. */
  onChange?: JobListener
}

const MAX_OPEN_RECOVERIES = 3

/** @throws `invalid_request`, `tenant_required`, `forbidden`, `too_many_recoveries` */
export async function createRecovery(
  ctx: RecoveryContext,
  actor: Actor,
  scope: RecoveryScope,
  input: NewRecovery,
): Promise<Recovery> {
  checkScope(actor, scope, input)
  const { since, until, event } = await resolveFilter(ctx.db, readFilter(input))
  if (since === null) throw invalidRequest()
  const id = newId()
  const recovery = await ctx.db.transaction().execute(async (trx) => {
    if ((await countOpenRecoveries(trx, scope)) >= MAX_OPEN_RECOVERIES) throw tooManyRecoveries()
    const delivery_status = input.status === 'any' ? null : input.status
    const asked = { since, until, event, delivery_status, dry_run: input.dry_run }
    await insertRecovery(trx, { id, tenant_id: scope, ...asked })
    await audit(trx, actor, {
      tenantId: scope,
      action: 'recovery.created',
      targetKind: 'recovery',
      targetId: id,
      detail: asked,
    })
    return readRecovery({ ...ctx, db: trx }, scope, id)
  })
  ctx.signals.publish('jobs_due', [id])
  ctx.onChange?.(scope)
  return recovery
}

export async function listRecoveries(
  ctx: RecoveryContext,
  scope: RecoveryScope,
  { cursor, limit }: RecoveryQuery,
): Promise<{ data: Recovery[]; next_cursor: string | null }> {
  const rows = await selectRecoveries(ctx.db, scope, { before: idOf(cursor), limit: limit + 1 })
  return page(rows, limit, (row) => [row.id])
}

export async function readRecovery(
  ctx: RecoveryContext,
  scope: RecoveryScope,
  id: string,
): Promise<Recovery> {
  const recovery = await findRecovery(ctx.db, scope, id)
  if (recovery === undefined) throw recoveryNotFound()
  return recovery
}

export async function listRecoveredPlugins(
  ctx: RecoveryContext,
  scope: RecoveryScope,
  id: string,
  { cursor, limit }: RecoveryQuery,
): Promise<{ data: RecoveredPlugin[]; next_cursor: string | null }> {
  const after = idOf(cursor)
  const recovery = await readRecovery(ctx, scope, id)
  const rows = await selectRecoveredPlugins(ctx.db, recovery, { after, limit: limit + 1 })
  return page(rows, limit, (row) => [row.plugin_id])
}

/** A cancelled recovery stays as it is. @throws `recovery_finished` if it ended otherwise */
export async function cancelRecovery(
  ctx: RecoveryContext,
  actor: Actor,
  scope: RecoveryScope,
  id: string,
): Promise<Recovery> {
  const recovery = await ctx.db.transaction().execute(async (trx) => {
    const inside = { ...ctx, db: trx }
    await readRecovery(inside, scope, id)
    if (await cancelRecoveryRow(trx, scope, id)) {
      const target = { tenantId: scope, targetKind: 'recovery', targetId: id }
      await audit(trx, actor, { action: 'recovery.cancelled', ...target })
    }
    const ended = await readRecovery(inside, scope, id)
    if (ended.status !== 'cancelled') throw recoveryFinished()
    return ended
  })
  ctx.onChange?.(scope)
  return recovery
}

/** All tenants are named by saying so, not by forgetting to name one. */
function checkScope(actor: Actor, scope: RecoveryScope, { all_tenants: all }: NewRecovery): void {
  if (scope === null && !all) {
    throw tenantRequired('Name a tenant by the X-Tenant-Id header, or say "all_tenants": true.')
  }
  if (scope === null || !all) return
  if (actor.kind !== 'platform') throw forbidden('Only a platform key recovers all tenants.')
  const detail = 'must be left out where X-Tenant-Id names a tenant'
  throw invalidRequest(undefined, { errors: [{ pointer: '/all_tenants', detail }] })
}

function idOf(cursor: string | undefined): string | null {
  if (cursor === undefined) return null
  const [id] = decodeCursor(cursor, ['uuid']) ?? []
  if (id === undefined) throw invalidCursor()
  return String(id)
}
