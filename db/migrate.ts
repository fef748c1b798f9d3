import { setTimeout as delay } from 'node:timers/promises'
import { Migrator, sql, type Kysely } from 'kysely'
import pg from 'pg'
import type { BaseLogger } from 'pino'
import { createKysely, createPool } from './connection.ts'
import { buildIndexes } from './concurrent-indexes.ts'
import { isLockNotAvailable, isSerialisationConflict, isUnavailable } from './errors.ts'
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

/**
 * While a migration waits for a table, whoever uses the table waits behind it: it gives way, and tries again. A query
 * that holds the table for longer than all tries together, such as a dump, has to end first.
 */
const LOCK_TIMEOUT = '2s'
const LOCK_PAUSE_MS = 1_000
const LOCK_TRIES = 300

/** Held from before the checks until the end, so that of many replicas that boot at once one migrates. */
const MIGRATE_LOCK = 5_047_193_288_112_002n
const LOCK_LOOK_MS = 250

/**
 * Applies the missing migrations, each in a transaction of its own together with its row in the history, so that no
 * table stays locked while later files build their indexes; one that fails leaves the ones before it applied. A file that
 * is marked `concurrently` builds its indexes before its transaction, and goes on where a migrator was killed.
 * Rejects with a MigrationError when an applied file was changed, when a missing one would come after an applied one,
 * or when the database is ahead of the files, with a PoolerError when sessions are shared; migrations of a newer
 * version that are all additive are no reason to.
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
      await waitForLock(lock)
      if (await isExtended(db, files)) return { applied: [] }
      return { applied: await applyMissing(db, pool, files, options.log) }
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

/**
 * Asks for the lock again and again, as a statement that waits for it keeps a snapshot: whoever has the lock and builds an
 * index concurrently waits for that snapshot to go, and both would wait for ever.
 */
async function waitForLock(client: pg.PoolClient): Promise<void> {
  const query = { text: 'select pg_try_advisory_lock($1) as locked', values: [MIGRATE_LOCK] }
  while ((await client.query<{ locked: boolean }>(query)).rows[0]?.locked !== true) await delay(LOCK_LOOK_MS)
}

async function applyMissing(
  db: Kysely<unknown>,
  pool: pg.Pool,
  files: readonly MigrationFile[],
  log: Pick<BaseLogger, 'info'>,
): Promise<string[]> {
  const migrator = new Migrator({
    db,
    migrationTableSchema: SCHEMA,
    migrationTableName: APPLIED_TABLE,
    migrationLockTableName: LOCK_TABLE,
    // Its order is that of the migrating hosts' clocks; assertInOrder has compared the names.
    allowUnorderedMigrations: true,
    provider: {
      getMigrations: async () =>
        Object.fromEntries(
          files.map((file) => [file.name, { up: (trx: Kysely<unknown>) => apply(trx, file) }]),
        ),
    },
  })
  const known = await readApplied(db)
  const missing = files.filter(({ name }) => !known.has(name))
  const applied: string[] = []
  let refused = 0
  for (;;) {
    const next = missing[applied.length]
    // Killed before its row is written, it finds them built the next time.
    if (next !== undefined && next.indexes !== null) await named(next, buildIndexes(pool, next.indexes, log))
    // One at a time: each call is a transaction.
    const { error, results = [] } = await migrator.migrateUp()
    if (error instanceof Error && hasGivenWay(error.cause) && ++refused < LOCK_TRIES) {
      log.info({ reason: error.message }, 'a migration waits for a lock, and lets others pass meanwhile')
      await delay(LOCK_PAUSE_MS)
      continue
    }
    if (error !== undefined)
      throw error instanceof Error ? error : new Error('migration failed', { cause: error })
    refused = 0
    const [result] = results
    if (result === undefined) return applied
    applied.push(result.migrationName)
    log.info({ migration: result.migrationName }, 'applied a migration')
  }
}

/** It waited too long for a lock, or lost a deadlock with what goes on beside it: nothing of it stands. */
function hasGivenWay(error: unknown): boolean {
  return isLockNotAvailable(error) || isSerialisationConflict(error)
}

async function apply(trx: Kysely<unknown>, file: MigrationFile): Promise<void> {
  await sql`select set_config('lock_timeout', ${LOCK_TIMEOUT}, true)`.execute(trx)
  if (file.indexes === null) {
    try {
      await sql.raw(file.text).execute(trx)
    } catch (cause) {
      const position = cause instanceof pg.DatabaseError ? Number(cause.position) : Number.NaN
      throw errorOf(file, cause, position > 0 ? `:${file.text.slice(0, position).split('\n').length}` : '')
    }
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

function errorOf(file: MigrationFile, cause: unknown, line = ''): Error {
  return new Error(`${file.path}${line}: ${cause instanceof Error ? cause.message : String(cause)}`, {
    cause,
  })
}

async function named(file: MigrationFile, work: Promise<void>): Promise<void> {
  try {
    await work
  } catch (cause) {
    throw errorOf(file, cause)
  }
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
  if (unknown.length === 0) {
    assertInOrder(applied, files)
    return false
  }
  const isComplete = files.every(({ name }) => applied.has(name))
  if (isComplete && unknown.every((name) => applied.get(name)?.kind === 'additive')) return true
  throw new MigrationError(
    `the database has ${list(unknown)}, which this version does not know: it was migrated by a newer version`,
  )
}

/** A file that comes late was written for another schema than the one that is there. */
function assertInOrder(applied: ReadonlyMap<string, unknown>, files: readonly MigrationFile[]): void {
  const last = files.findLast(({ name }) => applied.has(name))?.name ?? ''
  const late = files.filter(({ name }) => !applied.has(name) && name < last)
  if (late.length === 0) return
  throw new MigrationError(
    `${list(late.map(({ path }) => path))} would come after ${last}, which is applied: give it a higher number`,
  )
}

interface Applied {
  sha256: string
  /** Null: by a version that kept no kinds. */
  kind: MigrationKind | null
}

/** Returns the migrations that are applied, by name; empty for a database that never was migrated. */
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
