import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { ALERTS } from '#modules/event/index.ts'

/** A delivery that is due for so long although nothing holds its plugin back is late: as `GET /api/overview` has it. */
export const BEHIND_SECONDS = 300
/** A queue has caught up when nothing has been due for longer than this. */
const CAUGHT_UP_SECONDS = 60
/** Plugins of one tenant that one look finds, the latest first; the others are found by the next ones. */
export const EACH_MAX = 20
/** All that one look finds. */
export const FOUND_MAX = 500
/** News of plugins' health that wait do not make a queue late: behind so many of them nothing else is looked for. */
export const SKIPPED_MAX = 20
/** Waiting deliveries are counted up to here. */
export const WAITING_MAX = 1_000

export interface LateQueue {
  tenantId: string
  pluginId: string
  slug: string
  since: Date
  waitingSeconds: number
  waiting: number
  held: boolean
  limited: boolean
  event: string
  deliveryId: string
  eventId: string
  causationDepth: number
}

export interface Look {
  tenantId: string | null
  /** Null: the database's. */
  now: Date | null
}

/**
 * Finds queues that are behind and of which that was not told, hopping over the queue's index as lanes are found. A plugin
 * that is paused, held back or failing is no such one; what has waited since it was is late when it has been free for as long.
 * A hold without a reason is the pause of a rate limit, which holds nobody back but as the plugin itself has asked for.
 */
export async function findLateQueues(db: Kysely<DB>, { tenantId, now }: Look): Promise<LateQueue[]> {
  const clock = sql`coalesce(${now}::timestamptz, clock_timestamp())`
  const border = sql`${clock} - ${BEHIND_SECONDS}::int * interval '1 second'`
  const { rows } = await sql<LateQueue>`
    with recursive waiting as (
      (select plugin_id, bulk, due_at from deliveries
       where status in ('pending', 'retry') order by plugin_id, bulk, due_at limit 1)
      union all
      select next.plugin_id, next.bulk, next.due_at from waiting cross join lateral (
        select plugin_id, bulk, due_at from deliveries
        where status in ('pending', 'retry') and (plugin_id, bulk) > (waiting.plugin_id, waiting.bulk)
        order by plugin_id, bulk, due_at limit 1
      ) next
    ), free as (
      select l.tenant_id, l.plugin_id, p.slug, p.rate_limit_per_second is not null as limited,
        coalesce(l.lease_until > clock_timestamp(), false)
          or coalesce(l.hold_reason is null and l.hold_until > clock_timestamp() - interval '1 minute', false) as held,
        greatest(case when l.hold_reason is not null then l.hold_until end, p.status_changed_at) as free_since
      from waiting join delivery_lanes l on l.plugin_id = waiting.plugin_id
      join plugins p on p.id = l.plugin_id and p.tenant_id = l.tenant_id
      where not waiting.bulk and waiting.due_at <= ${border} and (${tenantId}::uuid is null or l.tenant_id = ${tenantId})
        and p.status = 'active' and p.deleted_at is null and l.behind_since is null and l.failing_since is null
        and not l.secret_unreadable and l.skip_before is null
        and greatest(case when l.hold_reason is not null then l.hold_until end, p.status_changed_at)
          <= ${border}
    ), late as (
      select free.*, oldest.id, oldest.event, oldest.event_id, greatest(oldest.due_at, free.free_since) as since,
        row_number() over (partition by free.tenant_id order by oldest.due_at) as rank
      from free cross join lateral (
        select id, event, event_id, due_at from (
          select id, event, event_id, due_at from deliveries
          where plugin_id = free.plugin_id and tenant_id = free.tenant_id and not bulk
            and status in ('pending', 'retry') and due_at <= ${border}
          order by due_at limit ${SKIPPED_MAX}
        ) due
        where event <> all(${[...ALERTS]}::text[]) order by due_at limit 1
      ) oldest
    )
    select tenant_id as "tenantId", plugin_id as "pluginId", slug, since, held, limited, event, id as "deliveryId",
      event_id as "eventId", coalesce((
        select e.causation_depth from events e where e.tenant_id = late.tenant_id and e.id = late.event_id
      ), 0) as "causationDepth",
      extract(epoch from ${clock} - since)::int as "waitingSeconds",
      (select count(*)::int from (
        select from deliveries d where d.plugin_id = late.plugin_id and d.tenant_id = late.tenant_id and not d.bulk
          and d.status in ('pending', 'retry') and d.due_at <= ${clock} limit ${WAITING_MAX}
      ) counted) as waiting
    from late where rank <= ${EACH_MAX} order by since limit ${FOUND_MAX}`.execute(db)
  return rows
}

export interface PromptQueue {
  tenantId: string
  pluginId: string
  slug: string
}

/** Finds queues of which it was told that they are behind, and that are not any more. */
export async function findPromptQueues(db: Kysely<DB>, { tenantId, now }: Look): Promise<PromptQueue[]> {
  const { rows } = await sql<PromptQueue>`
    select l.tenant_id as "tenantId", l.plugin_id as "pluginId", p.slug
    from delivery_lanes l join plugins p on p.id = l.plugin_id and p.tenant_id = l.tenant_id
    where l.behind_since is not null and p.deleted_at is null
      and (${tenantId}::uuid is null or l.tenant_id = ${tenantId})
      and not exists (
        select from deliveries d
        where d.plugin_id = l.plugin_id and d.tenant_id = l.tenant_id and not d.bulk and d.status in ('pending', 'retry')
          and d.due_at <= coalesce(${now}::timestamptz, clock_timestamp()) - ${CAUGHT_UP_SECONDS}::int * interval '1 second'
      )
      and not exists (
        select from deliveries d
        where d.plugin_id = l.plugin_id and d.tenant_id = l.tenant_id and not d.bulk and d.status in ('pending', 'retry')
          and d.behind_since <= coalesce(${now}::timestamptz, clock_timestamp()) - ${BEHIND_SECONDS}::int * interval '1 second'
      )
    order by l.plugin_id limit ${FOUND_MAX}`.execute(db)
  return rows
}

/** Notes that it is told since when the queue is behind. @returns false if somebody has told it */
export async function setBehind(
  trx: Transaction<DB>,
  { tenantId, pluginId }: Pick<LateQueue, 'tenantId' | 'pluginId'>,
  since: Date,
): Promise<boolean> {
  const changed = await trx
    .updateTable('delivery_lanes')
    .set({ behind_since: since })
    .where('tenant_id', '=', tenantId)
    .where('plugin_id', '=', pluginId)
    .where('behind_since', 'is', null)
    .executeTakeFirst()
  return changed.numUpdatedRows > 0n
}

/** Notes that the queue has caught up. @returns since when it was behind; null: somebody has noted that */
export async function setPrompt(
  trx: Transaction<DB>,
  { tenantId, pluginId }: PromptQueue,
): Promise<Date | null> {
  const { rows } = await sql<{ since: Date }>`
    with told as (
      select plugin_id, behind_since from delivery_lanes
      where tenant_id = ${tenantId} and plugin_id = ${pluginId} and behind_since is not null for update
    )
    update delivery_lanes l set behind_since = null from told
    where l.tenant_id = ${tenantId} and l.plugin_id = told.plugin_id
    returning told.behind_since as since`.execute(trx)
  return rows[0]?.since ?? null
}
