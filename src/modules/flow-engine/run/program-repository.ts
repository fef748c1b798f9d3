import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'

export async function findStored(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  flowId: string,
  version: number,
) {
  return db
    .selectFrom('automation_flow_versions as v')
    .innerJoin('automation_flows as f', (join) =>
      join.onRef('f.tenant_id', '=', 'v.tenant_id').onRef('f.id', '=', 'v.flow_id'),
    )
    .select(['v.flow', 'v.definition', 'f.name', sql<number>`octet_length(v.definition)`.as('bytes')])
    .where('v.tenant_id', '=', tenantId)
    .where('v.flow_id', '=', flowId)
    .where('v.version', '=', version)
    .executeTakeFirst()
}
