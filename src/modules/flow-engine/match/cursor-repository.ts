import { type Kysely, sql, type Transaction } from 'kysely'
import { readJson, writeJson } from '#db/json.ts'
import type { DB } from '#db/schema.ts'
import type { Suspects } from '../start/repeats.ts'

/** The place of an event in the feed. Text: positions go beyond what a JavaScript number holds. */
export interface FeedKey {
  position: string
  id: string
}

export interface FlowCursor {
  at: FeedKey
  flowsVersion: number
  isHalted: boolean
  /** The event behind the cursor whose waits have been gone through up to an execution, in an earlier turn. */
  waits: { event: FeedKey; after: string } | null
  /** There are missed starts to take up, before anything newer starts. */
  hasCatchUp: boolean
  /** Flows that start again and again for the same thing. */
  repeats: Suspects
  /** Time zone of the tenant. */
  zone: string
  /** The database's clock. */
  now: Date
}

/** A matcher waits so long for registrations, which take milliseconds, or for another matcher. */
const LOCK_TIMEOUT_MS = 1_000

/**
 * A tenant's place in the feed, held still: by the matcher for itself alone, by registrations of waits together. The
 * lock is not the row's: a matcher that waits for it comes before the registrations that arrive after it.
 *
 * @param mode `move`: nobody else has it; `hold`: it stands still
 */
export async function lockCursor(
  trx: Transaction<DB>,
  tenantId: string,
  mode: 'move' | 'hold',
): Promise<FlowCursor | undefined> {
  const key = sql`hashtextextended(${`flow_cursor ${tenantId}`}, 0)`
  await (
    mode === 'move'
      ? sql`select set_config('lock_timeout', ${String(LOCK_TIMEOUT_MS)}, true), pg_advisory_xact_lock(${key})`
      : sql`select pg_advisory_xact_lock_shared(${key})`
  ).execute(trx)
  // Another statement: only this one's snapshot is younger than the lock.
  const { rows } = await sql<{
    position: string
    event_id: string
    flows_version: number
    halted_at: Date | null
    waits_position: string | null
    waits_event_id: string | null
    waits_after: string | null
    catch_up: boolean
    repeats: string | null
    zone: string | null
    now: Date
  }>`select position::text, event_id, flows_version, halted_at, waits_position::text, waits_event_id, waits_after,
       catch_up, repeats::text as repeats, clock_timestamp() as now,
       (select calendar ->> 'time_zone' from tenants where id = tenant_id) as zone
     from flow_cursors where tenant_id = ${tenantId}`.execute(trx)
  const [row] = rows
  return (
    row && {
      at: { position: row.position, id: row.event_id },
      flowsVersion: row.flows_version,
      isHalted: row.halted_at !== null,
      waits:
        row.waits_position === null || row.waits_event_id === null || row.waits_after === null
          ? null
          : { event: { position: row.waits_position, id: row.waits_event_id }, after: row.waits_after },
      hasCatchUp: row.catch_up,
      repeats: row.repeats === null ? {} : (readJson(row.repeats) as Suspects),
      zone: row.zone ?? 'UTC',
      now: row.now,
    }
  )
}

/** @param repeats undefined: as they are */
export async function moveCursor(
  trx: Transaction<DB>,
  tenantId: string,
  to: FeedKey,
  waits: FlowCursor['waits'] = null,
  repeats?: Suspects,
): Promise<void> {
  const kept = repeats === undefined ? sql`` : sql`, repeats = ${writeJson(repeats)}::json`
  await sql`update flow_cursors set position = ${to.position}::bigint, event_id = ${to.id},
      waits_position = ${waits?.event.position ?? null}::bigint, waits_event_id = ${waits?.event.id ?? null},
      waits_after = ${waits?.after ?? null}${kept}
    where tenant_id = ${tenantId}`.execute(trx)
}

/**
 * Makes sure that the tenant has a cursor: before its first flow becomes active, and before an execution of it starts.
 * It begins just below the feed's horizon, so that what is on its way at this moment is still to come.
 */
export async function ensureCursor(db: Kysely<DB> | Transaction<DB>, tenantId: string): Promise<void> {
  await sql`
    insert into flow_cursors (tenant_id, position, event_id)
    select ${tenantId}, feed_writer_horizon() - 1, 'ffffffff-ffff-ffff-ffff-ffffffffffff'
    where not exists (select from flow_cursors where tenant_id = ${tenantId})
    on conflict do nothing`.execute(db)
}

export async function findCursor(db: Kysely<DB>, tenantId: string): Promise<FeedKey> {
  const row = await db
    .selectFrom('flow_cursors')
    .select([sql<string>`position::text`.as('position'), 'event_id as id'])
    .where('tenant_id', '=', tenantId)
    .executeTakeFirst()
  return row ?? FIRST
}

export const FIRST: FeedKey = { position: '-1', id: '00000000-0000-0000-0000-000000000000' }
