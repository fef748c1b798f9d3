import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { DB } from '#db/schema.ts'
import { short } from './statement-repository.ts'

/** Records of automations. Their ids are in the order of their making, within a tenant. */
export interface RecordKind {
  table: 'automation_event_log' | 'action_invocations' | 'automation_executions'
  /** Tests whether a row's time has come; `before` is the end of its days. */
  isDue(before: Date): RawBuilder<boolean>
  /** The value to which a row's body is emptied, and the test whether it has one. */
  emptied: RawBuilder<unknown>
  hasBody: RawBuilder<boolean>
  /** Rows that go with it, by its own id: before it, so that a run that stops in between leaves nothing in the air. */
  children: readonly ChildKind[]
}

interface ChildKind {
  table: 'automation_steps' | 'automation_messages'
  key: RawBuilder<unknown>
  emptied: RawBuilder<unknown>
  hasBody: RawBuilder<boolean>
}

const STEPS: ChildKind = {
  table: 'automation_steps',
  key: sql`execution_id, number`,
  emptied: sql`input = null, output = null`,
  hasBody: sql`(input is not null or output is not null)`,
}
const MESSAGES: ChildKind = {
  table: 'automation_messages',
  key: sql`tenant_id, id`,
  emptied: sql`recipient = null, subject = null, body = '', fallback_detail = null`,
  hasBody: sql`body <> ''`,
}

export const LOG_ENTRIES: RecordKind = {
  table: 'automation_event_log',
  isDue: (before) => sql`created_at < ${before}`,
  emptied: sql`payload = null, result = null`,
  hasBody: sql`(payload is not null or result is not null)`,
  children: [],
}
/** One that a process left behind when it died is due as well; one that a plugin is still to complete is not. */
export const INVOCATIONS: RecordKind = {
  table: 'action_invocations',
  isDue: (before) => sql`status <> 'accepted' and coalesce(finished_at, lease_until, created_at) < ${before}`,
  emptied: sql`data = null, completion_hash = null`,
  hasBody: sql`data is not null`,
  children: [],
}
/** An execution that runs or waits needs what it has, however old it is: its days count from its end. */
export const EXECUTIONS: RecordKind = {
  table: 'automation_executions',
  isDue: (before) => sql`coalesce(finished_at < ${before}, false)`,
  emptied: sql`trigger = '{"data":null,"event":null}', state = '{}', body_gone = 'expired'`,
  hasBody: sql`body_gone is null`,
  children: [STEPS, MESSAGES],
}

/** Tenants whose oldest record is below the id: one probe of the primary key each. */
export async function tenantsWithRecords(
  db: Kysely<DB>,
  { table }: RecordKind,
  beforeId: string,
): Promise<string[]> {
  const { rows } = await sql<{ tenant_id: string }>`
    with recursive oldest as (
      (select tenant_id, id from ${sql.table(table)} order by tenant_id, id limit 1)
      union all
      select next.tenant_id, next.id from oldest cross join lateral (
        select tenant_id, id from ${sql.table(table)} where tenant_id > oldest.tenant_id
        order by tenant_id, id limit 1
      ) next
    )
    select tenant_id from oldest where id < ${beforeId}
  `.execute(db)
  return rows.map((row) => row.tenant_id)
}

/** A tenant's next records by age, and which of them are due: to be emptied if they have a body, or to be deleted. */
export async function selectRecords(
  db: Kysely<DB>,
  tenantId: string,
  kind: RecordKind,
  range: { work: 'empty' | 'delete'; afterId: string; beforeId: string; before: Date; limit: number },
): Promise<{ id: string; due: boolean }[]> {
  const hasWork = range.work === 'empty' ? kind.hasBody : sql`true`
  const { rows } = await sql<{ id: string; due: boolean }>`
    select id, ${kind.isDue(range.before)} and ${hasWork} as due from ${sql.table(kind.table)}
    where tenant_id = ${tenantId} and id > ${range.afterId} and id < ${range.beforeId}
    order by id limit ${range.limit}
  `.execute(db)
  return rows
}

/** At most `limit` of the children. @returns how many were changed or deleted */
export async function ageChildren(
  db: Kysely<DB>,
  tenantId: string,
  child: ChildKind,
  work: 'empty' | 'delete',
  ids: readonly string[],
  limit: number,
): Promise<number> {
  const table = sql.table(child.table)
  const chosen = sql`
    select ${child.key} from ${table}
    where tenant_id = ${tenantId} and execution_id = any(${ids}::uuid[])
      and ${work === 'empty' ? child.hasBody : sql`true`}
    limit ${limit}`
  const where = sql`where tenant_id = ${tenantId} and (${child.key}) in (${chosen})`
  return short(
    db,
    work === 'empty'
      ? sql`update ${table} set ${child.emptied} ${where}`
      : sql`delete from ${table} ${where}`,
  )
}

/** Empties or deletes the records themselves, once their children are done; it asks again whether they are due. */
export async function ageRecords(
  db: Kysely<DB>,
  tenantId: string,
  kind: RecordKind,
  work: 'empty' | 'delete',
  ids: readonly string[],
  before: Date,
): Promise<number> {
  const table = sql.table(kind.table)
  const where = sql`where tenant_id = ${tenantId} and id = any(${ids}::uuid[]) and ${kind.isDue(before)}`
  return short(
    db,
    work === 'empty' ? sql`update ${table} set ${kind.emptied} ${where}` : sql`delete from ${table} ${where}`,
  )
}
