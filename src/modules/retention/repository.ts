import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { JobTable } from '#infra/job-repository.ts'
import type { Whose } from './shop-repository.ts'
import { short } from './statement-repository.ts'

/** Retention alone works above all tenants: it asks which have something to age out, then goes one by one. */

export async function readClock(db: Kysely<DB>): Promise<Date> {
  const { rows } = await sql<{ now: Date }>`select now()`.execute(db)
  const [row] = rows
  if (row === undefined) throw new Error('a query without a table gave no row')
  return row.now
}

/** The subject of ageing: events that still have a body, or all. */
export type Subject = 'bodies' | 'events'

/** Tenants whose oldest subject is below the id. Hops over the index: one probe a tenant, however many rows it has. */
export async function tenantsWithOld(db: Kysely<DB>, subject: Subject, beforeId: string): Promise<string[]> {
  const { rows } = await sql<{ tenant_id: string }>`
    with recursive oldest as (
      (select tenant_id, id from events where ${isSubject(subject)} order by tenant_id, id limit 1)
      union all
      select next.tenant_id, next.id from oldest cross join lateral (
        select tenant_id, id from events where tenant_id > oldest.tenant_id and ${isSubject(subject)}
        order by tenant_id, id limit 1
      ) next
    )
    select tenant_id from oldest where id < ${beforeId}
  `.execute(db)
  return rows.map((row) => row.tenant_id)
}

export interface OldRange {
  afterId: string
  beforeId: string
  /** The database's own time decides too: a host whose clock was wrong has minted wrong ids. */
  before: Date
  limit: number
}

/** A tenant's old events in order of age; `waiting` ones have a delivery that is still to be made. */
export async function selectOld(
  db: Kysely<DB>,
  tenantId: string,
  subject: Subject,
  { afterId, beforeId, before, limit }: OldRange,
): Promise<{ id: string; waiting: boolean }[]> {
  const { rows } = await sql<{ id: string; waiting: boolean }>`
    select e.id, ${hasWaiting('e')} as waiting from events e
    where e.tenant_id = ${tenantId} and e.id > ${afterId} and e.id < ${beforeId}
      and e.received_at < ${before} and ${isSubject(subject)}
    order by e.id limit ${limit}
  `.execute(db)
  return rows
}

/** The answers of plugins to these events, at most `limit`. @returns how many were cleared */
export async function clearResponses(
  db: Kysely<DB>,
  tenantId: string,
  eventIds: readonly string[],
  limit: number,
): Promise<number> {
  return short(
    db,
    sql`
      update delivery_attempts set response_body = null
      where ${isAttemptOf(tenantId, eventIds, sql`a.response_body is not null`, limit)}`,
  )
}

/** A delivery that was queued again meanwhile keeps the body. */
export async function expireBodies(
  db: Kysely<DB>,
  tenantId: string,
  eventIds: readonly string[],
): Promise<number> {
  return short(
    db,
    sql`
      update events e set body = null, body_gone = 'expired'
      where e.tenant_id = ${tenantId} and e.id = any(${eventIds}::uuid[]) and e.body is not null
        and not ${hasWaiting('e')}`,
  )
}

export async function deleteAttempts(
  db: Kysely<DB>,
  tenantId: string,
  eventIds: readonly string[],
  limit: number,
): Promise<number> {
  return short(
    db,
    sql`
      delete from delivery_attempts
      where ${isAttemptOf(tenantId, eventIds, sql`d.status in ('sent', 'failed')`, limit)}`,
  )
}

export async function deleteDeliveries(
  db: Kysely<DB>,
  tenantId: string,
  eventIds: readonly string[],
  limit: number,
): Promise<number> {
  // The status stands outside too: only there is it looked at again when the row has changed meanwhile.
  return short(
    db,
    sql`
      delete from deliveries
      where tenant_id = ${tenantId} and status in ('sent', 'failed') and id in (
        select id from deliveries
        where tenant_id = ${tenantId} and event_id = any(${eventIds}::uuid[]) and status in ('sent', 'failed')
        limit ${limit}
      )`,
  )
}

/**
 * Deletes events, with the records of those that were set aside. An event whose delivery was queued again meanwhile
 * stays.
 */
