import { Migrator, sql, type Kysely } from 'kysely'
import pg from 'pg'
import type { BaseLogger } from 'pino'
import { createKysely, createPool } from './connection.ts'
import { isUnavailable } from './errors.ts'
import { MIGRATIONS_DIRECTORY, readMigrations, type MigrationFile, type MigrationKind } from './migrations.ts'
import { assertOwnSessions } from './pooler.ts'

export interface MigrateOptions {
  /** Default: db/migrations. */
  readonly directory?: string
  readonly log: Pick<BaseLogger, 'info'>
}

export interface MigrationStatus {
  /**
   * `behind`: migrations of this version are missing in the database. `extended`: a newer version has been here, and
   * its migrations are all additive, so this version goes on with them. `ahead`: they are not.
   */
  readonly state: 'current' | 'behind' | 'extended' | 'ahead' | 'unreachable'
  readonly detail: string
}

/** The database and the files contradict each other; only a human can say which is right. */
export class MigrationError extends Error {
  override readonly name = 'MigrationError'
}

/** Features in use: `security_invoker` views and `nulls not distinct` are from 15. */
const MINIMUM_MAJOR_VERSION = 15

/** Kysely's own tables and the checksums live apart from the service's tables. */
const SCHEMA = 'migrations'
const APPLIED_TABLE = 'applied'
const LOCK_TABLE = 'applied_lock'

/** Held from before the checks until the end, so that of many replicas that boot at once one migrates. */
const MIGRATE_LOCK = 5_047_193_288_112_002n

/**
 * Applies the missing migrations in one transaction: all of them or none. Statements that cannot run inside a
 * transaction (`create index concurrently`) cannot be part of a migration. Rejects with a MigrationError
 * when an applied file was changed or when the database is ahead of the files, with a PoolerError when sessions are
 * shared; migrations of a newer version that are all additive are no reason to.
 */
export async function migrate(url: string, options: MigrateOptions): Promise<{ applied: string[] }> {
  const files = await readMigrations(options.directory)
  const pool = createPool(url, {
    // One connection waits on the lock, the other one migrates.
    max: 2,
    applicationName: 'bcs-migrate',
    statementTimeoutMs: 0,
    lockTimeoutMs: 0,
    idleInTransactionTimeoutMs: 0,
    connectionTimeoutMs: 10_000,
  })
  const db = createKysely<unknown>(pool)
  try {
    await assertPostgresVersion(db)
    await assertOwnSessions(pool)
    const lock = await pool.connect()
    try {
      await lock.query('select pg_advisory_lock($1)', [MIGRATE_LOCK])
      if (await isExtended(db, files)) return { applied: [] }
      return { applied: await applyMissing(db, files, options.log) }
    } finally {
      // The lock ends with its session.
      lock.release(true)
    }
  } finally {
    await db.destroy()
  }
}

export async function migrationStatus(
  db: Kysely<unknown>,
  directory = MIGRATIONS_DIRECTORY,
): Promise<MigrationStatus> {
  const files = await readMigrations(directory)
  let applied: Map<string, Applied>
  try {
    applied = await readApplied(db)
  } catch (error) {
    if (!isUnavailable(error)) throw error
    return { state: 'unreachable', detail: `the database does not answer: ${(error as Error).message}` }
  }
  const missing = files.filter(({ name }) => !applied.has(name)).map(({ name }) => name)
  const unknown = unknownNames(applied, files)
  const breaking = unknown.filter((name) => applied.get(name)?.kind !== 'additive')
  if (missing.length > 0) {
    return { state: 'behind', detail: `the database is older than this version: it lacks ${list(missing)}` }
  }
  if (breaking.length > 0) {
    return { state: 'ahead', detail: `the database is newer than this version: it has ${list(breaking)}` }
  }
  if (unknown.length > 0) {
    return {
      state: 'extended',
      detail: `the database is newer than this version, which goes on with what was added: ${list(unknown)}`,
    }
  }
  return { state: 'current', detail: files.at(-1)?.name ?? 'there are no migrations' }
}

