import type pg from 'pg'
import { type DueDelivery, dueOf, type Want } from './repository.ts'

/** A due delivery of a plugin that wants them in order. */
export interface OrderedDelivery extends DueDelivery {
  ordering_key: string | null
  /** Some delivery is, or was, set aside right behind it. */
  followed: boolean | null
  /** Its place among those of its key cannot be told yet: a transaction that may stand before it has not ended. */
  undecided: boolean | null
  place: string | null
  /** The delivery of its key right before it that waits, too; null: it is the first. */
  behind: string | null
  behind_place: string | null
  behind_bulk: boolean | null
}

const MORE = ', d.ordering_key, d.ordering_place, d.followed'

/**
 * As what plugins that do not care are asked for, and one probe more for each delivery: the one before it by
 * `deliveries_ordering_idx`. The horizon is of the snapshot that the rest is read by.
 */
const FETCH = `
with horizon as materialized (select feed_writer_horizon() as position)
select want.plugin_id, p.revision, due.id, due.event_id, due.event, due.attempt_count, due.round_failures, due.bulk, due.payload,
  due.ordering_key, due.followed, due.ordering_place >= horizon.position as undecided,
  due.ordering_place::text as place, before.id as behind, before.ordering_place::text as behind_place,
  before.bulk as behind_bulk
from horizon cross join unnest($1::uuid[], $2::int[], $3::int[]) want (plugin_id, live, bulk)
join plugins p on p.id = want.plugin_id
left join lateral (
  ${dueOf('not d.bulk', 'want.live', MORE)}
  union all
  ${dueOf('d.bulk', 'want.bulk', MORE)}
) due on true
left join lateral (
  select b.id, b.bulk, b.ordering_place from deliveries b
  where b.plugin_id = want.plugin_id and b.tenant_id = p.tenant_id and b.ordering_key = due.ordering_key
    and b.status in ('pending', 'retry')
    and (b.ordering_place, b.event_id) < (due.ordering_place, due.event_id)
  order by b.ordering_place desc, b.event_id desc limit 1
) before on true`

/** The same as `fetchDue`, of lanes whose plugins want their deliveries in order. */
export async function fetchOrdered(
  pool: pg.Pool,
  wants: readonly Want[],
  exceptIds: readonly string[],
  now: Date | null,
): Promise<OrderedDelivery[]> {
  const { rows } = await pool.query<OrderedDelivery>({
    name: 'fetch_ordered',
    text: FETCH,
    values: [
      wants.map((want) => want.pluginId),
      wants.map((want) => want.live),
      wants.map((want) => want.bulk),
      exceptIds,
      now,
    ],
  })
  return rows
}

/** A delivery that is due and waits for another one of its key. */
export interface Follower {
  tenantId: string
  id: string
  place: string
  /** The one right before it. */
  behind: string
  behindPlace: string
}

/**
 * Takes deliveries out of the queue until the one before each has ended, which the database sees to
 * (`release_next_deliveries`). Both rows are locked, so that the one before cannot end unseen; what somebody else has
 * locked is left where it is, and nothing is waited for. Nor is what has another place by now, as it has ended and was queued
 * again since it was read: two deliveries must not wait for one another. `is true` keeps the tests hashed ones: joins would be planned for
 * ten rows and run as nested loops over thousands.
 *
 * @returns the ids of those that were set aside
 */
export async function setAside(pool: pg.Pool, followers: readonly Follower[]): Promise<ReadonlySet<string>> {
  const { rows } = await pool.query<{ id: string; is_aside: boolean }>({
    name: 'set_aside',
    text: `with wanted as materialized (
             select * from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::bigint[])
               as w (tenant_id, id, place, behind, behind_place)
           ), locked as materialized (
             select d.tenant_id, d.id, d.ordering_place, d.behind_since from deliveries d
             where (d.tenant_id, d.id) in (select tenant_id, id from wanted union select tenant_id, behind from wanted)
               and d.status in ('pending', 'retry')
             for no key update skip locked
           ), aside as materialized (
             select * from wanted
             where ((id, place) in (select id, ordering_place from locked where behind_since is null)) is true
               and ((behind, behind_place) in (select id, ordering_place from locked)) is true
           )
           update deliveries d
           set due_at = case when (d.id in (select id from aside)) is true then 'infinity' else d.due_at end,
             behind_since = case when (d.id in (select id from aside)) is true then d.due_at else d.behind_since end,
             followed = d.followed or (d.id in (select behind from aside)) is true
           from locked
           where d.tenant_id = locked.tenant_id and d.id = locked.id
             and ((d.id in (select id from aside)) is true
               or (not d.followed and (d.id in (select behind from aside)) is true))
           returning d.id, d.due_at = 'infinity' as is_aside`,
    values: [
      followers.map((follower) => follower.tenantId),
      followers.map((follower) => follower.id),
      followers.map((follower) => follower.place),
      followers.map((follower) => follower.behind),
      followers.map((follower) => follower.behindPlace),
    ],
  })
  return new Set(rows.flatMap(({ id, is_aside: isAside }) => (isAside ? [id] : [])))
}

/** A key by which something live waits behind what a replay has asked for. */
export interface HurriedKey {
  tenantId: string
  pluginId: string
  key: string
}

/** Deliveries of a key that are made live together: as many as are released together. */
const HURRIED_MAX = 16

/** Makes the first deliveries of these keys live; what is released behind them then is, too. @returns their ids */
export async function hurryKeys(pool: pg.Pool, keys: readonly HurriedKey[]): Promise<string[]> {
  const { rows } = await pool.query<{ id: string }>({
    name: 'hurry_keys',
    text: `with first as materialized (
             select wanted.tenant_id, found.id
             from (select distinct * from unnest($1::uuid[], $2::uuid[], $3::uuid[]) as w (tenant_id, plugin_id, key)) wanted
             cross join lateral (
               select d.id, d.bulk from deliveries d
               where d.plugin_id = wanted.plugin_id and d.tenant_id = wanted.tenant_id and d.ordering_key = wanted.key
                 and d.status in ('pending', 'retry')
               order by d.ordering_place, d.event_id limit ${HURRIED_MAX}
             ) found
             where found.bulk
           ), locked as materialized (
             select d.tenant_id, d.id from deliveries d
             where (d.tenant_id, d.id) in (select tenant_id, id from first) and d.status in ('pending', 'retry')
             for no key update skip locked
           )
           update deliveries d set bulk = false from locked
           where d.tenant_id = locked.tenant_id and d.id = locked.id
           returning d.id`,
    values: [
      keys.map(({ tenantId }) => tenantId),
      keys.map(({ pluginId }) => pluginId),
      keys.map(({ key }) => key),
    ],
  })
  return rows.map(({ id }) => id)
}
