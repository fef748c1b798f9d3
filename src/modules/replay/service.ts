import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { JobListener } from '#infra/durable-jobs.ts'
import { cancelJob } from '#infra/job-repository.ts'
import { audit } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { invalidCursor, invalidRequest } from '#infra/http/problems.ts'
import type { Signals } from '#infra/signals.ts'
import { decodeCursor, page } from '#lib/api/cursor.ts'
import { isEventPattern } from '#lib/event-pattern.ts'
import { newId } from '#lib/ids.ts'
import type { FieldError } from '#lib/api/problem.ts'
import { parseTime } from '#lib/time.ts'
import { pluginNotFound } from '#modules/plugin/index.ts'
import { replayFinished, replayNotFound, tooManyReplays } from './errors.ts'
import { readBatch } from './job-repository.ts'
import {
  countOpenReplays,
  findPlugin,
  findReplay,
  insertReplay,
  type ReplayPlugin,
  resolveUntil,
  selectReplays,
} from './repository.ts'
import type { NewReplay, Replay, ReplayEstimate, ReplayQuery } from './schemas.ts'
import { type Criteria, createSelection } from './selection.ts'
import { BATCH_SIZE, batchQuery, choose } from './worker.ts'

export interface ReplayContext {
  db: Kysely<DB>
  signals: Pick<Signals, 'publish'>
  /** Told when a job of a tenant changes. */
  onChange?: JobListener
}

const MAX_OPEN_REPLAYS = 10
/** A request answers in time, with its count by then. */
const ESTIMATE_MS = 4_000
/** Without bodies an event is some 100 bytes. */
const ESTIMATE_BATCH_SIZE = 5_000

/** @throws `plugin_not_found`, `invalid_request`, `too_many_replays` */
export async function createReplay(
  ctx: ReplayContext,
  actor: Actor,
  tenantId: string,
  slug: string,
  input: NewReplay,
): Promise<Replay> {
  const { plugin, criteria } = await readRequest(ctx, actor, tenantId, slug, input)
  const id = newId()
  const replay = await ctx.db.transaction().execute(async (trx) => {
    if ((await countOpenReplays(trx, tenantId)) >= MAX_OPEN_REPLAYS) throw tooManyReplays()
    const { since, until, event, deliveryStatus: delivery_status } = criteria
    const asked = { since, until, event, delivery_status }
    await insertReplay(trx, { id, tenant_id: tenantId, plugin_id: plugin.id, ...asked })
    await audit(trx, actor, {
      tenantId,
      action: 'replay.created',
      targetKind: 'replay',
      targetId: id,
      detail: { plugin: slug, ...asked },
    })
    return findReplay(trx, tenantId, id, null)
  })
  if (replay === undefined) throw replayNotFound()
  ctx.signals.publish('jobs_due', [id])
  ctx.onChange?.(tenantId)
  return replay
}

/** Counts what `createReplay` with the same input would queue now, by the same rules; nothing is written. */
export async function estimateReplay(
  ctx: ReplayContext,
  actor: Actor,
  tenantId: string,
  slug: string,
  input: NewReplay,
): Promise<ReplayEstimate> {
  const { plugin, criteria } = await readRequest(ctx, actor, tenantId, slug, input)
  const selection = createSelection(criteria, plugin)
  const scope = { ...criteria, tenantId, pluginId: plugin.id }
  const limit = selection.needsBodies ? BATCH_SIZE : ESTIMATE_BATCH_SIZE
  const estimate = { count: 0, skipped: 0, scanned: 0, complete: false }
  const deadline = performance.now() + ESTIMATE_MS
  for (let after: string | null = null; performance.now() < deadline;) {
    const events = await readBatch(ctx.db, batchQuery(scope, selection, after, limit))
    const { take, gone } = await choose(tenantId, selection, events)
    estimate.count += take.length
    estimate.skipped += gone
    estimate.scanned += events.length
    const last = events.at(-1)
    if (last === undefined) return { ...estimate, complete: true }
    after = last.id
  }
  return estimate
}

