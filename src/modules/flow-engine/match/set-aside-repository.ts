import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'

/** An event that no flow has seen. */
export interface SetAsideEvent {
  id: string
  event: string
  received_at: Date
  reason: string
  times: number
  set_aside_at: Date
  is_taken_up: boolean
}

/** Keeps an event that cannot be matched out of the others' way, with the reason. */
export async function setAside(
  trx: Transaction<DB>,
  tenantId: string,
  eventId: string,
  reason: string,
): Promise<void> {
  await sql`
    insert into set_aside_events (tenant_id, event_id, reason) values (${tenantId}, ${eventId}, ${reason})
    on conflict on constraint set_aside_events_pkey do update set reason = excluded.reason,
      times = set_aside_events.times + 1, set_aside_at = now(), wanted_at = null, waits_after = null`.execute(
    trx,
  )
}

/** The one that was asked for first; the caller holds the tenant's cursor. */
export async function nextWanted(
  trx: Transaction<DB>,
  tenantId: string,
): Promise<{ eventId: string; waitsAfter: string | null } | null> {
  const row = await trx
    .selectFrom('set_aside_events')
    .select(['event_id', 'waits_after'])
    .where('tenant_id', '=', tenantId)
    .where('wanted_at', 'is not', null)
    .orderBy('wanted_at')
    .orderBy('event_id')
    .limit(1)
    .executeTakeFirst()
  return row === undefined ? null : { eventId: row.event_id, waitsAfter: row.waits_after }
}

/** @param waitsAfter null: it is matched, and forgotten here */
export async function noteTakenUp(
  trx: Transaction<DB>,
  tenantId: string,
  eventId: string,
  waitsAfter: string | null,
): Promise<void> {
  if (waitsAfter === null) {
    await trx
      .deleteFrom('set_aside_events')
      .where('tenant_id', '=', tenantId)
      .where('event_id', '=', eventId)
      .execute()
    return
  }
  await trx
    .updateTable('set_aside_events')
    .set({ waits_after: waitsAfter })
    .where('tenant_id', '=', tenantId)
    .where('event_id', '=', eventId)
    .execute()
}

/**
 * Has the matcher take an event up again, before anything newer. The caller holds the tenant's cursor.
 * @returns false if it is not set aside
 */
export async function wantAgain(trx: Transaction<DB>, tenantId: string, eventId: string): Promise<boolean> {
  const { rows } = await sql`
    with wanted as (
      update set_aside_events set wanted_at = coalesce(wanted_at, now())
      where tenant_id = ${tenantId} and event_id = ${eventId} returning event_id
    ), told as (
      update flow_cursors set catch_up = true where tenant_id = ${tenantId} and exists (select from wanted)
    )
    select from wanted`.execute(trx)
  return rows.length > 0
}

/** Newest first; `before` is the last one of the page before. */
export async function selectSetAside(
  db: Kysely<DB>,
  tenantId: string,
  page: { before: string | null; limit: number },
): Promise<SetAsideEvent[]> {
  return selectOne(db, tenantId)
    .$if(page.before !== null, (query) => query.where('s.event_id', '<', page.before))
    .orderBy('s.event_id', 'desc')
    .limit(page.limit)
    .execute()
}

export async function findSetAside(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  eventId: string,
): Promise<SetAsideEvent | undefined> {
  return selectOne(db, tenantId).where('s.event_id', '=', eventId).executeTakeFirst()
}

function selectOne(db: Kysely<DB> | Transaction<DB>, tenantId: string) {
  return db
    .selectFrom('set_aside_events as s')
    .innerJoin('events as e', (join) =>
      join.onRef('e.tenant_id', '=', 's.tenant_id').onRef('e.id', '=', 's.event_id'),
    )
    .select((eb) => [
      's.event_id as id',
      'e.event',
      'e.received_at',
      's.reason',
      's.times',
      's.set_aside_at',
      eb('s.wanted_at', 'is not', null).$castTo<boolean>().as('is_taken_up'),
    ])
    .where('s.tenant_id', '=', tenantId)
}
