import { sql, type Kysely } from 'kysely'
import { createKysely, createPool } from './connection.ts'

/** `foreign`: no migration of this service was ever applied there. */
export type Reset = 'reset' | 'in use' | 'foreign'

const TIMEOUT_MS = 60_000

/**
 * Empties a database of this service: drops the schemas `public` and `migrations`, and leaves an empty `public`. The
 * next start migrates it anew. Nothing is dropped while a process of the service is connected.
 */
export async function resetDatabase(url: string): Promise<Reset> {
  const db = createKysely<unknown>(
    createPool(url, {
      max: 1,
      applicationName: 'bcs-reset',
      statementTimeoutMs: TIMEOUT_MS,
      lockTimeoutMs: TIMEOUT_MS,
      idleInTransactionTimeoutMs: TIMEOUT_MS,
      connectionTimeoutMs: TIMEOUT_MS,
    }),
  )
  try {
    return await db.transaction().execute(async (trx) => {
      if (!(await isOurs(trx))) return 'foreign'
      if (await isInUse(trx)) return 'in use'
      await sql`drop schema public, migrations cascade`.execute(trx)
      await sql`create schema public`.execute(trx)
      await sql`grant usage on schema public to public`.execute(trx)
      return 'reset'
    })
  } finally {
    await db.destroy()
  }
}

async function isOurs(trx: Kysely<unknown>): Promise<boolean> {
  const { rows } = await sql<{ found: boolean }>`
    select to_regclass('migrations.checksums') is not null as found
  `.execute(trx)
  return rows[0]?.found === true
}

async function isInUse(trx: Kysely<unknown>): Promise<boolean> {
  const { rows } = await sql`
    select 1 from pg_stat_activity
    where datname = current_database() and application_name like 'bcs-%' and pid <> pg_backend_pid()
    limit 1
  `.execute(trx)
  return rows.length > 0
}
