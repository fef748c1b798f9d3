import pg from 'pg'

/** A session as its server tells it from all others: numbers of processes are given out again. */
export interface Session {
  pid: number
  /** As text, with all its digits. */
  startedAt: string
}

/** A connection on which a statement waits for its answer. */
export interface SilentConnection {
  readonly session: Session
  /** Changes as soon as anything of the answer arrives, or the connection is about something else. */
  progress(): string
  giveUp(): void
}

/** The server's word on a session. `apart`: it waits for its client, which waits for it. */
type Verdict = 'working' | 'apart' | 'gone'

/** From one look to the next while the server is at the statements. */
const LOOK_MS = 2_000
/** An answer may be on its way: whoever is apart in two looks, so far from one another, has lost it. */
const CERTAIN_MS = 500
const ANSWER_MS = 1_500

interface Watched {
  progress: string
  isSuspected: boolean
}

/**
 * Asks the server, over a connection of its own, about statements that have not been answered for a while. A session that
 * is idle, or waits for the rest of a statement, has not heard of it, or its answer was swallowed on the way: it is
 * terminated, so that its locks are free, and the connection is given up. A statement that is being worked on is
 * left alone, however long it takes.
 *
 * While nothing is silent there is no connection and no statement. A server that cannot be asked decides nothing: then
 * the deadline of the connection counts.
 */
export class SilenceWatch {
  readonly #url: string
  readonly #onLost: (session: Session) => void
  readonly #watched = new Map<SilentConnection, Watched>()
  #timer: NodeJS.Timeout | null = null
  #client: pg.Client | null = null

  constructor(url: string, onLost: (session: Session) => void = () => undefined) {
    this.#url = url
    this.#onLost = onLost
  }

  /** Watches a connection until something arrives on it. */
  add(connection: SilentConnection): void {
    this.#watched.set(connection, { progress: connection.progress(), isSuspected: false })
    // It keeps no process alive: its connection's deadline does that.
    this.#timer ??= setTimeout(() => void this.#look(), 0).unref()
  }

  async #look(): Promise<void> {
    this.#forgetAnswered()
    if (this.#watched.size > 0) await this.#decide().catch(() => this.#disconnect())
    this.#forgetAnswered()
    if (this.#watched.size === 0) {
      this.#timer = null
      this.#disconnect()
      return
    }
    const isAnySuspected = [...this.#watched.values()].some(({ isSuspected }) => isSuspected)
    this.#timer = setTimeout(() => void this.#look(), isAnySuspected ? CERTAIN_MS : LOOK_MS).unref()
  }

  #forgetAnswered(): void {
    for (const [connection, { progress }] of this.#watched) {
      if (connection.progress() !== progress) this.#watched.delete(connection)
    }
  }

  async #decide(): Promise<void> {
    const client = await this.#connected()
    const asked = [...this.#watched.keys()]
    const verdicts = await readVerdicts(
      client,
      asked.map(({ session }) => session),
    )
    this.#forgetAnswered()
    for (const [index, connection] of asked.entries()) {
      const watched = this.#watched.get(connection)
      const verdict = verdicts[index]
      if (watched === undefined) continue
      const isLost = verdict === 'gone' || (verdict === 'apart' && watched.isSuspected)
      watched.isSuspected = verdict === 'apart'
      if (!isLost) continue
      this.#watched.delete(connection)
      this.#onLost(connection.session)
      try {
        if (verdict === 'apart') await terminate(client, connection.session)
      } finally {
        connection.giveUp()
      }
    }
  }

  async #connected(): Promise<pg.Client> {
    if (this.#client !== null) return this.#client
    const client = new pg.Client({
      connectionString: this.#url,
      application_name: 'bcs-watch',
      connectionTimeoutMillis: ANSWER_MS,
      query_timeout: ANSWER_MS,
    })
    client.on('error', () => {
      if (this.#client === client) this.#disconnect()
    })
    this.#client = client
    await client.connect()
    return client
  }

  #disconnect(): void {
    const client = this.#client
    this.#client = null
    if (client === null) return
    client.end().catch(() => undefined)
    // It may be as dead as those it was to ask about.
    setTimeout(() => client.connection.stream.destroy(), ANSWER_MS).unref()
  }
}

/** Whatever time zone and style a session writes its times in. */
const STARTED_AT = 'extract(epoch from backend_start)::text'

/** `ClientRead` in the middle of a statement: the server has a part of it. `ClientWrite`: nobody takes its answer. */
const VERDICTS = `
select case
  when a.pid is null then 'gone'
  when a.state like 'idle%' or a.wait_event in ('ClientRead', 'ClientWrite') then 'apart'
  else 'working'
end as verdict
from unnest($1::int[], $2::text[]) with ordinality as s (pid, started_at, n)
left join pg_stat_activity a on a.pid = s.pid and ${STARTED_AT} = s.started_at
order by s.n`

async function readVerdicts(client: pg.Client, sessions: readonly Session[]): Promise<Verdict[]> {
  const { rows } = await client.query<{ verdict: Verdict }>(VERDICTS, [
    sessions.map(({ pid }) => pid),
    sessions.map(({ startedAt }) => startedAt),
  ])
  return rows.map(({ verdict }) => verdict)
}

async function terminate(client: pg.Client, { pid, startedAt }: Session): Promise<void> {
  await client.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where pid = $1 and ${STARTED_AT} = $2`,
    [pid, startedAt],
  )
}

/** Reads which session a connection has. */
export async function readSession(client: pg.ClientBase, timeoutMs: number): Promise<Session | null> {
  const query = {
    text: `select pid, ${STARTED_AT} as "startedAt" from pg_stat_get_activity(pg_backend_pid())`,
    query_timeout: timeoutMs,
  }
  const { rows } = await client.query<Session>(query)
  return rows[0] ?? null
}
