import { type Kysely, sql } from 'kysely'
import type { DB } from '#db/schema.ts'
import { ID_CLOCK_SLACK_MS, lowestIdAt } from '#lib/id-range.ts'

const DAY_MS = 86_400_000
/** Events of one type that are counted: nobody wants to wait for more. */
const MAX_COUNTED = 1_000

export interface TypeTraffic {
  name: string
  last_seen_at: Date | null
  events_24h: number
}

/** Returns the time of the last event of each type, and how many came within a day before then. */
export async function selectTraffic(
  db: Kysely<DB>,
  tenantId: string,
  names: readonly string[],
  now: number,
): Promise<TypeTraffic[]> {
  const { rows } = await sql<TypeTraffic>`
    with start as materialized (
      select position - 1 as position from events
      where tenant_id = ${tenantId} and id < ${lowestIdAt(now - DAY_MS - ID_CLOCK_SLACK_MS)}
      order by id desc limit 1
    )
    select type.name, last.received_at as last_seen_at, day.count::int as events_24h
    from unnest(${names}::text[]) as type (name)
    left join lateral (
      select received_at from events
      where tenant_id = ${tenantId} and event collate "C" between type.name and type.name
      order by event collate "C" desc, position desc, id desc limit 1
    ) last on true
    cross join lateral (
      select count(*) as count from (
        select from events
        where tenant_id = ${tenantId} and event collate "C" between type.name and type.name
          and position > coalesce((select position from start), -1) and id >= ${lowestIdAt(now - DAY_MS)}
        limit ${MAX_COUNTED}
      ) counted
    ) day`.execute(db)
  return rows
}

export interface Subscriber {
  slug: string
  subscriptions: readonly { event: string }[]
}

export async function selectSubscribers(
  db: Kysely<DB>,
  tenantId: string,
  pluginId: string | null,
): Promise<Subscriber[]> {
  return db
    .selectFrom('plugins')
    .select(['slug', 'subscriptions'])
    .where('tenant_id', '=', tenantId)
    .where('deleted_at', 'is', null)
    .$if(pluginId !== null, (query) => query.where('id', '=', pluginId))
    .orderBy('slug')
    .execute()
}

export interface Listener {
  event: string
  id: string
  name: string
}

/** The active flows that events of these types start, by what is published. */
export async function selectListeners(
  db: Kysely<DB>,
  tenantId: string,
  names: readonly string[],
): Promise<Listener[]> {
  const { rows } = await sql<Listener>`
    select distinct type.name as event, f.id, f.name
    from automation_flows f
    join automation_flow_versions v
      on v.tenant_id = f.tenant_id and v.flow_id = f.id and v.version = f.published_version
    cross join lateral json_array_elements(v.flow -> 'triggers') as trigger (value)
    cross join lateral json_array_elements_text(trigger.value -> 'event_types') as type (name)
    where f.tenant_id = ${tenantId} and f.status = 'active' and f.deleted_at is null
      and trigger.value ->> 'type' = 'event' and type.name = any(${names}::text[])
    order by f.name, f.id`.execute(db)
  return rows
}
