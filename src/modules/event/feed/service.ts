import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { audit } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import type { Signals } from '#infra/signals.ts'
import { invalidCursor } from '#infra/http/problems.ts'
import { decodeCursor, page } from '#lib/api/cursor.ts'
import { isUuid } from '#lib/ids.ts'
import { selectDeliveries, selectSlugs } from './delivery-repository.ts'
import { selectCaused, selectStarted } from './list-repository.ts'
import { eventBodyGone, eventNotFound, pluginNotSubscribed } from '../errors.ts'
import { type ShownEvent, findEvent, findSubscriber } from './repository.ts'
import { queueAgain } from './resend-repository.ts'
import {
  type EventDetail,
  type EventDetailQuery,
  type EventReplayResult,
  MAX_CAUSED,
  MAX_STARTED,
} from './schemas.ts'
import { loadSnapshot } from '../intake/snapshot-repository.ts'
import { readBody, viewEvent } from './view.ts'

export interface EventContext {
  db: Kysely<DB>
  signals: Pick<Signals, 'publish'>
}

/** For a plugin's key: only an event that went to the plugin, with that delivery alone. */
export async function readEvent(
  ctx: EventContext,
  tenantId: string,
  pluginId: string | null,
  id: string,
  query: EventDetailQuery,
): Promise<EventDetail> {
  const after = query.cursor === undefined ? null : decodeCursor(query.cursor, ['uuid'])?.[0]
  if (after === undefined) throw invalidCursor()
  const row = await requireEvent(ctx.db, tenantId, pluginId, id)
  const found = await selectDeliveries(ctx.db, tenantId, row.id, {
    pluginId,
    after: after as string | null,
    limit: query.limit + 1,
  })
  const isOwn = row.publisher_plugin_id === pluginId
  if (pluginId !== null && !isOwn && found.length === 0 && after === null) throw eventNotFound()
  const { data: deliveries, next_cursor } = page(found, query.limit, (delivery) => [delivery.id])
  const isShops = pluginId === null
  const filtered = isShops ? await selectSlugs(ctx.db, tenantId, row.filtered_plugins ?? []) : []
  return {
    ...viewEvent(row),
    deliveries,
    next_cursor,
    filtered: filtered.map(({ slug }) => ({ plugin: slug })),
    executions: isShops ? await selectStarted(ctx.db, tenantId, row.id, MAX_STARTED) : [],
    caused: isShops ? await selectCaused(ctx.db, tenantId, row.id, MAX_CAUSED) : [],
  }
}

/** Delivers an event again, to every plugin that is subscribed to it now or to one of them; by a plugin's key to that one. */
export async function replayEvent(
  ctx: EventContext,
  actor: Actor,
  tenantId: string,
  id: string,
  plugin: string | undefined,
): Promise<EventReplayResult> {
  const row = await requireEvent(ctx.db, tenantId, actor.pluginId, id)
  const own = actor.pluginId === null ? null : await findSubscriber(ctx.db, tenantId, actor.pluginId)
  if (own !== null && (own === undefined || row.received_at < own.registeredAt)) throw eventNotFound()
  if (row.body === null) throw eventBodyGone()
  const plugins = await ctx.db.transaction().execute(async (trx) => {
    const snapshot = await loadSnapshot(trx, tenantId)
    const { plugins, undecided } = snapshot.pluginsFor(row.event, readBody(row), row.publisher_plugin_id)
    // Somebody asks for it: who cannot be decided gets it, as by a retry of the delivery.
    const subscribed = await selectSlugs(trx, tenantId, [...plugins, ...undecided])
    const chosen = subscribed
      .filter(({ id }) => actor.pluginId === null || id === actor.pluginId)
      .filter((each) => plugin === undefined || isNamed(each, plugin))
    if ((plugin !== undefined || actor.pluginId !== null) && chosen.length === 0) throw pluginNotSubscribed()
    const pluginIds = chosen.map((each) => each.id)
    const wanted = pluginIds.map((pluginId) => ({ eventId: row.id, event: row.event, pluginId }))
    await queueAgain(trx, tenantId, wanted, { reason: 'replay', status: null, noWait: false })
    await audit(trx, actor, {
      tenantId,
      action: 'event.replayed',
      targetKind: 'event',
      targetId: row.id,
      detail: { event: row.event, plugins: chosen.map(({ slug }) => slug) },
    })
    return chosen
  })
  ctx.signals.publish(
    'deliveries_due',
    plugins.map((each) => each.id),
  )
  return { event_id: row.id, deliveries: plugins.length, plugins: plugins.map(({ slug }) => slug) }
}

function isNamed({ id, slug }: { id: string; slug: string }, plugin: string): boolean {
  return slug === plugin || id === plugin.toLowerCase()
}

/** By our id, else by the caller's own, which may look like one of ours. */
export async function requireEvent(
  db: Kysely<DB>,
  tenantId: string,
  pluginId: string | null,
  id: string,
): Promise<ShownEvent> {
  const byId = isUuid(id) ? await findEvent(db, tenantId, { id }) : undefined
  const row = byId ?? (await findEvent(db, tenantId, { sourceId: id, publisher: pluginId }))
  if (row === undefined) throw eventNotFound()
  return row
}
