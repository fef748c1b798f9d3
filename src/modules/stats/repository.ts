import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { DB } from '#db/schema.ts'

type Condition = RawBuilder<boolean>

export function isOneOf(column: string, ids: readonly string[]): Condition {
  return sql<boolean>`${sql.ref(column)} = any(${[...ids]}::uuid[])`
}

export function isText(column: string, text: string): Condition {
  return sql<boolean>`${sql.ref(column)} = ${text}`
}

/** Event types that a pattern such as `order.*` takes. */
export function takesEvent(pattern: string): Condition {
  if (pattern === '*') return sql<boolean>`true`
  return pattern.endsWith('.*')
    ? sql<boolean>`starts_with(event, ${pattern.slice(0, -1)})`
    : isText('event', pattern)
}

export interface Named {
  id: string
  /** Null: it was deleted. */
  slug: string | null
  name: string
}

export async function selectPlugins(
  db: Kysely<DB>,
  tenantId: string,
  ids: readonly string[],
): Promise<Named[]> {
  const rows = await db
    .selectFrom('plugins')
    .select(['id', 'slug', 'name', 'deleted_at'])
    .where('tenant_id', '=', tenantId)
    .where(isOneOf('id', ids))
    .execute()
  return rows.map(({ id, slug, name, deleted_at: deletedAt }) => ({
    id,
    slug: deletedAt === null ? slug : null,
    name,
  }))
}

export async function selectFlows(
  db: Kysely<DB>,
  tenantId: string,
  ids: readonly string[],
): Promise<{ id: string; name: string }[]> {
  return db
    .selectFrom('automation_flows')
    .select(['id', 'name'])
    .where('tenant_id', '=', tenantId)
    .where(isOneOf('id', ids))
    .execute()
}
