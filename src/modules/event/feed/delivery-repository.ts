import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'

export async function selectDeliveries(
  db: Kysely<DB>,
  tenantId: string,
  eventId: string,
  { pluginId, after, limit }: { pluginId: string | null; after: string | null; limit: number },
) {
  let query = deliveryView(db, tenantId).where('d.event_id', '=', eventId).orderBy('d.id').limit(limit)
  if (after !== null) query = query.where('d.id', '>', after)
  if (pluginId !== null) query = query.where('d.plugin_id', '=', pluginId)
  return query.execute()
}

export async function selectSlugs(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  pluginIds: readonly string[],
): Promise<{ id: string; slug: string }[]> {
  if (pluginIds.length === 0) return []
  return db
    .selectFrom('plugins')
    .select(['id', 'slug'])
    .where('tenant_id', '=', tenantId)
    .where('id', 'in', pluginIds)
    .where('deleted_at', 'is', null)
    .orderBy('slug')
    .execute()
}

/** Deliveries counted that are due before one, to tell when it can be its turn. */
const MAX_AHEAD = 1_000

/** Of a rate below one a second: how long it takes until the first of those that wait may go. */
const UNTIL_TOKEN = sql`case when p.rate_limit_per_second < 1 then greatest(0,
  1 - coalesce(l.rate_tokens + extract(epoch from now() - l.rate_at) * p.rate_limit_per_second, 1)
) / p.rate_limit_per_second else 0 end * interval '1 second'`

/** A delivery `d` waits for newer ones of its key. */
export function isCoalescing() {
  return sql<boolean>`(d.coalesce_key is not null and d.status = 'pending' and d.due_at > now())`
}

/** The end of the window of a delivery that waits for newer ones: that of the first of its key that waits. */
const WINDOW_OVER_AT = sql<Date | null>`least(d.due_at, (
  select first.due_at from deliveries first
  where first.plugin_id = d.plugin_id and first.tenant_id = d.tenant_id and first.coalesce_key = d.coalesce_key
    and first.status in ('pending', 'retry')
  order by first.ordering_place, first.event_id limit 1))`

/**
 * When the next attempt can be made at the earliest: null while nobody knows, because its plugin is paused or
 * disabled or its secret cannot be opened, or because another of its key goes first; not before a hold is over, nor before a rate limit lets those through that go first: what
 * is due earlier, and before what a replay has asked for all that is live.
 */
const NEXT_ATTEMPT_AT = sql<Date | null>`case
  when d.due_at is null or d.behind_since is not null or p.status <> 'active' or l.secret_unreadable then null
  when l.hold_until > greatest(d.due_at, now()) and (l.hold_reason is not null or p.rate_limit_per_second is null) then l.hold_until
  when p.rate_limit_per_second is not null and d.due_at <= now() then greatest(d.due_at, now() + (
    select count(*) from (
      (select from deliveries ahead
       where ahead.plugin_id = d.plugin_id and ahead.tenant_id = d.tenant_id
         and ahead.status in ('pending', 'retry') and not ahead.bulk
         and (ahead.due_at, ahead.id) < (case when d.bulk then now() else d.due_at end, d.id)
       limit ${sql.lit(MAX_AHEAD)})
      union all
      (select from deliveries ahead
       where d.bulk and ahead.plugin_id = d.plugin_id and ahead.tenant_id = d.tenant_id
         and ahead.status in ('pending', 'retry') and ahead.bulk
         and (ahead.due_at, ahead.id) < (d.due_at, d.id)
       limit ${sql.lit(MAX_AHEAD)})
      limit ${sql.lit(MAX_AHEAD)}
    ) as counted) * interval '1 second' / p.rate_limit_per_second + ${UNTIL_TOKEN})
  when ${isCoalescing()} then ${WINDOW_OVER_AT}
  else d.due_at end`

/** The delivery that one which is set aside waits for: the first of its key that waits. */
const BEHIND = sql<
  string | null
>`case when d.behind_since is not null and d.status in ('pending', 'retry') then (
  select first.id from deliveries first
  where first.plugin_id = d.plugin_id and first.tenant_id = d.tenant_id and first.ordering_key = d.ordering_key
    and first.status in ('pending', 'retry')
  order by first.ordering_place, first.event_id limit 1) end`

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
      'd.resend',
      NEXT_ATTEMPT_AT.as('next_attempt_at'),
      BEHIND.as('behind'),
      sql<string | null>`case when d.reason = 'superseded' then d.superseded_by end`.as('superseded_by'),
      'd.created_at',
      'd.sent_at',
      'd.last_response_status',
      'd.last_error_class',
      sql<string | null>`case
        when d.status not in ('pending', 'retry') then d.reason
        when p.status <> 'active' then 'plugin_' || p.status
        when l.secret_unreadable then 'secret_unreadable'
        when l.hold_until > now() and l.hold_reason is not null then l.hold_reason
        when d.behind_since is not null then 'behind'
        when ${isCoalescing()} then 'coalescing'
        else d.reason end`.as('reason'),
    ])
    .where('d.tenant_id', '=', tenantId)
}
