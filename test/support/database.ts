import { createHash, randomBytes } from 'node:crypto'
import type { Kysely } from 'kysely'
import pg from 'pg'
import type { Test } from 'tap'
import { createKysely, createPool } from '#db/connection.ts'
import { isAlive } from '#tools/embedded-postgres/alive.ts'
import { migrate } from '#db/migrate.ts'
import { MIGRATIONS_DIRECTORY, readMigrations } from '#db/migrations.ts'
import type { DB } from '#db/schema.ts'
import { testServer } from './postgres-server.ts'

export interface TestDatabase {
  readonly url: string
  readonly pool: pg.Pool
  readonly db: Kysely<DB>
}

const TEMPLATE_PREFIX = 'bcs_template_'
const DATABASE_PREFIX = 'bcs_test_'
/** One process at a time builds the template. */
const TEMPLATE_LOCK = 5_047_193_288_112_003n

/** A test's own connections to a database, beside those of the service. They go with the test unless it ends them before. */
export function openDatabase(t: Test, url: string, connections = 2): Kysely<DB> {
  const pool = openPool(url, connections)
  t.teardown(async () => {
    if (!pool.ending) await pool.end()
  })
  return createKysely<DB>(pool)
}

function openPool(url: string, connections: number): pg.Pool {
  return createPool(url, {
    max: connections,
    applicationName: 'bcs-test',
    statementTimeoutMs: 30_000,
    lockTimeoutMs: 10_000,
    idleInTransactionTimeoutMs: 30_000,
    connectionTimeoutMs: 10_000,
  })
}

/**
 * A migrated database of the test's own: a clone of a template that is built once for each state of the migration
 * files. It goes away with the test; its users must be closed by a later `t.teardown`, which runs earlier.
 *
 * @param directory migrations to build the template from
 */
export async function createTestDatabase(t: Test, directory = MIGRATIONS_DIRECTORY): Promise<TestDatabase> {
  const { url: serverUrl, fresh } = await testServer()
  const name = `${DATABASE_PREFIX}${process.pid}_${randomBytes(4).toString('hex')}`
  await withClient(serverUrl, async (admin) => {
    if (fresh) await dropLeftDatabases(admin)
    const template = await ensureTemplate(admin, serverUrl, directory)
    await admin.query(`create database ${name} template ${template}`)
  })
  const url = databaseUrl(serverUrl, name)
  const pool = openPool(url, 10)
  t.teardown(async () => {
    if (!pool.ending) await pool.end()
    await withClient(serverUrl, (admin) => admin.query(`drop database if exists ${name} with (force)`))
  })
  return { url, pool, db: createKysely<DB>(pool) }
}

/** Returns a name for what the migrations make. */
export async function schemaName(directory = MIGRATIONS_DIRECTORY): Promise<string> {
  const hash = createHash('sha256')
  for (const { name, sha256, kind } of await readMigrations(directory))
    hash.update(`${name} ${sha256} ${kind}\n`)
  return hash.digest('hex').slice(0, 16)
}

async function ensureTemplate(admin: pg.Client, serverUrl: string, directory: string): Promise<string> {
  const template = `${TEMPLATE_PREFIX}${await schemaName(directory)}`
  if (await exists(admin, template)) return template
  await admin.query('select pg_advisory_lock($1)', [TEMPLATE_LOCK])
  try {
    if (await exists(admin, template)) return template
    const draft = `${template}_draft`
    await admin.query(`drop database if exists ${draft} with (force)`)
    await admin.query(`create database ${draft}`)
    await migrate(databaseUrl(serverUrl, draft), { directory, log: { info: () => undefined } })
    // Nobody may connect: a template in use cannot be cloned.
    await admin.query(`alter database ${draft} with allow_connections false`)
    await admin.query(`alter database ${draft} rename to ${template}`)
    return template
  } finally {
    await admin.query('select pg_advisory_unlock($1)', [TEMPLATE_LOCK])
  }
}

/** Databases of test processes that were killed. */
async function dropLeftDatabases(admin: pg.Client): Promise<void> {
  const { rows } = await admin.query<{ datname: string }>(
    'select datname from pg_database where starts_with(datname, $1)',
    [DATABASE_PREFIX],
  )
  for (const { datname } of rows) {
    const pid = Number(datname.slice(DATABASE_PREFIX.length).split('_')[0])
    if (!isAlive(pid)) await admin.query(`drop database if exists ${datname} with (force)`)
  }
}

async function exists(admin: pg.Client, name: string): Promise<boolean> {
  const { rowCount } = await admin.query('select 1 from pg_database where datname = $1', [name])
  return rowCount === 1
}

async function withClient<T>(url: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end()
  }
}

function databaseUrl(serverUrl: string, name: string): string {
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  return url.href
}
