import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'

/** Finds characters that JSON may write otherwise: a letter by its number, or a slash behind another one. */
const ESCAPED = String.raw`\\(u|/)`

/**
 * A page of flows by the text of their definitions: what it means is read of those in which one of the patterns (of
 * Postgres) is found, or what may be one of them, escaped.
 */
export async function selectMatching(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  patterns: readonly string[],
  page: { after: string | null; limit: number },
) {
  // As one: Postgres keeps 32 compiled, and of more it would compile each anew for every definition.
  const pattern = [...patterns, ESCAPED].map((each) => `(?:${each})`).join('|')
  return db
    .selectFrom('automation_flows as f')
    .leftJoin('automation_flow_versions as v', (join) =>
      join
        .onRef('v.tenant_id', '=', 'f.tenant_id')
        .onRef('v.flow_id', '=', 'f.id')
        .onRef('v.version', '=', 'f.published_version'),
    )
    .select(['f.id', 'f.name', 'f.status', 'f.definition', 'v.definition as published'])
    .where('f.tenant_id', '=', tenantId)
    .where('f.deleted_at', 'is', null)
    .$if(page.after !== null, (query) => query.where('f.id', '>', page.after))
    .where(sql<boolean>`f.definition || E'\n' || coalesce(v.definition, '') ~ ${pattern}`)
    .orderBy('f.id')
    .limit(page.limit)
    .execute()
}
