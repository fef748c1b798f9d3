import { Socket } from 'node:net'
import pg from 'pg'

/**
 * Lets the server itself know who uses it: every process holds a shared advisory lock in a session of its own for as
 * long as it lives. A killed process loses its session and so its share. A process that leaves gives up its share and
 * asks for the whole lock: the one that gets it was the last, and while it holds the lock nobody can join a server
 * that is about to stop.
 */
const PRESENCE_LOCK = 5_047_193_288_112_001n
const RECONNECT_MS = 200

interface Session {
  readonly client: pg.Client
  readonly socket: Socket
}

export interface Presence {
  /** True: nobody else is here, and nobody can join until the server is stopped or `release` is called. */
  leave(): Promise<boolean>
  release(): Promise<void>
}

/** Null: nobody answers at this address, or the server is stopping. Rejects when the server refuses us. */
export async function joinServer(url: string): Promise<Presence | null> {
  let session = await openSession(url)
  if (!session) return null
  const isLeaving = () => leaving
  let leaving = false

  function rejoinWhenLost(current: Session) {
    current.client.once('end', () => {
      session = null
      if (!leaving) setTimeout(() => void rejoin(), RECONNECT_MS).unref()
    })
  }
  async function rejoin() {
    if (leaving) return
    const next = await reopen()
    if (!next) {
      setTimeout(() => void rejoin(), RECONNECT_MS).unref()
      return
    }
    if (isLeaving()) {
      await next.client.end()
      return
    }
    session = next
    rejoinWhenLost(next)
  }
  function reopen() {
    return openSession(url).catch(() => null)
  }
  rejoinWhenLost(session)

  return {
    async leave() {
      leaving = true
      // A session that broke unnoticed is worth a second one; without that either, the server is gone.
      return (await tryLeave(session)) ?? (await tryLeave((session = await reopen()))) ?? false
    },
    async release() {
      leaving = true
      await session?.client.end()
    },
  }
}

/** Null: this session does not answer. */
async function tryLeave(session: Session | null): Promise<boolean | null> {
  if (!session) return null
  session.socket.ref()
  try {
    await session.client.query('select pg_advisory_unlock_shared($1)', [PRESENCE_LOCK])
    const { rows } = await session.client.query<{ last: boolean }>(
      'select pg_try_advisory_lock($1) as last',
      [PRESENCE_LOCK],
    )
    return rows[0]?.last ?? false
  } catch {
    return null
  }
}

async function openSession(url: string): Promise<Session | null> {
  const socket = new Socket()
  const client = new pg.Client({
    stream: () => socket,
    connectionString: url,
    application_name: 'bcs-presence',
    keepAlive: true,
    connectionTimeoutMillis: 5_000,
  })
  // Losing the session is noticed by 'end'; without a listener 'error' would end the process.
  client.on('error', () => undefined)
  try {
    await client.connect()
    const { rows } = await client.query<{ joined: boolean }>(
      'select pg_try_advisory_lock_shared($1) as joined',
      [PRESENCE_LOCK],
    )
    if (rows[0]?.joined) {
      // Being present is no reason for a process to go on living.
      socket.unref()
      return { client, socket }
    }
  } catch (error) {
    if (isRefusal(error)) throw error
  }
  await client.end().catch(() => undefined)
  return null
}

/** Wrong password or no such database: SQLSTATE classes 28 and 3D. Waiting would not help. */
function isRefusal(error: unknown): boolean {
  return error instanceof pg.DatabaseError && /^(28|3D)/.test(error.code ?? '')
}
