import type pg from 'pg'

export interface DueDelivery {
  plugin_id: string
  revision: number
  /** The rest is null where the plugin has nothing due. */
  id: string | null
  event_id: string | null
  event: string | null
  attempt_count: number
  round_failures: number
  bulk: boolean | null
  payload: string | null
}

/** Live and bulk are read apart, each by its part of the queue's index: a replay of a million is not in the way of what happens now. */
const FETCH = `
select want.plugin_id, p.revision, due.id, due.event_id, due.event, due.attempt_count, due.round_failures, due.bulk, due.payload
from unnest($1::uuid[], $2::int[], $3::int[]) want (plugin_id, live, bulk)
join plugins p on p.id = want.plugin_id
left join lateral (
  ${dueOf('not d.bulk', 'want.live')}
  union all
  ${dueOf('d.bulk', 'want.bulk')}
) due on true`

/** Tells deliveries that are set aside apart by `infinity`, which the index is asked for: a time that is read from the clock is not. */
export function dueOf(condition: string, limit: string, more = ''): string {
  return `(select d.id, d.event_id, d.event, d.attempt_count, d.round_failures, d.bulk, d.payload${more} from deliveries d
    where d.plugin_id = want.plugin_id and d.tenant_id = p.tenant_id and d.status in ('pending', 'retry') and ${condition}
      and d.due_at < 'infinity' and d.due_at <= coalesce($5::timestamptz, clock_timestamp()) and d.id <> all ($4::uuid[])
    order by d.due_at, d.id limit ${limit})`
}

/** How many deliveries of each kind are wanted for a lane. */
export interface Want {
  pluginId: string
  live: number
  bulk: number
}

/**
 * Reads what is due in lanes that the caller holds, live before bulk and oldest first; at least one row for each lane (with null ids where
 * nothing is due), so that a changed plugin is noticed. Takes nothing: the lane's lease is what makes it ours.
 */
export async function fetchDue(
  pool: pg.Pool,
  wants: readonly Want[],
  exceptIds: readonly string[],
  now: Date | null,
): Promise<DueDelivery[]> {
  const { rows } = await pool.query<DueDelivery>({
    name: 'fetch_due',
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

export interface EventBody {
  id: string
  /** Null: it has aged out or was erased, or `over_budget`. */
  body: string | null
  /** Automations and deliveries between the event and a person or system. */
  causation_depth: number
  /** The slug of the plugin that published it, or `platform`. */
  publisher: string
  over_budget: boolean
}

/**
 * The bodies of these events, in the order asked for, up to `maxBytes` in all but at least one: a batch of the
 * largest bodies must not be the worker's memory. (octet_length reads a stored body's size without unpacking it.)
 */
export async function fetchBodies(
  pool: pg.Pool,
  events: readonly { tenantId: string; eventId: string }[],
  maxBytes: number,
): Promise<EventBody[]> {
  const { rows } = await pool.query<EventBody>({
    name: 'fetch_bodies',
    text: `select id, case when not over_budget then body end as body, causation_depth,
             coalesce((select slug from plugins p where p.id = publisher_plugin_id and p.tenant_id = found.tenant_id), 'platform') as publisher,
             over_budget from (
             select e.tenant_id, e.id, e.body, e.causation_depth, e.publisher_plugin_id, place > 1 and sum(octet_length(e.body)) over (order by place) > $3 as over_budget
             from unnest($1::uuid[], $2::uuid[]) with ordinality want (tenant_id, id, place)
             join events e on e.tenant_id = want.tenant_id and e.id = want.id
           ) found`,
    values: [events.map((event) => event.tenantId), events.map((event) => event.eventId), maxBytes],
  })
  return rows
}
