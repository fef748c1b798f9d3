import type pg from 'pg'

/** Sessions are shared between clients: the settings, locks and channels of one are another one's. */
export class PoolerError extends Error {
  override readonly name = 'PoolerError'
}

/** The pooler gives the backend that was used last, or goes round: few rounds show either. */
const ROUNDS = 5

/**
 * Finds out whether each connection has a backend of its own, as Postgres itself and a pooler in session mode give. Two
 * connections that stay open tell: in transaction or statement mode they meet on one backend, or one of them changes its.
 * @throws {PoolerError} if not
 */
export async function assertOwnSessions(pool: pg.Pool): Promise<void> {
  const one = await pool.connect()
  try {
    const other = await pool.connect()
    try {
      const ofOne = await backendOf(one)
      const ofOther = await backendOf(other)
      let isShared = ofOne === ofOther
      for (let round = 0; round < ROUNDS && !isShared; round++) {
        isShared = (await backendOf(one)) !== ofOne || (await backendOf(other)) !== ofOther
      }
      if (isShared) {
        throw new PoolerError(
          'DATABASE_URL leads to a connection pooler in transaction or statement mode, but the service listens for notifications and holds locks of its sessions: set pool_mode = session, or connect to Postgres itself',
        )
      }
    } finally {
      other.release()
    }
  } finally {
    one.release()
  }
}

async function backendOf(client: pg.PoolClient): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
  return rows[0]?.pid ?? 0
}
