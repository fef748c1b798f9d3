import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB, SessionKind, SessionTransport, TenantRole } from '#db/schema.ts'
import { isLive, selectSessions, type SessionGround } from '#infra/auth/session-repository.ts'
import type { SessionRecord } from './schemas.ts'

/** Sessions of one tenant, or with null all there are. */
export type SessionScope = string | null

export interface NewSessionRow {
  id: string
  tenant_id: string | null
  hash: Buffer
  kind: SessionKind
  transport: SessionTransport
  key_id: string | null
  platform_key_hash: Buffer | null
  portal_link_id: string | null
  role: TenantRole | null
  plugin_id: string | null
  chosen_tenant_id: string | null
  label: string
  /** The longest time for which it lasts. */
  seconds: number
}

export async function insertSession(trx: Transaction<DB>, { seconds, ...row }: NewSessionRow): Promise<void> {
  await trx
    .insertInto('sessions')
    .values({ ...row, expires_at: sql<Date>`now() + make_interval(secs => ${seconds})` })
    .execute()
}

/** Newest first; `before` is the last id of the page before. */
export async function selectSessionPage(
  db: Kysely<DB>,
  scope: SessionScope,
  ground: SessionGround,
  page: { before: string | null; limit: number; currentId: string | null },
): Promise<SessionRecord[]> {
  return selectSessions(db)
    .select([
      'session.id',
      'session.kind',
      'session.transport',
      'session.role',
      'session.tenant_id',
      'plugin.slug as plugin',
      'session.key_id',
      'session.portal_link_id',
      'session.label',
      sql<SessionRecord['status']>`case when ${isLive(ground)} then 'live' else 'ended' end`.as('status'),
      sql<boolean>`coalesce(session.id = ${page.currentId}::uuid, false)`.as('current'),
      'session.created_at',
      'session.seen_at',
      'session.expires_at',
      'session.revoked_at',
    ])
    .$if(scope !== null, (query) => query.where('session.tenant_id', '=', scope))
    .$if(page.before !== null, (query) => query.where('session.id', '<', page.before as string))
    .orderBy('session.id', 'desc')
    .limit(page.limit)
    .execute()
}

/** Revokes a session and returns it; undefined if there is no such session or it was ended by hand before. */
export async function revokeSessionRow(
  trx: Transaction<DB>,
  scope: SessionScope,
  id: string,
): Promise<{ tenant_id: string | null; kind: SessionKind; label: string } | undefined> {
  return trx
    .updateTable('sessions')
    .set({ revoked_at: sql<Date>`now()` })
    .where('id', '=', id)
    .$if(scope !== null, (query) => query.where('tenant_id', '=', scope))
    .where('revoked_at', 'is', null)
    .returning(['tenant_id', 'kind', 'label'])
    .executeTakeFirst()
}

export async function hasSession(db: Kysely<DB>, scope: SessionScope, id: string): Promise<boolean> {
  const row = await db
    .selectFrom('sessions')
    .select('id')
    .where('id', '=', id)
    .$if(scope !== null, (query) => query.where('tenant_id', '=', scope))
    .executeTakeFirst()
  return row !== undefined
}

/** Returns a session's label and its end, which is that of its key at the latest. */
export async function findSessionLabel(
  db: Kysely<DB>,
  id: string,
): Promise<{ label: string; expires_at: Date } | undefined> {
  return selectSessions(db)
    .select(['session.label', sql<Date>`least(session.expires_at, key.expires_at)`.as('expires_at')])
    .where('session.id', '=', id)
    .executeTakeFirst()
}

/** The same of a key. */
export async function findKeyLabel(
  db: Kysely<DB>,
  id: string,
): Promise<{ label: string; expires_at: Date | null } | undefined> {
  return db
    .selectFrom('api_keys')
    .select(['name as label', 'expires_at'])
    .where('id', '=', id)
    .executeTakeFirst()
}

export async function findPluginName(
  db: Kysely<DB>,
  tenantId: string | null,
  id: string,
): Promise<{ slug: string; name: string } | undefined> {
  return db
    .selectFrom('plugins')
    .select(['slug', 'name'])
    .where('tenant_id', '=', tenantId)
    .where('id', '=', id)
    .executeTakeFirst()
}
