import { type Kysely, sql } from 'kysely'
import type { DB } from '#db/schema.ts'

/** The tables that grow with what a tenant does, and their columns that may be large; the rest of a row counts as `ROW_BYTES`. */
const STORED = {
  events: ['body', 'event', 'source_id', 'schema_problems'],
  deliveries: [],
  delivery_attempts: ['response_headers', 'response_body', 'error_detail', 'request'],
  action_invocations: ['data', 'flow_execution_id', 'event_key', 'error_message'],
  automation_event_log: ['payload', 'result', 'flow_execution_id', 'event_key'],
  automation_executions: ['trigger', 'state', 'error', 'key'],
  automation_steps: ['input', 'output', 'error', 'note'],
  automation_messages: ['recipient', 'subject', 'body'],
} as const satisfies Partial<Record<keyof DB, readonly string[]>>

type StoredTable = keyof typeof STORED
export const STORED_TABLES = Object.keys(STORED) as StoredTable[]

/** A row's header, ids, times and numbers. */
const ROW_BYTES = 150
const PAGE_BYTES = 8_192

/** Returns the percentage of a table that is read: all of it where that is no more than so many pages. */
export async function samplePercent(db: Kysely<DB>, table: StoredTable, pages: number): Promise<number> {
  const { rows } = await sql<{ bytes: number }>`select pg_relation_size(${table}::regclass) as bytes`.execute(
    db,
  )
  const all = (rows[0]?.bytes ?? 0) / PAGE_BYTES
  return all <= pages ? 100 : (100 * pages) / all
}

/** A tenant's part of a sample of a table. */
export interface Sampled {
  tenant_id: string
  bytes: number
  /** Of the bytes in each page: how much an estimate from this sample varies. */
  sum_of_squares: number
}

/**
 * Bytes by tenant in so many percent of a table's pages, taken at random. Sizes are those on disk, which Postgres has
 * compressed: large values stand elsewhere, and their sizes are told without reading them.
 */
export async function sampleBytes(db: Kysely<DB>, table: StoredTable, percent: number): Promise<Sampled[]> {
  const sizes = STORED[table].map((column) => sql`coalesce(pg_column_size(${sql.ref(column)}), 0)`)
  const size = sql.join([sql.lit(ROW_BYTES), ...sizes], sql` + `)
  const { rows } = await sql<Sampled>`
    select tenant_id, sum(bytes)::bigint as bytes, sum(bytes::float8 * bytes) as sum_of_squares
    from (
      select tenant_id, sum(${size}) as bytes
      from ${sql.table(table)} tablesample system (${sql.lit(percent)})
      group by tenant_id, (ctid::text::point)[0]
    ) pages
    group by tenant_id`.execute(db)
  return rows
}

/** Tells whether there is a measurement that is not so old. */
export async function isMeasured(db: Kysely<DB>, maxAgeMs: number): Promise<boolean> {
  const { rows } = await sql<{ measured: boolean }>`select exists (
    select from tenant_storage where measured_at > now() - ${maxAgeMs} * interval '1 millisecond') as measured`.execute(
    db,
  )
  return rows[0]?.measured === true
}

/** The bytes of a tenant as they are estimated, and the least that there surely are. */
export interface StoredBytes {
  tenantId: string
  bytes: number
  leastBytes: number
}

/** Replaces what was measured before: of all tenants, those that store nothing any more included. */
export async function writeStoredBytes(db: Kysely<DB>, stored: readonly StoredBytes[]): Promise<void> {
  await db.transaction().execute(async (trx) => {
    await sql`delete from tenant_storage where tenant_id <> all(${stored.map(({ tenantId }) => tenantId)}::uuid[])`.execute(
      trx,
    )
    await sql`
      insert into tenant_storage (tenant_id, stored_bytes, least_bytes, measured_at)
      select tenant_id, bytes, least_bytes, now() from unnest(
        ${stored.map(({ tenantId }) => tenantId)}::uuid[], ${stored.map(({ bytes }) => bytes)}::bigint[],
        ${stored.map(({ leastBytes }) => leastBytes)}::bigint[]
      ) as s (tenant_id, bytes, least_bytes)
      on conflict (tenant_id) do update set stored_bytes = excluded.stored_bytes, least_bytes = excluded.least_bytes,
        measured_at = excluded.measured_at`.execute(trx)
  })
}