export async function deleteEvents(
  db: Kysely<DB>,
  tenantId: string,
  eventIds: readonly string[],
): Promise<number> {
  return short(
    db,
    sql`
      with gone as (
        select e.tenant_id, e.id from events e
        where e.tenant_id = ${tenantId} and e.id = any(${eventIds}::uuid[]) and not ${hasDelivery('e')}
      ), set_aside as (
        delete from set_aside_events s using gone where s.tenant_id = gone.tenant_id and s.event_id = gone.id
      )
      delete from events e using gone where e.tenant_id = gone.tenant_id and e.id = gone.id`,
  )
}

/** Jobs that ended before then. Their ids are in the order of their making, and none ends before it is made. */
export async function deleteJobs(
  db: Kysely<DB>,
  table: JobTable,
  whose: Whose,
  beforeId: string,
  before: Date,
  limit: number,
): Promise<number> {
  return short(
    db,
    sql`
      delete from ${sql.table(table)} where id in (
        select id from ${sql.table(table)}
        where id < ${beforeId} and finished_at < ${before} and ${whose(sql`tenant_id`)} order by id limit ${limit}
      )`,
  )
}

/** Keys that were revoked before then, once no session and no portal link refers to them. */
export async function deleteRevokedKeys(
  db: Kysely<DB>,
  whose: Whose,
  before: Date,
  limit: number,
): Promise<number> {
  return short(
    db,
    sql`
      delete from api_keys where id in (
        select id from api_keys k where revoked_at < ${before} and ${whose(sql`k.tenant_id`)}
          and not exists (select from sessions s where s.key_id = k.id)
          and not exists (select from portal_links l where l.key_id = k.id)
        limit ${limit}
      )`,
  )
}

/** Sessions that ended before then; links once no session refers to them. */
export async function deleteSessions(
  db: Kysely<DB>,
  table: 'sessions' | 'portal_links',
  whose: Whose,
  before: Date,
  limit: number,
): Promise<number> {
  const unused = sql`not exists (select from sessions s where s.portal_link_id = portal_links.id)`
  return short(
    db,
    sql`
      delete from ${sql.table(table)} where id in (
        select id from ${sql.table(table)}
        where (expires_at < ${before} or revoked_at < ${before}) and ${whose(sql`tenant_id`)}
          and ${table === 'sessions' ? sql`true` : unused}
        limit ${limit}
      )`,
  )
}

/** The actions of entries that changed nothing; their index names the same. */
const DONE = sql`action in ('actions.dispatched', 'deliveries.processed', 'automations.run_due', 'plugin.tested',
  'flow.tested', 'flow.run')`

/** Entries of the audit log about what was merely done. */
export async function deleteAuditEntries(
  db: Kysely<DB>,
  whose: Whose,
  beforeId: string,
  before: Date,
  limit: number,
): Promise<number> {
  return short(
    db,
    sql`
      delete from audit_log where id in (
        select id from audit_log where ${DONE} and id < ${beforeId} and created_at < ${before} and ${whose(sql`tenant_id`)}
        order by id limit ${limit}
      )`,
  )
}

function isAttemptOf(
  tenantId: string,
  eventIds: readonly string[],
  condition: RawBuilder<unknown>,
  limit: number,
) {
  return sql`tenant_id = ${tenantId} and (delivery_id, number) in (
    select a.delivery_id, a.number
    from deliveries d join delivery_attempts a on a.delivery_id = d.id and a.tenant_id = d.tenant_id
    where d.tenant_id = ${tenantId} and d.event_id = any(${eventIds}::uuid[]) and ${condition}
    limit ${limit}
  )`
}

function isSubject(subject: Subject) {
  return subject === 'bodies' ? sql`body is not null` : sql`true`
}

/**
 * One probe for each event. A plain `exists` may be planned as a hash of all that waits, anew for every batch: a
 * subquery with a limit cannot. And `not in ('sent', 'failed')` keeps the planner from the queue's partial index,
 * which looks cheap while its statistics say that the queue is empty.
 */
function hasDelivery(event: string, condition = sql`true`) {
  return sql<boolean>`coalesce((
    select true from deliveries d
    where d.event_id = ${sql.ref(`${event}.id`)} and d.tenant_id = ${sql.ref(`${event}.tenant_id`)} and ${condition}
    limit 1
  ), false)`
}

function hasWaiting(event: string) {
  return hasDelivery(event, sql`d.status not in ('sent', 'failed')`)
}
