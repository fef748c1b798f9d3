import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { writeJson } from '#db/json.ts'
import type { ClaimedExecution } from '../run/execution-repository.ts'
import type { StoredFilter, Untested } from './filter.ts'
import type { MatchHashes } from './hash.ts'
import { ID_CLOCK_SLACK_MS, lowestIdAt } from '#lib/id-range.ts'
import type { FeedKey } from '../match/cursor-repository.ts'

/** One alternative of a wait, its templates filled in. */
export interface WaitKey {
  alternative: number
  event: string
  paths: string
  hash: Buffer
  /** Of the values spelled alike; null: they are spelled so already. */
  nearHash: Buffer | null
  filter: StoredFilter | null
}

export interface NewWait {
  tenantId: string
  executionId: string
  stepId: string
  iteration: string
  purpose: 'resume' | 'cancel'
  keys: readonly WaitKey[]
  /** Events that were passed over, by alternative. */
  passedOver?: ReadonlyMap<number, PassedOver>
}

export async function insertWaits(trx: Transaction<DB>, wait: NewWait): Promise<void> {
  if (wait.keys.length === 0) return
  const shapes = new Map(wait.keys.map((key) => [`${key.event} ${key.paths}`, key]))
  await trx
    .insertInto('automation_wait_shapes')
    .values([...shapes.values()].map(({ event, paths }) => ({ tenant_id: wait.tenantId, event, paths })))
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  await trx
    .insertInto('automation_waits')
    .values(
      wait.keys.map((key) => ({
        tenant_id: wait.tenantId,
        execution_id: wait.executionId,
        alternative: key.alternative,
        step_id: wait.stepId,
        iteration: wait.iteration,
        event: key.event,
        paths: key.paths,
        match_hash: key.hash,
        near_hash: key.nearHash,
        filter: key.filter === null ? null : writeJson(key.filter),
        purpose: wait.purpose,
        ...(wait.passedOver?.has(key.alternative) === true && {
          passed_over: JSON.stringify(wait.passedOver.get(key.alternative)),
        }),
      })),
    )
    // A registration that a dying process left behind keeps what it may have received.
    .onConflict((conflict) =>
      conflict.columns(['execution_id', 'purpose', 'iteration', 'alternative']).doNothing(),
    )
    .execute()
}

/** Waits of an execution that an event has come for. */
export async function loadReceived(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  executionIds: readonly string[],
): Promise<{ executionId: string; iteration: string; alternative: number; eventId: string }[]> {
  const rows = await db
    .selectFrom('automation_waits')
    .select(['execution_id', 'iteration', 'alternative', 'received_event_id'])
    .where('tenant_id', '=', tenantId)
    .where('execution_id', 'in', executionIds)
    .where('purpose', '=', 'resume')
    .where('received_event_id', 'is not', null)
    .execute()
  return rows.map(({ execution_id, iteration, alternative, received_event_id }) => ({
    executionId: execution_id,
    iteration,
    alternative,
    eventId: received_event_id as string,
  }))
}

/** Locks a held execution; false: it is somebody else's by now, or has ended. */
export async function lockHeld(
  trx: Transaction<DB>,
  { tenant_id, id, lease_token }: ClaimedExecution,
): Promise<boolean> {
  const row = await trx
    .selectFrom('automation_executions')
    .select('id')
    .where('tenant_id', '=', tenant_id)
    .where('id', '=', id)
    .where('lease_token', '=', lease_token)
    .where('status', '=', 'running')
    .forUpdate()
    .executeTakeFirst()
  return row !== undefined
}

export interface WaitingRow {
  execution_id: string
  purpose: 'resume' | 'cancel'
  iteration: string
  alternative: number
  filter: StoredFilter | null
  /** The path list of its match. */
  paths: string
  /** The event has its values in another spelling: it is not met. */
  is_near: boolean
}

/**
 * A page of those who wait for an event with one of the hashes, by execution, and of those who wait for it in another spelling:
 * each hash is an ordered range of an index, so that a page costs the same however many wait.
 *
 * @param search.before only executions with ids below this one; null: all
 * @param after a wait of the page before, or an execution all of whose waits were gone through
 */
export async function selectWaiting(
  trx: Transaction<DB>,
  {
    tenantId,
    event,
    hashes,
    before,
  }: { tenantId: string; event: string; hashes: readonly MatchHashes[]; before: string | null },
  after: WaitingRow | string | null,
  limit: number,
): Promise<WaitingRow[]> {
  const behind =
    after === null
      ? sql``
      : typeof after === 'string'
        ? sql`and execution_id > ${after}`
        : sql`and execution_id >= ${after.execution_id} and (execution_id, purpose, iteration, alternative)
            > (${after.execution_id}, ${after.purpose}, ${after.iteration}, ${after.alternative})`
  const below = before === null ? sql`` : sql`and execution_id < ${before}`
  const order = sql`order by execution_id, purpose, iteration, alternative limit ${limit}`
  const exact = hashes.map((hash) => hash.exact)
  const waiting = (of: readonly Buffer[], condition: RawBuilder<unknown>, isNear: boolean) => sql`
    select w.* from unnest(${of}::bytea[]) as h (hash) cross join lateral (
      select execution_id, purpose, iteration, alternative, filter, paths, ${sql.lit(isNear)} as is_near
      from automation_waits
      where tenant_id = ${tenantId} and event = ${event} and received_event_id is null and ${condition}
        ${behind} ${below} ${order}
    ) w`
  const spelled = hashes.flatMap(({ near }) => (near === null ? [] : [near]))
  const { rows } = await sql<WaitingRow>`
    ${waiting(exact, sql`match_hash = h.hash`, false)}
    union all
    ${waiting(spelled, sql`match_hash = h.hash`, true)}
    union all
    ${waiting(
      hashes.map((hash) => hash.near ?? hash.exact),
      sql`near_hash = h.hash and match_hash <> all (${exact}::bytea[])`,
      true,
    )}
    ${order}`.execute(trx)
  return rows
}