export async function assertPostgresVersion(db: Kysely<unknown>): Promise<void> {
  const { rows } = await sql<{ version: number; text: string }>`
    select current_setting('server_version_num')::int as version, current_setting('server_version') as text
  `.execute(db)
  const server = rows[0]
  if (!server || Math.floor(server.version / 10_000) < MINIMUM_MAJOR_VERSION) {
    throw new Error(
      `Postgres ${MINIMUM_MAJOR_VERSION} or newer is needed, this is ${server?.text ?? 'unknown'}`,
    )
  }
}

async function applyMissing(
  db: Kysely<unknown>,
  files: readonly MigrationFile[],
  log: Pick<BaseLogger, 'info'>,
): Promise<string[]> {
  const migrator = new Migrator({
    db,
    migrationTableSchema: SCHEMA,
    migrationTableName: APPLIED_TABLE,
    migrationLockTableName: LOCK_TABLE,
    // By code point, as the files are sorted.
    nameComparator: (a, b) => (a < b ? -1 : Number(a > b)),
    provider: {
      getMigrations: async () =>
        Object.fromEntries(
          files.map((file) => [file.name, { up: (trx: Kysely<unknown>) => apply(trx, file) }]),
        ),
    },
  })
  const { error, results = [] } = await migrator.migrateToLatest()
  if (error !== undefined)
    throw error instanceof Error ? error : new Error('migration failed', { cause: error })
  const applied = results.map(({ migrationName }) => migrationName)
  for (const migration of applied) log.info({ migration }, 'applied a migration')
  return applied
}

async function apply(trx: Kysely<unknown>, file: MigrationFile): Promise<void> {
  try {
    await sql.raw(file.text).execute(trx)
  } catch (cause) {
    const position = cause instanceof pg.DatabaseError ? Number(cause.position) : Number.NaN
    const line = position > 0 ? `:${file.text.slice(0, position).split('\n').length}` : ''
    throw new Error(`${file.path}${line}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
  }
  await sql`create table if not exists ${sql.table(`${SCHEMA}.checksums`)} (
    name text primary key,
    sha256 text not null
  )`.execute(trx)
  await sql`alter table ${sql.table(`${SCHEMA}.checksums`)} add column if not exists kind text`.execute(trx)
  await sql`
    insert into ${sql.table(`${SCHEMA}.checksums`)} (name, sha256, kind)
    values (${file.name}, ${file.sha256}, ${file.kind})`.execute(trx)
}

/** True: there is nothing to apply, and a newer version has added to the schema. */
async function isExtended(db: Kysely<unknown>, files: readonly MigrationFile[]): Promise<boolean> {
  const applied = await readApplied(db)
  const changed = files.filter(({ name, sha256 }) => (applied.get(name)?.sha256 ?? sha256) !== sha256)
  if (changed.length > 0) {
    throw new MigrationError(
      `${list(changed.map(({ path }) => path))} changed after it was applied to this database. ` +
        'Applied migrations are never edited: restore the file and write a new migration',
    )
  }
  const unknown = unknownNames(applied, files)
  if (unknown.length === 0) return false
  const isComplete = files.every(({ name }) => applied.has(name))
  if (isComplete && unknown.every((name) => applied.get(name)?.kind === 'additive')) return true
  throw new MigrationError(
    `the database has ${list(unknown)}, which this version does not know: it was migrated by a newer version`,
  )
}

interface Applied {
  sha256: string
  /** Null: by a version that kept no kinds. */
  kind: MigrationKind | null
}

/** What is applied, by name; empty for a database that never was migrated. */
async function readApplied(db: Kysely<unknown>): Promise<Map<string, Applied>> {
  const { rows } = await sql<{ exists: boolean }>`
    select to_regclass(${`${SCHEMA}.checksums`}) is not null as exists
  `.execute(db)
  if (!rows[0]?.exists) return new Map()
  // The column may not be there yet.
  const applied = await sql<Applied & { name: string }>`
    select name, sha256, to_jsonb(checksums) ->> 'kind' as kind
    from ${sql.table(`${SCHEMA}.checksums`)} as checksums order by name
  `.execute(db)
  return new Map(applied.rows.map(({ name, sha256, kind }) => [name, { sha256, kind }]))
}

function unknownNames(applied: ReadonlyMap<string, unknown>, files: readonly MigrationFile[]): string[] {
  const known = new Set(files.map(({ name }) => name))
  return [...applied.keys()].filter((name) => !known.has(name))
}

function list(names: readonly string[]): string {
  return names.join(', ')
}
