import { assertPostgresVersion } from '#db/migrate.ts'
import { assertOwnSessions } from '#db/pooler.ts'
import { createKysely } from '#db/connection.ts'
import { type Check, failed, type Finding, orOk, readRow, warning } from './check.ts'

interface Settings {
  encoding: string
  fsync: string
  full_page_writes: string
  synchronous_commit: string
  autovacuum: string
  track_counts: string
  standby: boolean
  read_only: string
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
    return orOk(findings, 'Version, sessions and settings are as they should be.')
  },
}

// Of the server and the database: the doctor's own session sets synchronous_commit nowhere.
const SETTINGS = `
select current_setting('server_encoding') as encoding, current_setting('fsync') as fsync,
  current_setting('full_page_writes') as full_page_writes,
  current_setting('synchronous_commit') as synchronous_commit,
  current_setting('autovacuum') as autovacuum, current_setting('track_counts') as track_counts,
  pg_is_in_recovery() as standby, current_setting('transaction_read_only') as read_only`

/** Checks how many of the server's connections all processes together take. */
export const connectionsCheck: Check = {
  name: 'connections',
  needs: 'database',
  async run({ pool, config }) {
    const { used, most } = await readRow<{ used: number; most: number }>(
      pool,
      `select (select sum(numbackends)::integer from pg_stat_database) as used,
         current_setting('max_connections')::integer
           - current_setting('superuser_reserved_connections')::integer as most`,
    )
    const needed = config.connections.api + config.connections.worker + 1
    if (used + needed <= most)
      return orOk([], `The server has ${used} of ${most}; a process needs ${needed}.`)
    return [
      warning(
        `The server has ${used} of ${most} connections, and one more process needs up to ${needed}.`,
        'Raise max_connections, or lower DATABASE_API_CONNECTIONS and DATABASE_WORKER_CONNECTIONS.',
      ),
    ]
  },
}
