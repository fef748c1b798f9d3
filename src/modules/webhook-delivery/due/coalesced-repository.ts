import type pg from 'pg'
import { type DueDelivery, dueOf, type Want } from './repository.ts'

/** A due delivery of a plugin some of whose subscriptions coalesce. */
export interface BurstDelivery extends DueDelivery {
  coalesce_key: string | null
  /** A transaction that may bring a newer one of its key has not ended. */
  undecided: boolean | null
}

const MORE = ', d.coalesce_key, d.ordering_place'
const OF_OTHER_KEYS = '(d.coalesce_key is null or d.coalesce_key <> all ($6::uuid[]))'

const FETCH = `
with horizon as materialized (select feed_writer_horizon() as position)
select want.plugin_id, p.revision, due.id, due.event_id, due.event, due.attempt_count, due.round_failures, due.bulk, due.payload,
  due.coalesce_key, due.coalesce_key is not null and due.ordering_place >= horizon.position as undecided
from horizon cross join unnest($1::uuid[], $2::int[], $3::int[]) want (plugin_id, live, bulk)
join plugins p on p.id = want.plugin_id
left join lateral (
  ${dueOf(`not d.bulk and ${OF_OTHER_KEYS}`, 'want.live', MORE)}
  union all
  ${dueOf(`d.bulk and ${OF_OTHER_KEYS}`, 'want.bulk', MORE)}
) due on true`

/**
 * The same as `fetchDue`, of lanes whose plugins coalesce.
 *
 * @param exceptKeys of what is in hand: what is newer waits until that one is recorded, and then replaces it or follows it
 */
export async function fetchCoalesced(
  pool: pg.Pool,
  wants: readonly Want[],
  except: { ids: readonly string[]; keys: readonly string[] },
  now: Date | null,
): Promise<BurstDelivery[]> {
  const { rows } = await pool.query<BurstDelivery>({
    name: 'fetch_coalesced',
    text: FETCH,
    values: [
      wants.map((want) => want.pluginId),
      wants.map((want) => want.live),
      wants.map((want) => want.bulk),
      except.ids,
      now,
      except.keys,
    ],
  })
  return rows
}

/** A key of which something is due, in a lane that is held. */
export interface DueKey {
  pluginId: string
  leaseToken: number
  key: string
}

/** The newest delivery of a key that waits. */
export interface Newest {
  plugin_id: string
  key: string
  id: string
  event_id: string
  event: string
  attempt_count: number
  round_failures: number
  bulk: boolean
  payload: string | null
  /** It can be sent now. False: it has failed, and its next attempt is later. */
  sendable: boolean
  /** All older ones have ended. False: some are being written by somebody else, or there are more than one statement ends. */
  complete: boolean
  /** How many older ones ended now, by their event's type; null: none. */
  superseded: Record<string, number> | null
}

/** Deliveries that end in one statement, of all its keys together: it is short, and the other lanes wait for it. */
const SUPERSEDED_MAX = 1_000
/** Deliveries that are looked at, shared out over the keys, of each so many in any case: what some do not need others may use. */
const LOOKED_AT_MAX = 4 * SUPERSEDED_MAX
const LOOKED_AT_OF_KEY_MIN = 16

/**
 * Ends all that waits of these keys but the newest, whatever else became of it, and makes that one due. The fence of outcomes
 * holds here, too: a worker that lost the lane ends nothing. What somebody has locked is left where it is, and nothing is
 * waited for. The newest is only looked for below the horizon of the feed's writers: what a transaction that is still open
 * brings below another one's place comes before that one is sent. One statement ends 1,000 in all: every key's first before any
 * key's second, so that no key waits for one of which there are many.
 *
 * @returns the newest of each key, of which nothing is left out of `keys` but what does not wait any more
 */
export async function supersede(pool: pg.Pool, keys: readonly DueKey[], now: Date | null): Promise<Newest[]> {
  const { rows } = await pool.query<Newest>({
    name: 'supersede',
    text: `with horizon as materialized (select feed_writer_horizon() as position),
           newest as materialized (
             select wanted.plugin_id, lane.tenant_id, wanted.key, found.*
             from horizon cross join unnest($1::uuid[], $2::bigint[], $3::uuid[]) as wanted (plugin_id, lease_token, key)
             join delivery_lanes lane on lane.plugin_id = wanted.plugin_id and lane.lease_token = wanted.lease_token
               and lane.lease_until > clock_timestamp()
             cross join lateral (
               select d.id, d.event_id, d.event, d.status, d.due_at, d.attempt_count, d.round_failures, d.bulk, d.payload,
                 d.ordering_place
               from deliveries d
               where d.plugin_id = wanted.plugin_id and d.tenant_id = lane.tenant_id and d.coalesce_key = wanted.key
                 and d.status in ('pending', 'retry') and d.ordering_place < horizon.position
               order by d.ordering_place desc, d.event_id desc limit 1
             ) found
           ), older as materialized (
             select newest.tenant_id, newest.id as newest_id, before.*
             from newest cross join lateral (
               select d.id, d.ordering_place, row_number() over (order by d.ordering_place, d.event_id) as number
               from deliveries d
               where d.plugin_id = newest.plugin_id and d.tenant_id = newest.tenant_id and d.coalesce_key = newest.key
                 and d.status in ('pending', 'retry')
                 and (d.ordering_place, d.event_id) < (newest.ordering_place, newest.event_id)
               order by d.ordering_place, d.event_id limit $5
             ) before
           ), chosen as materialized (
             select * from older order by number, ordering_place limit ${SUPERSEDED_MAX}
           ), locked as materialized (
             select chosen.* from chosen join deliveries d on d.tenant_id = chosen.tenant_id and d.id = chosen.id
             where d.status in ('pending', 'retry')
             for no key update of d skip locked
           ), ended as (
             update deliveries d
             set status = 'failed', reason = 'superseded', due_at = null, superseded_by = locked.newest_id
             from locked where d.tenant_id = locked.tenant_id and d.id = locked.id
             returning locked.newest_id, d.event
           ), hastened as (
             update deliveries d set due_at = coalesce($4::timestamptz, clock_timestamp())
             from newest
             where d.tenant_id = newest.tenant_id and d.id = newest.id and d.status = 'pending'
               and d.due_at > coalesce($4::timestamptz, clock_timestamp())
           )
           select newest.plugin_id, newest.key, newest.id, newest.event_id, newest.event, newest.attempt_count,
             newest.round_failures, newest.bulk, newest.payload,
             newest.status = 'pending' or newest.due_at <= coalesce($4::timestamptz, clock_timestamp()) as sendable,
             coalesce(found.count < $5 and found.count = coalesce(gone.count, 0), true) as complete, gone.events as superseded
           from newest
           left join (select newest_id, count(*) as count from older group by newest_id) found on found.newest_id = newest.id
           left join (
             select newest_id, sum(count) as count, json_object_agg(event, count) as events
             from (select newest_id, event, count(*)::int as count from ended group by newest_id, event) by_event
             group by newest_id
           ) gone on gone.newest_id = newest.id`,
    values: [
      keys.map(({ pluginId }) => pluginId),
      keys.map(({ leaseToken }) => leaseToken),
      keys.map(({ key }) => key),
      now,
      lookedAtOfKey(keys.length),
    ],
  })
  return rows
}

function lookedAtOfKey(keys: number): number {
  const share = Math.ceil(LOOKED_AT_MAX / Math.max(1, keys))
  return Math.min(SUPERSEDED_MAX, Math.max(LOOKED_AT_OF_KEY_MIN, share))
}
