import type { FastifyInstance } from 'fastify'
import { type Kysely, sql } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { KnownKey } from './repository.ts'
import { DEFAULT_SCOPES, readingScopes } from './scopes.ts'

/** The time after which a silent session ends. */
const IDLE_MINUTES = 30

/** The conditions, beside rows, on which sessions live. */
export interface SessionGround {
  /** SHA-256 of the environment's platform key, with which the sessions of another one ended. */
  platformKeyHash: Buffer | null
  /** No key is needed; sessions that were made without one end when one is. */
  isOpen: boolean
}

/** The live session of this hash, with whom it stands for; null when there is none. Its use is noted. */
export async function findSession(
  app: FastifyInstance,
  hash: Buffer,
  ground: SessionGround,
): Promise<KnownKey | null> {
  const found = await readSession(app.db, hash, ground)
  if (found === null) return null
  if (!found.isUseNoted) await noteSeen(app, found.sessionId)
  return { actor: found.actor, expiresAt: found.expiresAt }
}

/** The same without noting it. */
export async function readSession(
  db: Kysely<DB>,
  hash: Buffer,
  ground: SessionGround,
): Promise<(KnownKey & { sessionId: string; isUseNoted: boolean }) | null> {
  const row = await selectSessions(db)
    .select([
      'session.id',
      'session.kind',
      'session.key_id',
      'session.tenant_id',
      'session.role',
      'session.plugin_id',
      'session.chosen_tenant_id',
      'session.label',
      'link.role as link_role',
      'plugin.slug',
      'plugin.scopes',
      sql<number>`extract(epoch from least(session.expires_at, key.expires_at) - now())::float8`.as(
        'seconds_left',
      ),
      sql<boolean>`session.seen_at >= now() - interval '1 minute'`.as('is_use_noted'),
    ])
    .where('session.hash', '=', hash)
    .where(isLive(ground))
    .executeTakeFirst()
  if (row === undefined) return null
  const scopes = row.scopes ?? DEFAULT_SCOPES
  return {
    actor: {
      kind: row.kind,
      id: row.key_id,
      tenantId: row.tenant_id,
      role: row.kind === 'platform' ? 'platform' : row.plugin_id === null ? row.role : null,
      pluginId: row.plugin_id,
      pluginSlug: row.slug,
      scopes: row.plugin_id === null ? null : row.link_role === 'viewer' ? readingScopes(scopes) : scopes,
      session: {
        id: row.id,
        chosenTenantId: row.chosen_tenant_id,
        portalLabel: row.kind === 'portal' ? row.label : null,
      },
    },
    expiresAt: performance.now() + row.seconds_left * 1_000,
    sessionId: row.id,
    isUseNoted: row.is_use_noted,
  }
}

/** Returns those of these sessions that are live, for work that was begun with one and lasts. */
export async function selectLiveSessions(
  db: Kysely<DB>,
  ids: readonly string[],
  ground: SessionGround,
): Promise<Set<string>> {
  const rows = await selectSessions(db)
    .select('session.id')
    .where('session.id', '=', sql<string>`any(${ids}::uuid[])`)
    .where(isLive(ground))
    .execute()
  return new Set(rows.map(({ id }) => id))
}

/**
 * Selects sessions with the things that end them: the key, their own or that of their link, the link, and the plugin.
 */
export function selectSessions(db: Kysely<DB>) {
  return db
    .selectFrom('sessions as session')
    .leftJoin('portal_links as link', 'link.id', 'session.portal_link_id')
    .leftJoin('api_keys as key', (join) =>
      join.on('key.id', '=', sql<string>`coalesce(session.key_id, link.key_id)`),
    )
    .leftJoin('plugins as plugin', 'plugin.id', 'session.plugin_id')
}

/** Of a row of `selectSessions`. */
export function isLive({ platformKeyHash, isOpen }: SessionGround) {
  const environment = sql`coalesce(session.platform_key_hash, link.platform_key_hash)`
  return sql<boolean>`(
    session.revoked_at is null
    and session.expires_at > now()
    and session.seen_at > now() - make_interval(mins => ${IDLE_MINUTES})
    and link.revoked_at is null
    and plugin.deleted_at is null
    and case
      when coalesce(session.key_id, link.key_id) is not null
        then key.revoked_at is null and coalesce(key.expires_at > now(), true)
      when ${environment} is not null then coalesce(${environment} = ${platformKeyHash}::bytea, false)
      else ${isOpen}::boolean
    end
  )`
}

/** No request fails because it could not be written. */
async function noteSeen(app: FastifyInstance, id: string): Promise<void> {
  try {
    await app.db
      .updateTable('sessions')
      .set({ seen_at: sql<Date>`now()` })
      .where('id', '=', id)
      // Of those who read at the same time the first one writes.
      .where(sql<boolean>`seen_at < now() - interval '1 minute'`)
      .execute()
  } catch (error) {
    app.log.debug({ err: (error as Error).message, session_id: id }, 'auth: use of a session not noted')
  }
}
