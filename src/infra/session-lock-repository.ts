import { type Kysely, sql } from 'kysely'
import type { DB } from '#db/schema.ts'

/** Work that one process at a time does, by the key of its lock in the database. */
const LOCKS = {
  retention: 5_047_193_288_112_010n,
  statistics: 5_047_193_288_112_011n,
  storage: 5_047_193_288_112_020n,
}

export type SessionLock = keyof typeof LOCKS

/**
 * The server asks a silent holder whether it is still there after 30 s, and gives up on it another 30 s later. By default
 * it asks after two hours: for so long the lock of a host that lost its power or its network would keep everybody away.
 */
const KEEP_ALIVE = { tcp_keepalives_idle: 30, tcp_keepalives_interval: 10, tcp_keepalives_count: 3 }

/**
 * Does work that no other process does meanwhile. The lock belongs to the database session and so ends with the
 * connection that the work is done on, whatever becomes of the process.
 *
 * @param work is given that connection
 * @returns null if another process is at it
 */
export async function withSessionLock<T>(
  db: Kysely<DB>,
  lock: SessionLock,
  work: (db: Kysely<DB>) => Promise<T>,
): Promise<T | null> {
  return db.connection().execute(async (session) => {
    if (!(await tryLock(session, lock))) return null
    try {
      await keepAlive(session)
      return await work(session)
    } finally {
      // A connection that broke has lost the lock already.
      await unlock(session, lock).catch(() => undefined)
    }
  })
}

async function tryLock(db: Kysely<DB>, lock: SessionLock): Promise<boolean> {
  const { rows } = await sql<{ locked: boolean }>`
    select pg_try_advisory_lock(${LOCKS[lock]}) as locked`.execute(db)
  return rows[0]?.locked === true
}

async function unlock(db: Kysely<DB>, lock: SessionLock): Promise<void> {
  await sql`select pg_advisory_unlock(${LOCKS[lock]})`.execute(db)
}

/** Stays with the connection, which the pool gives to others later: it does them no harm. */
async function keepAlive(db: Kysely<DB>): Promise<void> {
  const settings = Object.entries(KEEP_ALIVE).map(
    ([name, value]) => sql`set_config(${name}, ${String(value)}, false)`,
  )
  await sql`select ${sql.join(settings)}`.execute(db)
}
