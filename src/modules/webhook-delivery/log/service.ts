import type { Kysely, Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { audit } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { readTimeRange, statusesOf } from '#infra/http/log-filters.ts'
import { invalidCursor, invalidRequest } from '#infra/http/problems.ts'
import type { Signals } from '#infra/signals.ts'
import { now } from '#lib/clock.ts'
import { decodeCursor, page } from '#lib/api/cursor.ts'
import { isEventPattern } from '#lib/event-pattern.ts'
import { newId } from '#lib/ids.ts'
import { queueAgain } from '#modules/event/index.ts'
import type { Destination } from '../destinations/destination.ts'
import { deliveryNotFound, deliveryNotRetryable, inFlight, secretUnreadable } from '../errors.ts'
import { listDeliveries } from './log-repository.ts'
import {
  findDelivery,
  findLastDelivery,
  findPluginRevision,
  lockRetryable,
  putBeforeBulk,
  type Retryable,
  startAgain,
} from './repository.ts'
import { DELIVERY_STATUSES, type DeliveryQuery } from './schemas.ts'
import type { DeliveryTarget, TargetCache } from '../destinations/targets.ts'
import type { DeliveryCounts } from '../outcomes/tally.ts'
import type { DeliveryWorker } from '../worker.ts'

export interface DeliveryContext {
  db: Kysely<DB>
  /** The service's address from outside; null: nobody has said it. */
  origin: string | null
  targets: TargetCache
  destinationOf(target: DeliveryTarget): Destination
  signals: Signals
  /** A worker for one tenant's deliveries, not started. */
  createWorker(tenantId: string): DeliveryWorker
}

/** A request may spend so long on delivering what is due. */
const PROCESS_DEADLINE_MS = 20_000

export async function getDeliveries(
  ctx: DeliveryContext,
  actor: Actor,
  tenantId: string,
  query: DeliveryQuery,
) {
  const before = query.cursor === undefined ? [null] : decodeCursor(query.cursor, ['uuid'])
  if (before === null) throw invalidCursor()
  const filter = {
    ...readFilter(query, '/querystring'),
    tenantId,
    pluginId: actor.pluginId,
    statuses: statusesOf(query.status, DELIVERY_STATUSES),
    limit: query.limit + 1,
  }
  const rows = await listDeliveries(ctx.db, filter, before[0] as string | null)
  return page(rows, query.limit, (row) => [row.id])
}

/** @param at where in the request it stands, as a JSON pointer @throws `invalid_request` */
export function readFilter(given: Omit<DeliveryQuery, 'status' | 'limit' | 'cursor'>, at: string) {
  if (given.event !== undefined && !isEventPattern(given.event)) {
    const detail = 'must be an event type such as order.created, or order.* for everything below order'
    throw invalidRequest(undefined, { errors: [{ pointer: `${at}/event`, detail }] })
  }
  return {
    pluginSlug: given.plugin ?? null,
    event: given.event ?? null,
    eventId: given.event_id ?? null,
    ...readTimeRange(given, at),
    errorClass: given.error_class ?? null,
    responseStatus: given.response_status ?? null,
    reason: given.reason ?? null,
    attemptCountMin: given.attempt_count_min ?? null,
  }
}

export async function getDelivery(ctx: DeliveryContext, actor: Actor, tenantId: string, id: string) {
  const delivery = await findDelivery(ctx, tenantId, id, actor.pluginId)
  if (delivery === undefined) throw deliveryNotFound()
  return delivery
}

/**
 * Queues one delivery again, with a fresh retry schedule. What was sent stays so: it is sent again by a delivery of its
 * own, which is what is answered. What waits its turn in a replay that is being sent only goes before it.
 *
 * @throws `delivery_not_found`, `delivery_not_retryable`, `in_flight`
 */
export async function retryDelivery(ctx: DeliveryContext, actor: Actor, tenantId: string, id: string) {
  await getDelivery(ctx, actor, tenantId, id)
  const queued = await ctx.db.transaction().execute(async (trx) => {
    const row = await lockRetryable(trx, tenantId, id)
    if (row === undefined) throw deliveryNotRetryable()
    if (row.may_be_in_hand === 'live') throw inFlight()
    const again = row.status === 'sent' ? await sendAnew(trx, tenantId, row) : id
    if (row.may_be_in_hand === 'bulk') await putBeforeBulk(trx, tenantId, id)
    else if (again === id) await startAgain(trx, tenantId, id)
    const detail = again === id ? {} : { resend: again }
    const target = { tenantId, targetKind: 'delivery', targetId: id, detail }
    await audit(trx, actor, { action: 'delivery.retried', ...target })
    return { id: again, pluginId: row.plugin_id }
  })
  ctx.signals.publish('deliveries_due', [queued.pluginId])
  return getDelivery(ctx, actor, tenantId, queued.id)
}

async function sendAnew(trx: Transaction<DB>, tenantId: string, row: Retryable): Promise<string> {
  const wanted = { eventId: row.event_id, event: row.event, pluginId: row.plugin_id }
  await queueAgain(trx, tenantId, [wanted], { reason: 'manual_retry', status: null, noWait: false })
  const last = await findLastDelivery(trx, tenantId, row)
  if (last === undefined) throw deliveryNotRetryable()
  return last
}

/** Delivers now what is due for this tenant, beside whatever workers there are. */
export async function processDue(
  ctx: DeliveryContext,
  actor: Actor,
  tenantId: string,
): Promise<DeliveryCounts> {
  await audit(ctx.db, actor, {
    tenantId,
    action: 'deliveries.processed',
    targetKind: 'tenant',
    targetId: tenantId,
  })
  return ctx.createWorker(tenantId).drain(PROCESS_DEADLINE_MS)
}

/** A plugin as it is now, its secrets opened; undefined if it is not there, `unreadable` if they do not open. */
export async function findTarget(
  ctx: Pick<DeliveryContext, 'db' | 'targets'>,
  tenantId: string,
  pluginId: string,
): Promise<DeliveryTarget | 'unreadable' | undefined> {
  const revision = await findPluginRevision(ctx.db, tenantId, pluginId)
  if (revision === undefined) return undefined
  const target = (await ctx.targets.get([{ tenantId, pluginId, revision }])).get(pluginId)
  return target ?? (ctx.targets.isUnreadable(pluginId) ? 'unreadable' : undefined)
}

export interface TestResult {
  delivered: boolean
  response_status: number | null
  duration_ms: number
  error_class?: string
  error_detail?: string
}

/**
 * Sends a signed `plugin.test` event to a plugin, whatever its status, through the code that deliveries go
 * through; it is not queued, retried or counted in the plugin's health.
 * @returns undefined if there is no such plugin
 * @throws `secret_unreadable`
 */
export async function sendTest(
  ctx: Pick<DeliveryContext, 'db' | 'destinationOf' | 'targets'>,
  tenantId: string,
  pluginId: string,
): Promise<TestResult | undefined> {
  const target = await findTarget(ctx, tenantId, pluginId)
  if (target === undefined) return undefined
  if (target === 'unreadable') throw secretUnreadable()
  const body = JSON.stringify({
    event: 'plugin.test',
    tenant_id: tenantId,
    timestamp: new Date(now()).toISOString(),
    data: { plugin: target.slug, plugin_id: pluginId, message: 'This is a test of your webhook endpoint.' },
  })
  const result = await ctx.destinationOf(target).send({
    id: newId(),
    body,
    causationId: null,
    causationDepth: 1,
    causationToken: null,
    event: 'plugin.test',
    publisher: 'platform',
    attempt: 1,
  })
  return {
    delivered: result.outcome === 'ok',
    response_status: result.status,
    duration_ms: Math.round(result.durationMs),
    ...(result.errorClass !== null && { error_class: result.errorClass }),
    ...(result.errorDetail !== null && { error_detail: result.errorDetail }),
  }
}
