import type { FastifyInstance } from 'fastify'
import { type Kysely, sql } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { Actor } from './actor.ts'
import { DEFAULT_SCOPES } from './scopes.ts'

export interface KnownKey {
  actor: Omit<Actor, 'requestId'>
  /** On the clock of `performance.now()`; Infinity for a key without an end. */
  expiresAt: number
}

/** The live key of this hash, with whom it stands for; null when there is none. */
export async function findKey(app: FastifyInstance, hash: Buffer): Promise<KnownKey | null> {
  const row = await app.db
    .selectFrom('api_keys as key')
    .leftJoin('plugins as plugin', 'plugin.id', 'key.plugin_id')
    .select([
      'key.id',
      'key.kind',
      'key.tenant_id',
      'key.role',
      'key.plugin_id',
      'plugin.slug',
      'plugin.scopes',
      sql<number | null>`extract(epoch from key.expires_at - now())::float8`.as('seconds_left'),
      sql<boolean>`coalesce(key.last_used_at < now() - interval '1 minute', true)`.as('use_not_noted'),
    ])
    .where('key.hash', '=', hash)
    .where('key.revoked_at', 'is', null)
    .where('plugin.deleted_at', 'is', null)
    .executeTakeFirst()
  if (row === undefined || (row.seconds_left !== null && row.seconds_left <= 0)) return null
  if (row.use_not_noted) await noteUse(app, row.id)
  return {
    actor: {
      kind: row.kind,
      id: row.id,
      tenantId: row.tenant_id,
      role: row.kind === 'platform' ? 'platform' : row.role,
      pluginId: row.plugin_id,
      pluginSlug: row.slug,
      scopes: row.kind === 'plugin' ? (row.scopes ?? DEFAULT_SCOPES) : null,
      session: null,
    },
    expiresAt: row.seconds_left === null ? Infinity : performance.now() + row.seconds_left * 1_000,
  }
}

/** Returns those of these keys that are live, for work that was begun with one and lasts. */
export async function selectLiveKeys(db: Kysely<DB>, ids: readonly string[]): Promise<Set<string>> {
  const rows = await db
    .selectFrom('api_keys')
    .select('id')
    .where('id', '=', sql<string>`any(${ids}::uuid[])`)
    .where('revoked_at', 'is', null)
    .where(sql<boolean>`(expires_at is null or expires_at > now())`)
    .execute()
  return new Set(rows.map(({ id }) => id))
}

/** `last_used_at` is for people who tidy up keys: no request fails because it could not be written. */
async function noteUse(app: FastifyInstance, id: string): Promise<void> {
  try {
    await app.db
      .updateTable('api_keys')
      .set({ last_used_at: sql<Date>`now()` })
      .where('id', '=', id)
      // Of those who read at the same time the first one writes.
      .where(sql<boolean>`coalesce(last_used_at < now() - interval '1 minute', true)`)
      .execute()
  } catch (error) {
    app.log.debug({ err: (error as Error).message, key_id: id }, 'auth: use of a key not noted')
  }
}

/** Makes the tenant's row, if there is none yet. */
export async function insertTenant(db: Kysely<DB>, id: string): Promise<void> {
  await db
    .insertInto('tenants')
    .values({ id })
    .onConflict((conflict) => conflict.column('id').doNothing())
    .execute()
}
