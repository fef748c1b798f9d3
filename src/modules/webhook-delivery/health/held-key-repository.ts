import { type Kysely, sql } from 'kysely'
import type { DB } from '#db/schema.ts'
import { ALERTS } from '#modules/event/index.ts'
import { FAILING_THRESHOLD } from './health.ts'
import {
  BEHIND_SECONDS,
  EACH_MAX,
  FOUND_MAX,
  type LateQueue,
  type Look,
  SKIPPED_MAX,
  WAITING_MAX,
} from './queue-repository.ts'

/** `event` and `deliveryId` are those of the delivery that goes first. */
export type HeldKey = Omit<LateQueue, 'held' | 'limited'>

/**
 * Finds queues in which a key is held too long and of which that was not told, hopping over the index of what is set
 * aside. What goes first of the key that has waited longest is the cause. Plugins that are paused or held back are left
 * out, and so are those of which `plugin.failing` tells: one that fails now and then holds its key all the same.
 */
export async function findHeldKeys(db: Kysely<DB>, { tenantId, now }: Look): Promise<HeldKey[]> {
  const clock = sql`coalesce(${now}::timestamptz, clock_timestamp())`
  const border = sql`${clock} - ${BEHIND_SECONDS}::int * interval '1 second'`
  const { rows } = await sql<HeldKey>`
    with recursive waiting as (
      (select plugin_id from deliveries
       where behind_since is not null and status in ('pending', 'retry') order by plugin_id limit 1)
      union all
      select next.plugin_id from waiting cross join lateral (
        select plugin_id from deliveries
        where behind_since is not null and status in ('pending', 'retry') and plugin_id > waiting.plugin_id
        order by plugin_id limit 1
      ) next
    ), free as (
      select l.tenant_id, l.plugin_id, p.slug,
        greatest(case when l.hold_reason is not null then l.hold_until end, p.status_changed_at) as free_since
      from waiting join delivery_lanes l on l.plugin_id = waiting.plugin_id
      join plugins p on p.id = l.plugin_id and p.tenant_id = l.tenant_id
      where (${tenantId}::uuid is null or l.tenant_id = ${tenantId})
        and p.status = 'active' and p.deleted_at is null and l.behind_since is null
        and l.consecutive_failures < ${FAILING_THRESHOLD} and not l.secret_unreadable and l.skip_before is null
    ), held as (
      select free.*, first.id, first.event, first.event_id,
        greatest(oldest.behind_since, free.free_since) as since,
        row_number() over (partition by free.tenant_id order by oldest.behind_since) as rank
      from free cross join lateral (
        select ordering_key, behind_since from (
          select ordering_key, behind_since, event, bulk from deliveries
          where plugin_id = free.plugin_id and tenant_id = free.tenant_id and status in ('pending', 'retry')
            and behind_since <= ${border}
          order by behind_since limit ${SKIPPED_MAX}
        ) set_aside
        where not bulk and event <> all(${[...ALERTS]}::text[]) order by behind_since limit 1
      ) oldest cross join lateral (
        select id, event, event_id, behind_since from deliveries
        where plugin_id = free.plugin_id and tenant_id = free.tenant_id and status in ('pending', 'retry')
          and ordering_key = oldest.ordering_key
        order by ordering_place, event_id limit 1
      ) first
      where first.behind_since is null and coalesce(free.free_since <= ${border}, true)
    )
    select tenant_id as "tenantId", plugin_id as "pluginId", slug, since, event, id as "deliveryId",
      event_id as "eventId", coalesce((
        select e.causation_depth from events e where e.tenant_id = held.tenant_id and e.id = held.event_id
      ), 0) as "causationDepth",
      extract(epoch from ${clock} - since)::int as "waitingSeconds",
      (select count(*)::int from (
        select from deliveries d where d.plugin_id = held.plugin_id and d.tenant_id = held.tenant_id
          and d.status in ('pending', 'retry') and d.behind_since is not null limit ${WAITING_MAX}
      ) counted) as waiting
    from held where rank <= ${EACH_MAX} order by since limit ${FOUND_MAX}`.execute(db)
  return rows
}
