import type { Kysely, Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { audit } from '#infra/audit.ts'
import { type Actor, SYSTEM_ACTOR } from '#infra/auth/auth.ts'
import { invalidCursor, invalidRequest } from '#infra/http/problems.ts'
import { raiseActionsVersion, raiseSubscriptionsVersion } from '#infra/tenant-versions.ts'
import { decodeCursor, page } from '#lib/api/cursor.ts'
import { eventSegmentNotFound, eventSegmentReserved } from '../errors.ts'
import {
  deleteSegment,
  deleteTypesBelow,
  findPluginNamed,
  findSegment,
  listSegments,
  loadSegments,
  type SegmentRow,
  upsertSegments,
} from './repository.ts'
import type { EventSegment, EventSegmentInput, EventSegmentPage, EventSegmentQuery } from './schemas.ts'
import { isPlatformSegment } from './segments.ts'

export interface SegmentContext {
  db: Kysely<DB>
}

/** Lists what plugins have claimed and what is kept for the shop, by name. */
export async function listClaims(
  ctx: SegmentContext,
  tenantId: string,
  query: EventSegmentQuery,
): Promise<EventSegmentPage> {
  const after = query.cursor === undefined ? '' : decodeCursor(query.cursor, ['string'])?.[0]
  if (typeof after !== 'string') throw invalidCursor()
  const rows = await listSegments(ctx.db, tenantId, { after, limit: query.limit + 1 })
  return page(rows.map(view), query.limit, ({ segment }) => [segment])
}

/** An admin says whose the segment is, whoever has it. @throws `event_segment_reserved`, `invalid_request` */
export async function assignSegment(
  ctx: SegmentContext,
  actor: Actor,
  tenantId: string,
  segment: string,
  { plugin: name }: EventSegmentInput,
): Promise<{ created: boolean; segment: EventSegment }> {
  if (isPlatformSegment(segment)) throw eventSegmentReserved()
  return ctx.db.transaction().execute(async (trx) => {
    await raiseSubscriptionsVersion(trx, tenantId)
    const plugin = name === null ? null : await findPluginNamed(trx, tenantId, name)
    if (plugin === undefined) {
      const detail = 'names no plugin of the shop: see GET /api/plugins, or give null to keep it for the shop'
      throw invalidRequest(undefined, { errors: [{ pointer: '/plugin', detail }] })
    }
    const before = await findSegment(trx, tenantId, segment)
    await upsertSegments(trx, tenantId, [segment], plugin?.id ?? null)
    await changed(trx, tenantId, segment)
    await audit(trx, actor, {
      tenantId,
      action: 'event_segment.assigned',
      targetKind: 'event_segment',
      targetId: segment,
      detail: { from: before?.plugin ?? null, to: plugin?.slug ?? null },
    })
    const row = await findSegment(trx, tenantId, segment)
    if (row === undefined) throw new Error('a segment that was just written is not there')
    return { created: before === undefined, segment: view(row) }
  })
}

/** Nobody has claimed it from now on: it is the plugin's whose slug it is, else whoever comes first claims it. @throws `event_segment_not_found` */
export async function releaseSegment(
  ctx: SegmentContext,
  actor: Actor,
  tenantId: string,
  segment: string,
): Promise<void> {
  await ctx.db.transaction().execute(async (trx) => {
    await raiseSubscriptionsVersion(trx, tenantId)
    const before = await findSegment(trx, tenantId, segment)
    if (before === undefined) throw eventSegmentNotFound()
    await deleteSegment(trx, tenantId, segment)
    await changed(trx, tenantId, segment)
    await audit(trx, actor, {
      tenantId,
      action: 'event_segment.released',
      targetKind: 'event_segment',
      targetId: segment,
      detail: { from: before.plugin },
    })
  })
}

export interface WantedSegment {
  /** The publisher: told in the audit log. */
  actor: Pick<Actor, 'kind' | 'id' | 'session' | 'requestId'>
  tenantId: string
  pluginId: string
  segment: string
}

/** Makes a segment that was nobody's the plugin's; whose it is by then, the next look says. */
export async function claimSegment(
  db: Kysely<DB>,
  { actor, tenantId, pluginId, segment }: WantedSegment,
): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await raiseSubscriptionsVersion(trx, tenantId)
    await claimFree(trx, actor, { tenantId, pluginId }, [segment])
  })
}

/**
 * Claims those of the segments that are nobody's, as many as a plugin may have. The caller has locked the tenant's row.
 *
 * @returns the names below which the plugin may publish by then
 */
export async function claimFree(
  trx: Transaction<DB>,
  actor: WantedSegment['actor'],
  { tenantId, pluginId }: { tenantId: string; pluginId: string },
  names: readonly string[],
): Promise<Set<string>> {
  const segments = await loadSegments(trx, tenantId)
  // Deleted while its request waited for the tenant's row: nobody would give the segment back.
  if (!segments.hasPlugin(pluginId)) return new Set()
  const free = segments.claimable(pluginId, names)
  if (free.length > 0) await upsertSegments(trx, tenantId, free, pluginId)
  for (const segment of free) {
    await audit(
      trx,
      { ...SYSTEM_ACTOR, ...actor },
      {
        tenantId,
        action: 'event_segment.claimed',
        targetKind: 'event_segment',
        targetId: segment,
        detail: { plugin_id: pluginId },
      },
    )
  }
  return new Set([...names.filter((name) => segments.isSpokenBy(name, pluginId)), ...free])
}

async function changed(trx: Transaction<DB>, tenantId: string, segment: string): Promise<void> {
  const owner = (await loadSegments(trx, tenantId)).ownerOf(segment)
  await deleteTypesBelow(trx, tenantId, segment, owner.kind === 'plugin' ? owner.pluginId : null)
  // What manifests offer says whose types are.
  await raiseActionsVersion(trx, tenantId)
}

function view({ segment, plugin_id, plugin, claimed_at }: SegmentRow): EventSegment {
  return { segment, owner: plugin_id === null ? 'shop' : 'plugin', plugin_id, plugin, claimed_at }
}
