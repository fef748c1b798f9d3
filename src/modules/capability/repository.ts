import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { Manifest } from './manifest.ts'

export type Origin = 'pushed' | 'fetched'

export interface CapabilityRow {
  manifest: Manifest | null
  origin: Origin
  version: string | null
  etag: string | null
  last_updated: Date | null
  last_checked_at: Date | null
  last_error: string | null
  consecutive_failures: number
  next_check_at: Date | null
  own_event_types: string[]
  /** `next_check_at` to the microsecond: it identifies a claim. */
  claim: string | null
}

const now = sql<Date>`now()`

/** Event types that are the plugin's of the row `c`. */
const ownEventTypes = sql<string[]>`
  array(select name from event_types e where e.tenant_id = c.tenant_id and e.plugin_id = c.plugin_id order by name)`

export async function findCapabilities(
  db: Kysely<DB>,
  tenantId: string,
  pluginId: string,
): Promise<CapabilityRow | undefined> {
  return db
    .selectFrom('plugin_capabilities as c')
    .select((eb) => [
      eb.ref('manifest').$castTo<Manifest | null>().as('manifest'),
      'origin',
      'version',
      'etag',
      'last_updated',
      'last_checked_at',
      'last_error',
      'consecutive_failures',
      'next_check_at',
      ownEventTypes.as('own_event_types'),
      sql<string | null>`next_check_at::text`.as('claim'),
    ])
    .where('tenant_id', '=', tenantId)
    .where('plugin_id', '=', pluginId)
    .executeTakeFirst()
}

export async function findPluginId(
  db: Kysely<DB>,
  tenantId: string,
  slug: string,
): Promise<string | undefined> {
  const row = await db
    .selectFrom('plugins')
    .select('id')
    .where('tenant_id', '=', tenantId)
    .where('slug', '=', slug)
    .where('deleted_at', 'is', null)
    .executeTakeFirst()
  return row?.id
}

export interface Accepted {
  tenantId: string
  pluginId: string
  manifest: Manifest
  origin: Origin
  etag: string | null
  /** It is another one than before. */
  changed: boolean
  /** Milliseconds until it is looked at again; null: never. */
  nextCheckMs: number | null
}

export async function saveManifest(trx: Transaction<DB>, accepted: Accepted): Promise<void> {
  const { tenantId, pluginId, manifest, origin, etag, changed, nextCheckMs } = accepted
  await sql`
    insert into plugin_capabilities as c (plugin_id, tenant_id, manifest, origin, version, etag, last_updated,
      last_checked_at, next_check_at)
    values (${pluginId}, ${tenantId}, ${JSON.stringify(manifest)}::jsonb, ${origin}, ${manifest.version}, ${etag},
      now(), now(), now() + ${nextCheckMs}::float8 * interval '1 ms')
    on conflict (plugin_id) do update set
      manifest = excluded.manifest, origin = excluded.origin, version = excluded.version, etag = excluded.etag,
      last_updated = case when ${changed} then now() else c.last_updated end,
      last_checked_at = now(), last_error = null, consecutive_failures = 0, next_check_at = excluded.next_check_at`.execute(
    trx,
  )
}

/** The plugin says that nothing has changed. */
export async function saveUnchanged(
  db: Kysely<DB>,
  { tenantId, pluginId, claim }: Claim,
  nextCheckMs: number,
): Promise<void> {
  await claimed(db, { tenantId, pluginId, claim })
    .set({
      last_checked_at: now,
      last_error: null,
      consecutive_failures: 0,
      next_check_at: sql<Date>`now() + ${nextCheckMs}::float8 * interval '1 ms'`,
    })
    .execute()
}

/**
 * Keeps the last good manifest and says what was wrong. A pushed manifest is still not fetched by itself.
 * @param delayMs until the next look, for the number of failures in a row
 */
export async function saveFailure(
  db: Kysely<DB>,
  { tenantId, pluginId, claim }: Claim,
  error: string,
  nextCheckMs: number,
): Promise<void> {
  const fields = {
    last_checked_at: now,
    last_error: error,
    consecutive_failures: sql<number>`consecutive_failures + 1`,
    next_check_at: sql<Date>`case when origin = 'fetched' then now() + ${nextCheckMs}::float8 * interval '1 ms' end`,
  }
  const { numUpdatedRows } = await claimed(db, { tenantId, pluginId, claim }).set(fields).executeTakeFirst()
  if (numUpdatedRows > 0n || claim !== null) return
  await db
    .insertInto('plugin_capabilities')
    .values({
      plugin_id: pluginId,
      tenant_id: tenantId,
      origin: 'fetched',
      last_checked_at: now,
      last_error: error,
      consecutive_failures: 1,
      next_check_at: sql<Date>`now() + ${nextCheckMs}::float8 * interval '1 ms'`,
    })
    .onConflict((conflict) => conflict.column('plugin_id').doNothing())
    .execute()
}

export interface Claim {
  tenantId: string
  pluginId: string
  /** Null: a person asked, and writes whatever else is going on. */
  claim: string | null
}

function claimed(db: Kysely<DB>, { tenantId, pluginId, claim }: Claim) {
  const query = db
    .updateTable('plugin_capabilities')
    .where('tenant_id', '=', tenantId)
    .where('plugin_id', '=', pluginId)
  return claim === null ? query : query.where(sql<boolean>`next_check_at = ${claim}::timestamptz`)
}

/** Manifests of active plugins that are due, for this caller alone until the lease is over. */
export async function claimDue(
  db: Kysely<DB>,
  limit: number,
  leaseMs: number,
): Promise<{ tenantId: string; pluginId: string; claim: string }[]> {
  const { rows } = await sql<{ tenantId: string; pluginId: string; claim: string }>`
    update plugin_capabilities set next_check_at = now() + ${leaseMs}::float8 * interval '1 ms'
    where plugin_id in (
      select c.plugin_id from plugin_capabilities c
      join plugins p on p.id = c.plugin_id and p.tenant_id = c.tenant_id
      where c.next_check_at <= now() and p.status = 'active' and p.deleted_at is null
      order by c.next_check_at limit ${limit}
      for update of c skip locked
    )
    returning tenant_id as "tenantId", plugin_id as "pluginId", next_check_at::text as claim`.execute(db)
  return rows
}

export interface OwnedManifest {
  plugin_id: string
  plugin: string
  plugin_active: boolean
  manifest: Manifest
  own_event_types: string[]
  bytes: number
}

export async function selectManifests(db: Kysely<DB>, tenantId: string): Promise<OwnedManifest[]> {
  return db
    .selectFrom('plugin_capabilities as c')
    .innerJoin('plugins as p', (join) =>
      join.onRef('p.id', '=', 'c.plugin_id').onRef('p.tenant_id', '=', 'c.tenant_id'),
    )
    .select((eb) => [
      'c.plugin_id',
      'p.slug as plugin',
      eb('p.status', '=', 'active').$castTo<boolean>().as('plugin_active'),
      eb.ref('c.manifest').$castTo<Manifest>().as('manifest'),
      ownEventTypes.as('own_event_types'),
      sql<number>`octet_length(c.manifest::text)`.as('bytes'),
    ])
    .where('c.tenant_id', '=', tenantId)
    .where('p.deleted_at', 'is', null)
    .where('c.manifest', 'is not', null)
    .orderBy('p.slug')
    .execute()
}
