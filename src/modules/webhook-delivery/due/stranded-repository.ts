import type pg from 'pg'

/** Set aside for so long, and nothing waits before it: whatever should have released it did not. */
const STRANDED_SECONDS = 300

/** Where a look goes on. */
export interface Cursor {
  tenantId: string
  id: string
}

/**
 * Releases deliveries that are set aside behind nothing, among the next so many that are set aside. One that is released in
 * vain is set aside again.
 *
 * @param after null: from the beginning
 * @returns the plugins of what was released, and where the next look goes on; null: from the beginning
 */
export async function releaseStranded(
  pool: pg.Pool,
  { after, limit }: { after: Cursor | null; limit: number },
): Promise<{ pluginIds: string[]; next: Cursor | null }> {
  const { rows } = await pool.query<{
    plugin_ids: string[] | null
    seen: number
    tenant_id: string | null
    id: string | null
  }>(
    `with seen as materialized (
       select tenant_id, id, plugin_id, ordering_key, ordering_place, event_id, behind_since from deliveries
       where behind_since is not null and status in ('pending', 'retry')
         and (tenant_id, id) > (coalesce($1::uuid, '00000000-0000-0000-0000-000000000000'),
           coalesce($2::uuid, '00000000-0000-0000-0000-000000000000'))
       order by tenant_id, id limit $3
     ), stranded as materialized (
       select seen.tenant_id, seen.id from seen
       left join lateral (
         select true as found from deliveries b
         where b.plugin_id = seen.plugin_id and b.tenant_id = seen.tenant_id and b.ordering_key = seen.ordering_key
           and b.status in ('pending', 'retry')
           and (b.ordering_place, b.event_id) < (seen.ordering_place, seen.event_id)
         order by b.ordering_place desc, b.event_id desc limit 1
       ) before on true
       where before.found is null and seen.behind_since < clock_timestamp() - $4::int * interval '1 second'
     ), released as (
       update deliveries d set due_at = least(d.behind_since, now()), behind_since = null
       from stranded
       where d.tenant_id = stranded.tenant_id and d.id = stranded.id and d.behind_since is not null
         and d.status in ('pending', 'retry')
       returning d.plugin_id
     )
     select (select array_agg(distinct plugin_id) from released) as plugin_ids, (select count(*)::int from seen) as seen,
       last.tenant_id, last.id
     from (select) one
     left join lateral (select tenant_id, id from seen order by tenant_id desc, id desc limit 1) last on true`,
    [after?.tenantId ?? null, after?.id ?? null, limit, STRANDED_SECONDS],
  )
  const [row] = rows
  const last =
    row === undefined || row.tenant_id === null || row.id === null
      ? null
      : { tenantId: row.tenant_id, id: row.id }
  return {
    pluginIds: row?.plugin_ids ?? [],
    next: row !== undefined && row.seen === limit ? last : null,
  }
}
