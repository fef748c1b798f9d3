import { type RawBuilder, sql } from 'kysely'

/**
 * Selects an actor's name as people know it: that of the key, or the label of the portal link. A plugin's or shop's
 * key is its tenant's, a platform key nobody's.
 *
 * @param columns where a statement has the kind and the id of the actor, and the tenant
 */
export function actorName(columns: {
  kind: string
  id: string
  tenantId: string
}): RawBuilder<string | null> {
  const [kind, id, tenantId] = [sql.ref(columns.kind), sql.ref(columns.id), sql.ref(columns.tenantId)]
  return sql<string | null>`case
    when ${kind} = 'portal' then ${id}
    when ${id} ~ '^[0-9a-f-]{36}$' then (select name from api_keys k where k.id = ${id}::uuid
      and (k.tenant_id is null or k.tenant_id = ${tenantId}))
    end`
}
