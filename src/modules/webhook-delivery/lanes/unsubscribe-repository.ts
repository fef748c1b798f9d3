import type pg from 'pg'
import type { StoredSubscription } from '#db/schema.ts'

/** Deliveries looked at in one statement, and the characters of their bodies, of which the first is always taken. */
const BATCH = 500
const BATCH_BODY_BYTES = 16 * 1024 * 1024

/** A lane whose waiting deliveries are to be looked over; every statement asks whether it is still held. */
export interface NarrowedLane {
  pluginId: string
  leaseToken: number
  /** When the subscriptions were narrowed, as Postgres writes it. */
  unsubscribedAt: string
}

export interface WaitingDelivery {
  id: string
  event: string
  bulk: boolean
  due_at: string
  /** Another of its key goes first: when that ends, it moves to another place of the queue. */
  behind: boolean
  /** Null: not asked for, or gone. */
  body: string | null
}

/** Where a look over the queue has got to, in the order of its index. */
export interface QueuePlace {
  bulk: boolean
  dueAt: string
  id: string
}

/** A condition on a delivery `d`: nobody has asked for it since the subscriptions were narrowed. */
const notAskedFor = (unsubscribedAt: string): string =>
  `(d.reason in ('manual_retry', 'replay') and coalesce(d.behind_since, d.due_at) >= ${unsubscribedAt}::timestamptz) is not true`

/** A plugin's subscriptions as they are now; null: the lane is not held any more, or the plugin is gone. */
export async function readSubscriptions(
  pool: pg.Pool,
  lane: NarrowedLane,
): Promise<StoredSubscription[] | null> {
  const { rows } = await pool.query<{ subscriptions: StoredSubscription[] }>({
    name: 'read_narrowed_subscriptions',
    text: `select p.subscriptions from delivery_lanes l join plugins p on p.id = l.plugin_id and p.tenant_id = l.tenant_id
           where l.plugin_id = $1 and l.lease_token = $2 and l.lease_until > clock_timestamp()`,
    values: [lane.pluginId, lane.leaseToken],
  })
  return rows[0]?.subscriptions ?? null
}

/**
 * The next deliveries that wait, in the order of the queue. What a person asked for after the change is
 * left out.
 */
export async function readWaiting(
  pool: pg.Pool,
  lane: NarrowedLane,
  after: QueuePlace | null,
  withBodies: boolean,
): Promise<WaitingDelivery[]> {
  const { rows } = await pool.query<WaitingDelivery>({
    name: 'read_waiting',
    text: `select id, event, bulk, due_at::text, behind, case when $6::boolean then body end as body from (
             select d.id, d.event, d.bulk, d.due_at, d.behind, e.body,
               sum(octet_length(e.body)) over (order by d.bulk, d.due_at, d.id) - octet_length(e.body) as bytes_before
             from (
               select d.tenant_id, d.id, d.event, d.bulk, d.due_at, d.behind_since is not null as behind, d.event_id
               from delivery_lanes l join deliveries d on d.plugin_id = l.plugin_id and d.tenant_id = l.tenant_id
               where l.plugin_id = $1 and l.lease_token = $2 and l.lease_until > clock_timestamp()
                 and d.status in ('pending', 'retry')
                 and (d.bulk, d.due_at, d.id) > ($7::boolean, coalesce($4::timestamptz, '-infinity'), $5::uuid)
                 and ${notAskedFor('$3')}
               order by d.bulk, d.due_at, d.id limit ${BATCH}
             ) d
             left join events e on $6::boolean and e.tenant_id = d.tenant_id and e.id = d.event_id
           ) found
           where coalesce(bytes_before < ${BATCH_BODY_BYTES}, true)
           order by found.bulk, found.due_at, id`,
    values: [
      lane.pluginId,
      lane.leaseToken,
      lane.unsubscribedAt,
      after?.dueAt ?? null,
      after?.id ?? '00000000-0000-0000-0000-000000000000',
      withBodies,
      after?.bulk ?? false,
    ],
  })
  return rows
}

/** Ends deliveries that wait as `unsubscribed`, without an attempt; not what a person has asked for meanwhile. */
export async function giveUpUnsubscribed(
  pool: pg.Pool,
  lane: NarrowedLane,
  ids: readonly string[],
): Promise<void> {
  await pool.query({
    name: 'give_up_unsubscribed',
    text: `update deliveries d set status = 'failed', reason = 'unsubscribed', due_at = null
           from delivery_lanes l
           where l.plugin_id = $1 and l.lease_token = $2 and l.lease_until > clock_timestamp()
             and d.plugin_id = l.plugin_id and d.tenant_id = l.tenant_id and d.id = any($3::uuid[])
             and d.status in ('pending', 'retry') and ${notAskedFor('$4')}`,
    values: [lane.pluginId, lane.leaseToken, ids, lane.unsubscribedAt],
  })
}

/** All that waits has been looked over, unless the subscriptions were narrowed once more. */
export async function clearUnsubscribed(pool: pg.Pool, lane: NarrowedLane): Promise<void> {
  await pool.query({
    name: 'clear_unsubscribed',
    text: `update delivery_lanes set unsubscribed_at = null
           where plugin_id = $1 and lease_token = $2 and unsubscribed_at = $3::timestamptz
             and lease_until > clock_timestamp()`,
    values: [lane.pluginId, lane.leaseToken, lane.unsubscribedAt],
  })
}
