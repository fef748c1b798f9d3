import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { audit } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { invalidCursor, invalidRequest } from '#infra/http/problems.ts'
import type { JobListener } from '#infra/durable-jobs.ts'
import { cancelJob } from '#infra/job-repository.ts'
import type { Signals } from '#infra/signals.ts'
import { decodeCursor, page } from '#lib/api/cursor.ts'
import { pluginNamed } from '#modules/event/index.ts'
import { deliveryRetryFinished, deliveryRetryNotFound, tooManyDeliveryRetries } from '../errors.ts'
import { type DeliveryFilter, selectDeliveryIds } from '../log/log-repository.ts'
import { readFilter } from '../log/service.ts'
import {
  type BulkRetryRequest,
  countRetryable,
  findBulkRetry,
  insertBulkRetry,
  selectBulkRetries,
} from './repository.ts'
import type { DeliveryRetry, DeliveryRetryEstimate, NewDeliveryRetry } from './schemas.ts'

export interface BulkRetryContext {
  db: Kysely<DB>
  signals: Pick<Signals, 'publish'>
  /** Told when a job of a tenant changes. */
  onChange?: JobListener
}

/** Deliveries that a dry run looks at: nobody wants to wait for an exact count of millions. */
const MAX_COUNTED = 50_000

/** The deliveries that a request chooses, within the plugin. @throws `invalid_request` */
export function filterOf(
  tenantId: string,
  pluginId: string | null,
  { status = ['failed'], ...given }: BulkRetryRequest,
): Omit<DeliveryFilter, 'limit'> {
  // The plugin stands in pluginId: its slug may be another plugin's by now.
  return { ...readFilter(given, ''), pluginSlug: null, tenantId, pluginId, statuses: status }
}

/** @throws `invalid_request`, `too_many_delivery_retries` */
export async function createBulkRetry(
  ctx: BulkRetryContext,
  actor: Actor,
  tenantId: string,
  { dry_run: _, ...request }: NewDeliveryRetry,
): Promise<DeliveryRetry> {
  const pluginId = await pluginOf(ctx, actor, tenantId, request)
  filterOf(tenantId, pluginId, request)
  const created = await ctx.db.transaction().execute(async (trx) => {
    const id = await insertBulkRetry(trx, { tenantId, pluginId, request })
    if (id === null) throw tooManyDeliveryRetries()
    await audit(trx, actor, {
      tenantId,
      action: 'delivery_retry.created',
      targetKind: 'delivery_retry',
      targetId: id,
      detail: { ...request },
    })
    return findBulkRetry(trx, tenantId, id, null)
  })
  if (created === undefined) throw deliveryRetryNotFound()
  ctx.signals.publish('jobs_due', [created.id])
  ctx.onChange?.(tenantId)
  return created
}

/** Estimates what the same request would queue now; nothing is written. @throws `invalid_request` */
export async function estimateBulkRetry(
  ctx: BulkRetryContext,
  actor: Actor,
  tenantId: string,
  { dry_run: _, ...request }: NewDeliveryRetry,
): Promise<DeliveryRetryEstimate> {
  const filter = filterOf(tenantId, await pluginOf(ctx, actor, tenantId, request), request)
  const limit = MAX_COUNTED + 1
  const ids = await selectDeliveryIds(ctx.db, { ...filter, limit }, { order: 'asc', behind: null })
  const complete = ids.length <= MAX_COUNTED
  return { ...(await countRetryable(ctx.db, tenantId, request, ids.slice(0, MAX_COUNTED))), complete }
}

/**
 * The plugin that a request stays inside of; null: any.
 * @throws `invalid_request` for a slug that nobody has, or by a plugin's own key for another plugin's
 */
async function pluginOf(
  ctx: BulkRetryContext,
  actor: Actor,
  tenantId: string,
  { plugin: slug }: BulkRetryRequest,
): Promise<string | null> {
  if (slug === undefined) return actor.pluginId
  const named = await pluginNamed(ctx.db, tenantId, slug)
  if (named !== undefined && (actor.pluginId === null || actor.pluginId === named)) return named
  const detail =
    actor.pluginId === null
      ? "must be the slug of a plugin of this shop, see GET /api/plugins; left out, it is every plugin's deliveries"
      : "must be the plugin's own slug, or be left out"
  throw invalidRequest(undefined, { errors: [{ pointer: '/plugin', detail }] })
}

export async function listBulkRetries(
  ctx: BulkRetryContext,
  actor: Actor,
  tenantId: string,
  query: { limit: number; cursor?: string | undefined },
): Promise<{ data: DeliveryRetry[]; next_cursor: string | null }> {
  const before = query.cursor === undefined ? null : decodeCursor(query.cursor, ['uuid'])?.[0]
  if (before === undefined) throw invalidCursor()
  const rows = await selectBulkRetries(ctx.db, tenantId, {
    pluginId: actor.pluginId,
    before: before as string | null,
    limit: query.limit + 1,
  })
  return page(rows, query.limit, ({ id }) => [id])
}

/** @throws `delivery_retry_not_found` */
export async function readBulkRetry(
  ctx: Pick<BulkRetryContext, 'db'>,
  actor: Actor,
  tenantId: string,
  id: string,
): Promise<DeliveryRetry> {
  const found = await findBulkRetry(ctx.db, tenantId, id, actor.pluginId)
  if (found === undefined) throw deliveryRetryNotFound()
  return found
}

/** Ends a job. What it has queued stays queued; again it changes nothing. @throws `delivery_retry_finished` if it ended otherwise */
export async function cancelBulkRetry(
  ctx: BulkRetryContext,
  actor: Actor,
  tenantId: string,
  id: string,
): Promise<DeliveryRetry> {
  const cancelled = await ctx.db.transaction().execute(async (trx) => {
    await readBulkRetry({ db: trx }, actor, tenantId, id)
    if (await cancelJob(trx, 'delivery_retries', { tenantId, id })) {
      const target = { tenantId, targetKind: 'delivery_retry', targetId: id }
      await audit(trx, actor, { ...target, action: 'delivery_retry.cancelled' })
    }
    const retry = await readBulkRetry({ db: trx }, actor, tenantId, id)
    if (retry.status !== 'cancelled') throw deliveryRetryFinished()
    return retry
  })
  ctx.onChange?.(tenantId)
  return cancelled
}
