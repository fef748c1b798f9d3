import { type Kysely, sql } from 'kysely'
import type { DB } from '#db/schema.ts'

/** A tenant's deliveries as they are shown. Why one waits is told by its plugin and lane as they are now. */
export function deliveryView(db: Kysely<DB>, tenantId: string) {
  return db
    .selectFrom('deliveries as d')
    .innerJoin('plugins as p', (join) =>
      join.onRef('p.id', '=', 'd.plugin_id').onRef('p.tenant_id', '=', 'd.tenant_id'),
    )
    .leftJoin('delivery_lanes as l', 'l.plugin_id', 'd.plugin_id')
    .select([
      'd.id',
      'd.event_id',
      'd.event',
      'p.slug as plugin',
      'd.status',
      'd.attempt_count',
      'd.due_at as next_attempt_at',
      'd.created_at',
      'd.sent_at',
      'd.last_response_status',
      'd.last_error_class',
      sql<string | null>`case
        when d.status not in ('pending', 'retry') then d.reason
        when p.status <> 'active' then 'plugin_' || p.status
        when l.secret_unreadable then 'secret_unreadable'
        when l.hold_until > now() then l.hold_reason
        else d.reason end`.as('reason'),
    ])
    .where('d.tenant_id', '=', tenantId)
}
