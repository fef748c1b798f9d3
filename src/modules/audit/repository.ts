import { type Kysely, sql } from 'kysely'
import type { DB } from '#db/schema.ts'
import { actorName } from '#infra/auth/actor-repository.ts'
import type { AuditLogEntry } from './schemas.ts'

export interface AuditLogFilter {
  action?: string | undefined
  /** Id or kind. */
  actor?: string | undefined
  /** Id or kind. */
  target?: string | undefined
  q?: string | undefined
  since?: Date | undefined
  until?: Date | undefined
}

const COLUMNS = [
  'id',
  'tenant_id',
  'actor_kind',
  'actor_id',
  'action',
  'target_kind',
  'target_id',
  'detail',
  'request_id',
  'created_at',
] as const

const ACTOR = { kind: 'audit_log.actor_kind', id: 'audit_log.actor_id', tenantId: 'audit_log.tenant_id' }

function entriesOf(db: Kysely<DB>, tenantId: string | null) {
  return db
    .selectFrom('audit_log')
    .select(COLUMNS)
    .select(actorName(ACTOR).as('actor_name'))
    .where('tenant_id', tenantId === null ? 'is' : '=', tenantId)
}

/** @param tenantId null: of the entries above all tenants */
export async function findAuditEntry(
  db: Kysely<DB>,
  tenantId: string | null,
  id: string,
): Promise<AuditLogEntry | undefined> {
  return entriesOf(db, tenantId).where('id', '=', id).executeTakeFirst()
}

/**
 * Newest first; `before` is the last id of the page before.
 *
 * @param tenantId null: the entries above all tenants
 */
export async function selectAuditLog(
  db: Kysely<DB>,
  tenantId: string | null,
  { action, actor, target, q, since, until }: AuditLogFilter,
  page: { before: string | null; limit: number },
): Promise<AuditLogEntry[]> {
  let query = entriesOf(db, tenantId)
  if (page.before !== null) query = query.where('id', '<', page.before)
  if (action !== undefined) query = query.where('action', '=', action)
  if (actor !== undefined) {
    query = query.where((eb) =>
      eb.or([eb('actor_id', '=', actor), eb(eb.cast('actor_kind', 'text'), '=', actor)]),
    )
  }
  if (target !== undefined) {
    query = query.where((eb) => eb.or([eb('target_id', '=', target), eb('target_kind', '=', target)]))
  }
  if (q !== undefined) {
    query = query.where(sql<boolean>`(starts_with(action, ${q}) or starts_with(target_id, ${q}))`)
  }
  if (since !== undefined) query = query.where('created_at', '>=', since)
  if (until !== undefined) query = query.where('created_at', '<', until)
  return query.orderBy('id', 'desc').limit(page.limit).execute()
}
