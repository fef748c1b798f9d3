import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { type SegmentContent, Segments } from './segments.ts'

type Db = Kysely<DB> | Transaction<DB>

/** The first segment of `name`, as segmentOf() has it. */
const SEGMENT = sql<string>`replace(lower(split_part(translate(name, '/', '.'), '.', 1)), '-', '_')`

/** Selects what plugins have claimed and what is kept for the shop, as `SegmentContent` has it. */
export function claimedSegments(tenantId: unknown) {
  return sql<SegmentContent['claims']>`(
    select coalesce(json_agg(json_build_object('segment', segment, 'pluginId', plugin_id)), '[]')
    from event_segments where tenant_id = ${tenantId})`
}

/** Segments of types that the tenant has declared, or sent before any plugin did. */
export function shopSegments(tenantId: unknown) {
  return sql<string[]>`array(
    select ${SEGMENT} from event_types where tenant_id = ${tenantId} and plugin_id is null
    union
    select ${SEGMENT} from seen_event_types where tenant_id = ${tenantId} and plugin_id is null)`
}

export async function loadSegments(db: Db, tenantId: string): Promise<Segments> {
  const { rows } = await sql<SegmentContent>`
    select
      ${claimedSegments(tenantId)} as claims,
      (select coalesce(json_agg(json_build_object('id', id, 'slug', slug)), '[]')
       from plugins where tenant_id = ${tenantId} and deleted_at is null) as plugins,
      ${shopSegments(tenantId)} as "ofShop"`.execute(db)
  return new Segments(rows[0] ?? { claims: [], plugins: [], ofShop: [] })
}

export interface SegmentRow {
  segment: string
  plugin_id: string | null
  plugin: string | null
  claimed_at: Date
}

export async function listSegments(
  db: Db,
  tenantId: string,
  { after, limit }: { after: string; limit: number },
): Promise<SegmentRow[]> {
  return segments(db, tenantId)
    .where('claim.segment', '>', after)
    .orderBy('claim.segment')
    .limit(limit)
    .execute()
}

export async function findSegment(
  db: Db,
  tenantId: string,
  segment: string,
): Promise<SegmentRow | undefined> {
  return segments(db, tenantId).where('claim.segment', '=', segment).executeTakeFirst()
}

export async function upsertSegments(
  trx: Transaction<DB>,
  tenantId: string,
  names: readonly string[],
  pluginId: string | null,
): Promise<void> {
  await sql`
    insert into event_segments (tenant_id, segment, plugin_id)
    select ${tenantId}, segment, ${pluginId} from unnest(${names}::text[]) as segment
    on conflict (tenant_id, segment) do update set plugin_id = excluded.plugin_id, claimed_at = now()
    where event_segments.plugin_id is distinct from excluded.plugin_id`.execute(trx)
}

export async function deleteSegment(trx: Transaction<DB>, tenantId: string, segment: string): Promise<void> {
  await trx
    .deleteFrom('event_segments')
    .where('tenant_id', '=', tenantId)
    .where('segment', '=', segment)
    .execute()
}

export async function deletePluginSegments(
  trx: Transaction<DB>,
  tenantId: string,
  pluginId: string,
): Promise<void> {
  await trx
    .deleteFrom('event_segments')
    .where('tenant_id', '=', tenantId)
    .where('plugin_id', '=', pluginId)
    .execute()
}

/** Declarations of plugins that may not publish below the segment any more; `pluginId` keeps its own. */
export async function deleteTypesBelow(
  trx: Transaction<DB>,
  tenantId: string,
  segment: string,
  pluginId: string | null,
): Promise<void> {
  await trx
    .deleteFrom('event_types')
    .where('tenant_id', '=', tenantId)
    .where('plugin_id', 'is not', null)
    .where(sql<boolean>`plugin_id is distinct from ${pluginId}::uuid`)
    .where(SEGMENT, '=', segment)
    .execute()
}

/** The live plugin of this id or slug. */
export async function findPluginNamed(
  db: Db,
  tenantId: string,
  name: string,
): Promise<{ id: string; slug: string } | undefined> {
  return db
    .selectFrom('plugins')
    .select(['id', 'slug'])
    .where('tenant_id', '=', tenantId)
    .where('deleted_at', 'is', null)
    .where((eb) => eb.or([eb('slug', '=', name), eb(sql<string>`id::text`, '=', name.toLowerCase())]))
    .executeTakeFirst()
}

function segments(db: Db, tenantId: string) {
  return db
    .selectFrom('event_segments as claim')
    .leftJoin('plugins as plugin', (join) =>
      join.onRef('plugin.id', '=', 'claim.plugin_id').onRef('plugin.tenant_id', '=', 'claim.tenant_id'),
    )
    .select(['claim.segment', 'claim.plugin_id', 'plugin.slug as plugin', 'claim.claimed_at'])
    .where('claim.tenant_id', '=', tenantId)
}
