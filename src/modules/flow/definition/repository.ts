import { type Kysely, sql } from 'kysely'
import type { DB } from '#db/schema.ts'

/** Finds flows by the text of their definitions: what it means is read from those few that have the name in them. */
export async function selectNaming(
  db: Kysely<DB>,
  tenantId: string,
  actionTypes: readonly string[],
  limit: number,
) {
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
    .where(
      sql<boolean>`exists (
        select from unnest(${actionTypes}::text[]) as named (type)
        where position('"' || named.type || '"' in f.definition || coalesce(v.definition, '')) > 0)`,
    )
    .orderBy('f.id')
    .limit(limit)
    .execute()
}
