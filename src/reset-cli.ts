/**
 * `npm run reset`: starts over with an empty database. It removes the embedded database in DATA_DIR, or, told so by
 * --database-url, empties the database at DATABASE_URL. It stops no service and refuses while one runs on that
 * database. Exit code 0: it is gone, or there was none; 1: refused or failed; 2: the command line or the configuration
 * is not usable, or nobody said yes.
 */
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { parseArgs } from 'node:util'
import { removeEmbeddedPostgres } from '#tools/embedded-postgres/remove.ts'
import { resetDatabase } from '#db/reset.ts'
import { type Config, ConfigError, loadConfig } from '#config/config.ts'

const USAGE = `Usage: npm run reset -- [--yes] [--database-url]

Removes the embedded database in DATA_DIR for good. Stop the service first.
  --yes           do not ask; needed where nobody can be asked
  --database-url  empty the database at DATABASE_URL instead: its schemas public and migrations, with all in them`

const EXIT_USAGE = 2

class UsageError extends Error {}
class Refused extends Error {}

interface Plan {
  /** Names what is lost, for the question. */
  readonly loses: string
  /** Does it, and returns what to say. @throws {Refused} */
  run(): Promise<string>
}

function planOf(config: Config, wantsDatabaseUrl: boolean): Plan {
  const { databaseUrl, dataDir } = config
  if (databaseUrl === null) {
    if (wantsDatabaseUrl) throw new UsageError('--database-url: DATABASE_URL is not set.')
    return embeddedPlan(dataDir)
  }
  if (wantsDatabaseUrl) return databasePlan(databaseUrl)
  throw new Refused(
    `DATABASE_URL is set, so the service keeps its data in ${nameOf(databaseUrl)} and not in ${dataDir}. ` +
      'That database is not touched unless you say --database-url; for the embedded one leave DATABASE_URL empty.',
  )
}

function embeddedPlan(dataDir: string): Plan {
  const directory = join(resolve(dataDir), 'postgres')
  return {
    loses: `all data in ${directory}`,
    run: async () => {
      const removal = await removeEmbeddedPostgres(dataDir)
      if (removal === 'in use') {
        throw new Refused(`${directory} is in use: stop the service that runs on it. Nothing was removed.`)
      }
      if (removal === 'foreign') {
        throw new Refused(`${directory} is not an embedded database of this service. Nothing was removed.`)
      }
      if (removal === 'absent') return `There is no embedded database in ${directory}: nothing to remove.`
      return `Removed ${directory}. The next start makes a new database; the master key beside it stays.`
    },
  }
}

function databasePlan(url: string): Plan {
  const name = nameOf(url)
  return {
    loses: `the schemas public and migrations, with all in them, of ${name}`,
    run: async () => {
      const reset = await resetDatabase(url)
      if (reset === 'in use') {
        throw new Refused(`${name} is in use: stop the service that runs on it. Nothing was removed.`)
      }
      if (reset === 'foreign') {
        throw new Refused(`${name} has no tables of this service. Nothing was removed.`)
      }
      return `Emptied ${name}. The next start, or npm run db:migrate, makes its tables anew.`
    },
  }
}

/** Names a database without its credentials. */
function nameOf(url: string): string {
  const { host, pathname } = URL.parse(url) ?? { host: '', pathname: '' }
  return `the database ${pathname.slice(1)} at ${host}`
}

/** Asks whoever sits at the terminal. @throws {UsageError} if nobody does @throws {Refused} if he says no */
async function confirm(loses: string): Promise<void> {
  if (!process.stdin.isTTY) {
    throw new UsageError(`This removes ${loses}, for good. Nothing was removed; to do it, say --yes.`)
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await terminal.question(`This removes ${loses}, for good. Go on? [y/N] `)
    if (!/^y(es)?$/i.test(answer.trim())) throw new Refused('Nothing was removed.')
  } finally {
    terminal.close()
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      yes: { type: 'boolean' },
      'database-url': { type: 'boolean' },
      help: { type: 'boolean' },
    },
  })
  if (values.help === true) {
    console.log(USAGE)
    return
  }
  const plan = planOf(loadConfig(), values['database-url'] === true)
  if (values.yes !== true) await confirm(plan.loses)
  console.log(await plan.run())
}

function explain(error: unknown): { text: string; exitCode: number } {
  const { message, code } = error as Error & { code?: unknown }
  if (error instanceof UsageError || String(code).startsWith('ERR_PARSE_ARGS')) {
    return { text: `${message}\n\n${USAGE}`, exitCode: EXIT_USAGE }
  }
  return { text: message, exitCode: error instanceof ConfigError ? EXIT_USAGE : 1 }
}

try {
  await main()
} catch (error) {
  const { text, exitCode } = explain(error)
  console.error(text)
  process.exitCode = exitCode
}
