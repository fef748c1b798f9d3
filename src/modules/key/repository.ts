import type { Kysely, Transaction } from 'kysely'
import { sql } from 'kysely'
import type { DB, KeyKind, TenantRole } from '#db/schema.ts'
import type { ApiKey, KeyStatus } from './schemas.ts'

/** Keys of one tenant, or with null the platform's own. */
export type KeyScope = string | null

export interface KeyRow {
  id: string
  tenant_id: string | null
  kind: KeyKind
  role: TenantRole | null
  plugin_id: string | null
  name: string
  prefix: string
  hash: Buffer
  expires_at: Date | null
}

export async function insertKey(trx: Transaction<DB>, row: KeyRow): Promise<void> {
  await trx.insertInto('api_keys').values(row).execute()
}

/** One that was revoked stays so when it expires, too. */
const STATUSES = {
  active: sql<boolean>`key.revoked_at is null and coalesce(key.expires_at > now(), true)`,
  revoked: sql<boolean>`key.revoked_at is not null`,
  expired: sql<boolean>`key.revoked_at is null and key.expires_at <= now()`,
}

/** Newest first; `before` is the last id of the page before. */
export async function selectKeys(
  db: Kysely<DB>,
  scope: KeyScope,
  page: { status: KeyStatus | null; before: string | null; limit: number },
): Promise<ApiKey[]> {
  return selectInScope(db, scope)
    .$if(page.status !== null, (query) => query.where(STATUSES[page.status ?? 'active']))
    .$if(page.before !== null, (query) => query.where('key.id', '<', page.before))
    .orderBy('key.id', 'desc')
    .limit(page.limit)
    .execute()
}

export async function selectKey(db: Kysely<DB>, scope: KeyScope, id: string): Promise<ApiKey | undefined> {
  return selectInScope(db, scope).where('key.id', '=', id).executeTakeFirst()
}

/** Revokes a key and returns it; undefined if there is no such key or it was revoked before. */
export async function revokeKeyRow(
  trx: Transaction<DB>,
  scope: KeyScope,
  id: string,
): Promise<{ name: string; kind: KeyKind } | undefined> {
  return trx
    .updateTable('api_keys')
    .set({ revoked_at: sql<Date>`now()` })
    .where('tenant_id', scope === null ? 'is' : '=', scope)
    .where('id', '=', id)
    .where('revoked_at', 'is', null)
    .returning(['name', 'kind'])
    .executeTakeFirst()
}

/** Held until the end of the transaction, so that the plugin is not deleted meanwhile. */
export async function lockPlugin(
  trx: Transaction<DB>,
  tenantId: string,
  slugOrId: string,
): Promise<{ id: string; slug: string } | undefined> {
  const idText = sql<string>`id::text`
  return (
    trx
      .selectFrom('plugins')
      .select(['id', 'slug'])
      .where('tenant_id', '=', tenantId)
      .where('deleted_at', 'is', null)
      .where((eb) => eb.or([eb(idText, '=', slugOrId.toLowerCase()), eb('slug', '=', slugOrId)]))
      // A UUID is also a possible slug: the id goes first.
      .orderBy((eb) => eb(idText, '=', slugOrId.toLowerCase()), 'desc')
      .forShare()
      .executeTakeFirst()
  )
}

function selectInScope(db: Kysely<DB>, scope: KeyScope) {
  return db
    .selectFrom('api_keys as key')
    .leftJoin('plugins as plugin', (join) =>
      join.onRef('plugin.tenant_id', '=', 'key.tenant_id').onRef('plugin.id', '=', 'key.plugin_id'),
    )
    .select([
      'key.id',
      'key.tenant_id',
      'key.kind',
      'key.role',
      'plugin.slug as plugin',
      'key.plugin_id',
      'key.name',
      'key.prefix',
      'key.created_at',
      'key.expires_at',
      'key.last_used_at',
      'key.revoked_at',
    ])
    .where('key.tenant_id', scope === null ? 'is' : '=', scope)
}
