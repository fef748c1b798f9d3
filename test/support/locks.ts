import { type Kysely, sql } from 'kysely'
import type { DB } from '#db/schema.ts'
import { eventually } from './deliveries.ts'

/**
 * Resolves once so many sessions of the database wait for a lock. Other test files have databases of their own on the
 * same server, cloned from one template: pg_locks shows theirs, too, of relations with the same number.
 */
export async function lockWaits(db: Kysely<DB>, sessions = 1): Promise<void> {
  await eventually('a statement waits for a lock', async () => {
    const { rows } = await sql<{ count: number }>`select count(*)::int as count from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`.execute(db)
    return (rows[0]?.count ?? 0) >= sessions
  })
}
