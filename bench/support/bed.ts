import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { startEmbeddedPostgres } from '#tools/embedded-postgres/index.ts'
import { migrate } from '#db/migrate.ts'

/** The base of all figures: a Postgres server with a migrated template, a folder, the keys. */
export interface Bed extends AsyncDisposable {
  readonly folder: string
  readonly masterKey: Buffer
  readonly platformKey: string
  /** The data folder of the embedded server; null with DATABASE_URL. */
  readonly postgresFolder: string | null
  /** In a database that no figure uses. */
  readonly admin: pg.Pool
  /** Statements can be counted one by one. */
  readonly countsStatements: boolean
  createDatabase(): Promise<{ name: string; url: string }>
  dropDatabase(name: string): Promise<void>
}

const quiet = { info: () => undefined }

/** The server is DATABASE_URL's, on which the bench makes databases of its own, or an embedded one that it removes. */
export async function prepareBed(): Promise<Bed> {
  await using undo = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'bettercallsold-bench-'))
  undo.defer(() => rm(folder, { recursive: true, force: true }))
  const given = process.env['DATABASE_URL'] ?? ''
  const server = given === '' ? await startServer(folder, undo) : given

  const prefix = `bcs_bench_${process.pid}`
  const admin = new pg.Pool({ connectionString: server, max: 2 })
  admin.on('error', () => undefined)
  undo.defer(() => admin.end())
  const dropDatabase = async (name: string): Promise<void> => {
    await admin.query(`drop database if exists ${name} with (force)`)
  }
  const template = `${prefix}_template`
  await admin.query(`create database ${template}`)
  undo.defer(() => dropDatabase(template))
  await migrate(databaseUrl(server, template), { log: quiet })

  let databases = 0
  const kept = undo.move()
  return {
    folder,
    masterKey: randomBytes(32),
    platformKey: `bcs_${randomBytes(32).toString('base64url')}`,
    postgresFolder: given === '' ? join(folder, 'postgres') : null,
    admin,
    countsStatements: await canCountStatements(admin, given === ''),
    createDatabase: async () => {
      const name = `${prefix}_${++databases}`
      await admin.query(`create database ${name} template ${template}`)
      return { name, url: databaseUrl(server, name) }
    },
    dropDatabase,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

async function startServer(folder: string, undo: AsyncDisposableStack): Promise<string> {
  const postgres = await startEmbeddedPostgres({
    dataDir: folder,
    log: quiet,
    settings: { shared_preload_libraries: 'pg_stat_statements' },
  })
  undo.defer(() => postgres.stop())
  return postgres.url
}

/** Somebody else's server is asked whether it counts, and not changed. */
async function canCountStatements(admin: pg.Pool, own: boolean): Promise<boolean> {
  try {
    if (own) await admin.query('create extension if not exists pg_stat_statements')
    await admin.query('select 1 from pg_stat_statements limit 1')
    return true
  } catch {
    return false
  }
}

function databaseUrl(server: string, name: string): string {
  const url = new URL(server)
  url.pathname = `/${name}`
  return url.href
}
