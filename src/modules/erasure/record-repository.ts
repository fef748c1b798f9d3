import { type RawBuilder, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { hasValue, type Wanted } from './match-repository.ts'

/** Records that hold the value themselves, whatever they belong to. */
export type RecordPhase = 'log' | 'invocations' | 'messages'

interface Subject {
  table: string
  has: (wanted: Wanted) => RawBuilder<boolean>
  emptied: RawBuilder<unknown>
}

export const EMPTY_LOG = sql`payload = null, result = null`
export const EMPTY_INVOCATION = sql`data = null, error_message = null, completion_hash = null`
export const EMPTY_MESSAGE = sql`recipient = null, subject = null, body = '', fallback_detail = null`

const SUBJECTS: Record<RecordPhase, Subject> = {
  log: {
    table: 'automation_event_log',
    has: (wanted) => sql`(${hasValue('r.payload', wanted)} or ${hasValue('r.result', wanted)})`,
    emptied: EMPTY_LOG,
  },
  invocations: {
    table: 'action_invocations',
    has: (wanted) => hasValue('r.data', wanted),
    emptied: EMPTY_INVOCATION,
  },
  messages: {
    table: 'automation_messages',
    has: ({ value }) => sql`r.recipient = ${String(value)}`,
    emptied: EMPTY_MESSAGE,
  },
}

export interface Range {
  after: string
  before: string
  limit: number
}

/** Empties those of the next records that have the value. @returns null: there are no more */
export async function eraseRecords(
  trx: Transaction<DB>,
  tenantId: string,
  phase: RecordPhase,
  wanted: Wanted,
  range: Range,
): Promise<{ cursor: string; scanned: number; erased: number } | null> {
  const { table, has, emptied } = SUBJECTS[phase]
  const { rows } = await sql<{ cursor: string | null; scanned: number; erased: number }>`
    with batch as materialized (
      select id from ${sql.table(table)}
      where tenant_id = ${tenantId} and id > ${range.after} and id < ${range.before}
      order by id limit ${range.limit}
    ), erased as (
      update ${sql.table(table)} r set ${emptied} from batch
      where r.tenant_id = ${tenantId} and r.id = batch.id and ${has(wanted)}
      returning r.id
    )
    select (select id from batch order by id desc limit 1) as cursor,
      (select count(*)::int from batch) as scanned, (select count(*)::int from erased) as erased
  `.execute(trx)
  const [row] = rows
  return row === undefined || row.cursor === null ? null : { ...row, cursor: row.cursor }
}