export async function listReplays(
  ctx: ReplayContext,
  actor: Actor,
  tenantId: string,
  query: ReplayQuery,
): Promise<{ data: Replay[]; next_cursor: string | null }> {
  const before = query.cursor === undefined ? null : decodeCursor(query.cursor, ['uuid'])?.[0]
  if (before === undefined) throw invalidCursor()
  const rows = await selectReplays(ctx.db, tenantId, {
    pluginId: actor.pluginId,
    slug: query.plugin ?? null,
    before: before as string | null,
    limit: query.limit + 1,
  })
  return page(rows, query.limit, (row) => [row.id])
}

export async function readReplay(
  ctx: ReplayContext,
  actor: Actor,
  tenantId: string,
  id: string,
): Promise<Replay> {
  const replay = await findReplay(ctx.db, tenantId, id, actor.pluginId)
  if (replay === undefined) throw replayNotFound()
  return replay
}

/** A cancelled replay stays as it is. @throws `replay_finished` if it ended otherwise */
export async function cancelReplay(
  ctx: ReplayContext,
  actor: Actor,
  tenantId: string,
  id: string,
): Promise<Replay> {
  const replay = await ctx.db.transaction().execute(async (trx) => {
    const inside = { ...ctx, db: trx }
    const { plugin } = await readReplay(inside, actor, tenantId, id)
    if (await cancelJob(trx, 'replays', { tenantId, id })) {
      const target = { tenantId, targetKind: 'replay', targetId: id, detail: { plugin } }
      await audit(trx, actor, { action: 'replay.cancelled', ...target })
    }
    const ended = await readReplay(inside, actor, tenantId, id)
    if (ended.status !== 'cancelled') throw replayFinished()
    return ended
  })
  ctx.onChange?.(tenantId)
  return replay
}

async function readRequest(
  ctx: ReplayContext,
  actor: Actor,
  tenantId: string,
  slug: string,
  input: NewReplay,
): Promise<{ plugin: ReplayPlugin; criteria: Criteria }> {
  const asked = readFilter(input)
  const plugin = await findPlugin(ctx.db, tenantId, slug)
  // A plugin's key is remembered for seconds, and by then its slug may be another plugin's.
  if (plugin === undefined || (actor.pluginId !== null && actor.pluginId !== plugin.id))
    throw pluginNotFound()
  const filter = await resolveFilter(ctx.db, asked)
  // By its own key a plugin gets nothing from before it was there; the shop may have it sent.
  const takesMissed = input.status === undefined || input.status === 'undelivered'
  const isOwn = actor.pluginId !== null && takesMissed
  const { registeredAt } = plugin
  const isEarlier = filter.since === null || filter.since < registeredAt
  return {
    plugin,
    criteria: {
      ...filter,
      since: isOwn && isEarlier ? registeredAt : filter.since,
      deliveryStatus: input.status ?? null,
    },
  }
}

interface Filter {
  since: Date | null
  until: Date | null
  event: string | null
}

/** @throws `invalid_request` */
export function readFilter(input: Pick<NewReplay, 'since' | 'until' | 'event'>): Filter {
  const errors: FieldError[] = []
  const since = timeOf('/since', input.since, errors)
  const until = timeOf('/until', input.until, errors)
  if (input.event !== undefined && !isEventPattern(input.event)) {
    errors.push({ pointer: '/event', detail: 'must be an event type, a prefix such as `order.*`, or `*`' })
  }
  if (errors.length > 0) throw invalidRequest(undefined, { errors })
  return { since, until, event: input.event ?? null }
}

/** Says until when exactly. @throws `invalid_request` if there is no time between */
export async function resolveFilter<F extends Filter>(
  db: Kysely<DB>,
  filter: F,
): Promise<F & { until: Date }> {
  const until = await resolveUntil(db, filter.until)
  if (filter.since === null || filter.since < until) return { ...filter, until }
  const detail = 'must be before until, and not in the future'
  throw invalidRequest(undefined, { errors: [{ pointer: '/since', detail }] })
}

function timeOf(pointer: string, text: string | undefined, errors: FieldError[]): Date | null {
  if (text === undefined) return null
  const time = parseTime(text)
  if (time !== null) return new Date(time)
  errors.push({ pointer, detail: 'must be an ISO 8601 time' })
  return null
}
