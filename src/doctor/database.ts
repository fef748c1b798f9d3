import pg from 'pg'
import { assertPostgresVersion } from '#db/migrate.ts'
import { assertOwnSessions } from '#db/pooler.ts'
import { createKysely } from '#db/connection.ts'
import { type Check, failed, type Finding, orOk, readRow, warning } from './check.ts'

const CONNECT_TIMEOUT_MS = 5_000

interface Settings {
  encoding: string
  fsync: string
  full_page_writes: string
  synchronous_commit: string
  autovacuum: string
  track_counts: string
  standby: boolean
  read_only: string
  may_make_temporary: boolean
}

/** Version, sessions and the settings that durability and vacuum depend on. */
export const databaseCheck: Check = {
  name: 'database',
  needs: 'database',
  async run({ pool }) {
    const findings: Finding[] = []
    await assertPostgresVersion(createKysely(pool)).catch((error: unknown) =>
      findings.push(failed((error as Error).message, 'Upgrade Postgres.')),
    )
    await assertOwnSessions(pool).catch((error: unknown) =>
      findings.push(failed((error as Error).message, 'See docs/operations.md, "Configuration".')),
    )
    const settings = await readRow<Settings>(pool, SETTINGS)
    if (settings.standby || settings.read_only === 'on') {
      findings.push(
        failed(
          'The server takes no writes: it is a standby or read-only.',
          'Point DATABASE_URL at the primary, or promote this server.',
        ),
      )
    }
    if (settings.encoding !== 'UTF8') {
      findings.push(
        failed(
          `The database's encoding is ${settings.encoding}.`,
          'Make a database with encoding UTF8 and restore into it.',
        ),
      )
    }
    for (const name of ['fsync', 'full_page_writes'] as const) {
      if (settings[name] === 'off') {
        findings.push(
          failed(
            `${name} is off: a crash of the server may destroy the database.`,
            `Set ${name} = on and reload the server.`,
          ),
        )
      }
    }
    if (settings.synchronous_commit === 'off') {
      findings.push(
        failed(
          'synchronous_commit is off: events that were acknowledged may be lost in a crash.',
          'Set synchronous_commit = on; the service turns it off itself where that is safe.',
        ),
      )
    }
    for (const name of ['autovacuum', 'track_counts'] as const) {
      if (settings[name] === 'off') {
        findings.push(failed(`${name} is off: tables only grow.`, `Set ${name} = on and reload the server.`))
      }
    }
    if (!settings.may_make_temporary) {
      findings.push(
        warning(
          'The account may not make temporary tables: after a full disk the service cannot try whether writes work again.',
          'grant temporary on database <database> to <account>.',
        ),
      )
    }
    findings.push(...(await accountsWithoutTimeout(pool)))
    return orOk(findings, 'Version, sessions and settings are as they should be.')
  },
}

// Of the server and the database: the doctor's own session sets synchronous_commit nowhere.
const SETTINGS = `
select current_setting('server_encoding') as encoding, current_setting('fsync') as fsync,
  current_setting('full_page_writes') as full_page_writes,
  current_setting('synchronous_commit') as synchronous_commit,
  current_setting('autovacuum') as autovacuum, current_setting('track_counts') as track_counts,
  pg_is_in_recovery() as standby, current_setting('transaction_read_only') as read_only,
  has_database_privilege(current_database(), 'temporary') as may_make_temporary`

/**
 * People's accounts: what they forget to end stays open. That of the service sets its own. What the server and the
 * database set is read past what the doctor's session has set.
 */
async function accountsWithoutTimeout(pool: pg.Pool): Promise<Finding[]> {
  const { names } = await readRow<{ names: string | null }>(
    pool,
    `with settings as (
       select s.setdatabase, s.setrole, split_part(one, '=', 2) as value
       from pg_db_role_setting s cross join unnest(s.setconfig) one
       where one like 'idle\\_in\\_transaction\\_session\\_timeout=%'
         and s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
     ), without as (
       select r.rolname from pg_roles r
       where r.rolcanlogin and r.rolname <> current_user
         and has_database_privilege(r.oid, current_database(), 'connect')
         and not exists (select from settings where setrole in (0, r.oid) and value <> '0')
     )
     select string_agg(rolname, ', ' order by rolname) as names from without
     where (select reset_val from pg_settings where name = 'idle_in_transaction_session_timeout') = '0'`,
  )
  if (names === null) return []
  return [
    warning(
      `idle_in_transaction_session_timeout is not set for other accounts (${names}): a transaction that somebody forgets stays open.`,
      "alter role <account> set idle_in_transaction_session_timeout to '10min'.",
    ),
  ]
}

/** Checks how many of the server's connections all processes together take, and that one more gets what it needs. */
export const connectionsCheck: Check = {
  name: 'connections',
  needs: 'database',
  async run({ pool, config, databaseUrl }) {
    const { used, most } = await readRow<{ used: number; most: number }>(
      pool,
      `select (select sum(numbackends)::integer from pg_stat_database) as used,
         current_setting('max_connections')::integer
           - current_setting('superuser_reserved_connections')::integer as most`,
    )
    const needed = config.connections.api + config.connections.worker + 1
    if (used + needed > most) {
      return [
        warning(
          `The server has ${used} of ${most} connections, and one more process needs up to ${needed}.`,
          'Raise max_connections, or lower DATABASE_API_CONNECTIONS and DATABASE_WORKER_CONNECTIONS.',
        ),
      ]
    }
    const opened = await openTogether(databaseUrl, needed)
    if (opened < needed) {
      return [
        warning(
          `A process needs up to ${needed} connections, and of so many only ${opened} were answered within ${CONNECT_TIMEOUT_MS / 1_000} s.`,
          "Raise the pooler's default_pool_size to what all processes need, or the connection limit of the account or database.",
        ),
      ]
    }
    return orOk([], `The server has ${used} of ${most}; a process needs ${needed}, and gets them.`)
  },
}

/** Opens so many connections as one process would have, and gives them back. */
async function openTogether(url: string, count: number): Promise<number> {
  const clients = Array.from(
    { length: count },
    () =>
      new pg.Client({
        connectionString: url,
        application_name: 'bcs-doctor',
        connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
        query_timeout: CONNECT_TIMEOUT_MS,
      }),
  )
  try {
    const answers = await Promise.allSettled(
      clients.map(async (client) => {
        client.on('error', () => undefined)
        await client.connect()
        // A pooler takes the connection, and lets the first statement wait.
        await client.query('select 1')
      }),
    )
    return answers.filter(({ status }) => status === 'fulfilled').length
  } finally {
    for (const client of clients) void client.end().catch(() => undefined)
  }
}