/**
 * Notes at waits that they have passed an event over, but for those that somebody else has locked: a boundary that ends them locks
 * its executions first, and is not to be met halfway. What a wait says already it is not told again: each
 * event of a type may meet many waits.
 */
export async function passOver(
  trx: Transaction<DB>,
  tenantId: string,
  eventId: string,
  waits: readonly { wait: WaitingRow; untested: Untested }[],
): Promise<void> {
  const each = waits.map(({ wait, untested }) => ({ ...wait, told: { event_id: eventId, ...untested } }))
  await sql`
    with p as (
      select * from unnest(${each.map((wait) => wait.execution_id)}::uuid[], ${each.map((wait) => wait.purpose)}::text[],
      ${each.map((wait) => wait.iteration)}::text[], ${each.map((wait) => wait.alternative)}::int[],
      ${each.map(({ told }) => JSON.stringify(told))}::json[])
      as given (execution_id, purpose, iteration, alternative, told)
    ), free as materialized (
      select w.execution_id, w.purpose, w.iteration, w.alternative, p.told from automation_waits w
      join p using (execution_id, purpose, iteration, alternative)
      where w.tenant_id = ${tenantId} and (w.passed_over ->> 'message') is distinct from (p.told ->> 'message')
      for no key update of w skip locked
    )
    update automation_waits w set passed_over = free.told
    from free
    where w.tenant_id = ${tenantId} and w.execution_id = free.execution_id and w.purpose = free.purpose
      and w.iteration = free.iteration and w.alternative = free.alternative`.execute(trx)
}

/** An event that a wait has passed over. */
export interface PassedOver extends Untested {
  event_id: string
}

/** A wait that an event meets. */
export interface MetWait {
  executionId: string
  iteration: string
  alternative: number
}

/**
 * Hands an event to waits, once for each iteration of an execution. What waits is due at once; what is running looks
 * again before it pauses. Executions are locked before their waits, in the order of their ids, as boundaries do.
 */
export async function markReceived(
  trx: Transaction<DB>,
  tenantId: string,
  eventId: string,
  waits: readonly MetWait[],
  now: Date,
): Promise<void> {
  await sql`
    with met as (
      select * from unnest(
        ${waits.map((wait) => wait.executionId)}::uuid[], ${waits.map((wait) => wait.iteration)}::text[],
        ${waits.map((wait) => wait.alternative)}::int[]
      ) as m (execution_id, iteration, alternative)
    ), locked as materialized (
      select e.id from automation_executions e
      where e.tenant_id = ${tenantId} and e.id in (select execution_id from met)
        and e.status in ('queued', 'running', 'waiting')
      order by e.id for update
    ), marked as (
      update automation_waits w set received_event_id = ${eventId}
      from met join locked on locked.id = met.execution_id
      where w.tenant_id = ${tenantId} and w.execution_id = met.execution_id and w.purpose = 'resume'
        and w.iteration = met.iteration and w.alternative = met.alternative
        and not exists (
          select from automation_waits o where o.execution_id = met.execution_id and o.purpose = 'resume'
            and o.iteration = met.iteration and o.received_event_id is not null)
      returning w.execution_id
    )
    update automation_executions e
    set received = e.received + n.count,
        due_at = case when e.status = 'waiting' then ${now} else e.due_at end
    from (select execution_id, count(*)::int as count from marked group by 1) n
    where e.tenant_id = ${tenantId} and e.id = n.execution_id`.execute(trx)
}

/** Returns the ids of events of these types between two places of the feed that still have a body, the latest first. */
export async function selectLatestEvents(
  db: Kysely<DB> | Transaction<DB>,
  search: { tenantId: string; events: readonly string[]; sinceMs: number; after: FeedKey; until: FeedKey },
  limit: number,
): Promise<string[]> {
  const { tenantId, events, sinceMs, after, until } = search
  const rows = await db
    .selectFrom('events')
    .select('id')
    .where('tenant_id', '=', tenantId)
    .where('id', '>=', lowestIdAt(sinceMs - ID_CLOCK_SLACK_MS))
    .where('received_at', '>=', new Date(sinceMs))
    .where('event', 'in', events)
    .where(sql<boolean>`(position, id) > (${after.position}::bigint, ${after.id}::uuid)`)
    .where(sql<boolean>`(position, id) <= (${until.position}::bigint, ${until.id}::uuid)`)
    .where('body', 'is not', null)
    .orderBy('id', 'desc')
    .limit(limit)
    .execute()
  return rows.map(({ id }) => id)
}
