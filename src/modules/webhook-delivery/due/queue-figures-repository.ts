import type pg from 'pg'

/** The queue as all processes share it. */
export interface QueueState {
  /** Deliveries that are pending or in retry, counted up to DEPTH_LIMIT. */
  depth: number
  /** 0 when nothing is due. Paused and disabled plugins and open breakers do not count: those wait on purpose. */
  oldestDueSeconds: number
  /** The same, of what no worker holds: grows when workers are missing or stuck, not when a plugin is slow. */
  unattendedSeconds: number
  /** For how long the delivery that has waited longest behind another of its key has been waiting; 0: there is none. */
  keyHeldSeconds: number
  breakers: { closed: number; open: number; half_open: number }
}

/** Counting on would read the whole backlog just when the database is busiest. */
const DEPTH_LIMIT = 100_000
/** Two index probes for each: 20,000 take some 100 ms. */
const LANE_LIMIT = 20_000

const QUERY = `
with lanes as materialized (
  select lane.plugin_id, lane.breaker_state, lane.hold_until, plugin.ordering,
    plugin.status = 'active' and coalesce(lane.hold_until <= now(), true) as open,
    coalesce(lane.lease_until > now(), false) as held
  from delivery_lanes lane join plugins plugin on plugin.id = lane.plugin_id and plugin.tenant_id = lane.tenant_id
  where plugin.deleted_at is null
  limit ${LANE_LIMIT}
), due as (
  select lanes.held, extract(epoch from now() - greatest(first.due_at, lanes.hold_until)) as seconds
  from lanes cross join (values (false), (true)) as kind (bulk) cross join lateral (
    select due_at from deliveries
    where plugin_id = lanes.plugin_id and bulk = kind.bulk and status in ('pending', 'retry') and due_at <= now()
    order by due_at limit 1
  ) first
  where lanes.open
)
select
  (select count(*)::int from (
    select from deliveries where status in ('pending', 'retry') limit ${DEPTH_LIMIT}
  ) waiting) as depth,
  (select coalesce(max(seconds), 0)::float8 from due) as oldest,
  (select coalesce(max(seconds) filter (where not held), 0)::float8 from due) as unattended,
  (select coalesce(max(extract(epoch from now() - held.behind_since)), 0)::float8
   from lanes cross join lateral (
     select behind_since from deliveries
     where plugin_id = lanes.plugin_id and status in ('pending', 'retry') and behind_since is not null
     order by behind_since limit 1
   ) held
   where lanes.open and lanes.ordering = 'key') as key_held,
  (select count(*)::int from lanes where breaker_state = 'closed') as closed,
  (select count(*)::int from lanes where breaker_state = 'open') as open,
  (select count(*)::int from lanes where breaker_state = 'half_open') as half_open`

interface Row {
  depth: number
  oldest: number
  unattended: number
  key_held: number
  closed: number
  open: number
  half_open: number
}

/** One bounded look at the queue. */
export async function queueState(pool: pg.Pool): Promise<QueueState> {
  const {
    rows: [row],
  } = await pool.query<Row>(QUERY)
  if (row === undefined) throw new Error('the queue query gave no row')
  const { depth, oldest, unattended, key_held: keyHeld, closed, open, half_open } = row
  return {
    depth,
    oldestDueSeconds: oldest,
    unattendedSeconds: unattended,
    keyHeldSeconds: keyHeld,
    breakers: { closed, open, half_open },
  }
}

/** A plugin's queue, of the service's. */
export interface OldestQueue {
  tenant_id: string
  slug: string
  name: string
  oldest_due_seconds: number
  waiting: number
  /** A worker is at it: the plugin takes its deliveries slower than they come. */
  is_held: boolean
}

const OLDEST_SHOWN = 10
/** Deliveries that wait for one of them are counted up to here. */
const WAITING_COUNTED = 1_000

/** The plugins of which something has been due for longest: as many looks into the queue's index as there are plugins. */
export async function oldestQueues(pool: pg.Pool): Promise<OldestQueue[]> {
  const { rows } = await pool.query<OldestQueue>(`
    with lanes as materialized (
      select lane.tenant_id, lane.plugin_id, lane.hold_until, coalesce(lane.lease_until > now(), false) as is_held,
        plugin.slug, plugin.name
      from delivery_lanes lane join plugins plugin on plugin.id = lane.plugin_id and plugin.tenant_id = lane.tenant_id
      where plugin.deleted_at is null and plugin.status = 'active' and coalesce(lane.hold_until <= now(), true)
      limit ${LANE_LIMIT}
    ), oldest as (
      select lanes.*, extract(epoch from now() - greatest(first.due_at, lanes.hold_until))::float8 as oldest_due_seconds
      from lanes cross join lateral (
        select due_at from deliveries d
        where d.plugin_id = lanes.plugin_id and not d.bulk and d.status in ('pending', 'retry') and d.due_at <= now()
        order by d.due_at limit 1
      ) first
      order by oldest_due_seconds desc limit ${OLDEST_SHOWN}
    )
    select tenant_id, slug, name, oldest_due_seconds, is_held, (
      select count(*)::int from (
        select from deliveries d
        where d.plugin_id = oldest.plugin_id and d.status in ('pending', 'retry') limit ${WAITING_COUNTED}
      ) counted
    ) as waiting
    from oldest order by oldest_due_seconds desc`)
  return rows
}
