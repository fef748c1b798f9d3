import type { Kysely, Transaction } from 'kysely'
import { sql } from 'kysely'
import type { DB, TenantRole } from '#db/schema.ts'
import { isLive, type SessionGround } from '#infra/auth/session-repository.ts'
import type { PortalSession } from './schemas.ts'

export interface NewLinkRow {
  id: string
  tenant_id: string
  hash: Buffer
  scope: 'tenant' | 'plugin'
  role: TenantRole
  plugin_id: string | null
  label: string
  key_id: string | null
  platform_key_hash: Buffer | null
  session_seconds: number
  link_seconds: number
  return_url: string | null
  theme: 'light' | 'dark' | null
  locale: 'en' | 'de' | null
}

/** @returns the time until which it may be opened */
export async function insertLink(trx: Transaction<DB>, { link_seconds, ...row }: NewLinkRow): Promise<Date> {
  const { expires_at } = await trx
    .insertInto('portal_links')
    .values({ ...row, expires_at: sql<Date>`now() + make_interval(secs => ${link_seconds})` })
    .returning('expires_at')
    .executeTakeFirstOrThrow()
  return expires_at
}

export interface RedeemedLink {
  id: string
  tenant_id: string
  role: TenantRole
  plugin_id: string | null
  label: string
  session_seconds: number
  return_url: string | null
  theme: 'light' | 'dark' | null
  locale: 'en' | 'de' | null
}

/** Uses the live link of this hash up, as long as that is committed; undefined: there is none, or not any more. */
export async function redeemLink(
  trx: Transaction<DB>,
  hash: Buffer,
  { platformKeyHash, isOpen }: SessionGround,
): Promise<RedeemedLink | undefined> {
  return trx
    .updateTable('portal_links as link')
    .set({ used_at: sql<Date>`now()` })
    .where('link.hash', '=', hash)
    .where('link.used_at', 'is', null)
    .where('link.revoked_at', 'is', null)
    .where('link.expires_at', '>', sql<Date>`now()`)
    .where(
      sql<boolean>`(link.plugin_id is null or exists (
        select from plugins p where p.id = link.plugin_id and p.deleted_at is null))`,
    )
    .where(
      sql<boolean>`case
        when link.key_id is not null then exists (
          select from api_keys k
          where k.id = link.key_id and k.revoked_at is null and coalesce(k.expires_at > now(), true))
        when link.platform_key_hash is not null
          then coalesce(link.platform_key_hash = ${platformKeyHash}::bytea, false)
        else ${isOpen}::boolean
      end`,
    )
    .returning([
      'link.id',
      'link.tenant_id',
      'link.role',
      'link.plugin_id',
      'link.label',
      'link.session_seconds',
      'link.return_url',
      'link.theme',
      'link.locale',
    ])
    .executeTakeFirst()
}

/** Newest first; `before` is the last id of the page before. */
export async function selectLinks(
  db: Kysely<DB>,
  tenantId: string,
  ground: SessionGround,
  page: { before: string | null; limit: number },
): Promise<PortalSession[]> {
  const { platformKeyHash, isOpen } = ground
  return db
    .selectFrom('portal_links as link')
    .leftJoin('sessions as session', 'session.portal_link_id', 'link.id')
    .leftJoin('api_keys as key', 'key.id', 'link.key_id')
    .leftJoin('plugins as plugin', 'plugin.id', 'link.plugin_id')
    .select([
      'link.id',
      'link.scope',
      'plugin.slug as plugin',
      'link.role',
      'link.label',
      sql<PortalSession['status']>`case
        when session.id is not null and ${isLive(ground)} then 'active'
        when link.used_at is null and link.revoked_at is null and link.expires_at > now()
          and plugin.deleted_at is null
          and case
            when link.key_id is not null then key.revoked_at is null and coalesce(key.expires_at > now(), true)
            when link.platform_key_hash is not null
              then coalesce(link.platform_key_hash = ${platformKeyHash}::bytea, false)
            else ${isOpen}::boolean
          end
          then 'open'
        else 'ended'
      end`.as('status'),
      'link.return_url',
      'link.theme',
      'link.locale',
      'link.session_seconds as expires_in',
      'link.created_at',
      'link.expires_at',
      'link.used_at',
      'link.revoked_at',
      'session.id as session_id',
    ])
    .where('link.tenant_id', '=', tenantId)
    .$if(page.before !== null, (query) => query.where('link.id', '<', page.before as string))
    .orderBy('link.id', 'desc')
    .limit(page.limit)
    .execute()
}

/** Links with this label and the sessions that they were exchanged for. @returns how many of each were not ended yet */
export async function endByLabel(
  trx: Transaction<DB>,
  tenantId: string,
  label: string,
): Promise<{ links: number; sessions: number }> {
  const links = await trx
    .updateTable('portal_links')
    .set({ revoked_at: sql<Date>`now()` })
    .where('tenant_id', '=', tenantId)
    .where('label', '=', label)
    .where('revoked_at', 'is', null)
    .executeTakeFirst()
  const sessions = await trx
    .updateTable('sessions')
    .set({ revoked_at: sql<Date>`now()` })
    .where('tenant_id', '=', tenantId)
    .where('revoked_at', 'is', null)
    .where('expires_at', '>', sql<Date>`now()`)
    .where(
      'portal_link_id',
      'in',
      trx
        .selectFrom('portal_links')
        .select('id')
        .where('tenant_id', '=', tenantId)
        .where('label', '=', label),
    )
    .executeTakeFirst()
  return { links: Number(links.numUpdatedRows), sessions: Number(sessions.numUpdatedRows) }
}
