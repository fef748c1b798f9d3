import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import { createKysely, createPool } from '#db/connection.ts'
import { isUnavailable } from '#db/errors.ts'
import { migrate, migrationStatus } from '#db/migrate.ts'
import { PoolerError } from '#db/pooler.ts'
import type { DB } from '#db/schema.ts'
import { type Config, ConfigError } from './config.ts'

export interface Database {
  readonly url: string
  /** Somebody has made a key: from then on nobody gets in without one. */
  readonly hasKeys: boolean
  stop(): Promise<void>
}

/** A database that starts together with the service needs a moment. */
const START_PATIENCE_MS = 30_000
const RETRY_MS = 500
const PROBE_TIMEOUT_MS = 10_000

/** The configured database or the embedded one, migrated. With a database newer than this version it says so and goes on. */
export async function openDatabase(config: Config, log: Logger): Promise<Database> {
  const server = await locateDatabase(config, log)
  const { url } = server
  try {
    await patiently(log, () => migrateOrReport(url, log))
    return { url, hasKeys: await probe(url, hasKeys), stop: () => server.stop() }
  } catch (error) {
    await server.stop()
    throw error
  }
}

/** The configured database or the embedded one, which is started if it does not run; neither is migrated. */
export async function locateDatabase(
  config: Config,
  log: Logger,
): Promise<{ url: string; stop(): Promise<void> }> {
  if (config.databaseUrl !== null) return { url: config.databaseUrl, stop: async () => undefined }
  // Its programs are a development dependency: an installation without it never loads this.
  const { prepareServiceAccount, startEmbeddedPostgres } = await import('#tools/embedded-postgres/index.ts')
  const postgres = await startEmbeddedPostgres({ dataDir: config.dataDir, log })
  try {
    return { url: await prepareServiceAccount(postgres.url), stop: () => postgres.stop() }
  } catch (error) {
    await postgres.stop()
    throw error
  }
}

async function migrateOrReport(url: string, log: Logger): Promise<void> {
  try {
    await migrate(url, { log })
    const { state, detail } = await probe(url, migrationStatus)
    if (state === 'extended') log.warn(detail)
  } catch (error) {
    if (error instanceof PoolerError) throw new ConfigError([error.message])
    if (isUnavailable(error)) throw error
    const { state, detail } = await probe(url, migrationStatus)
    if (state !== 'ahead') throw error
    log.error(`${detail}. This process stays up, not ready, until it runs the newer version`)
  }
}

async function hasKeys(db: ReturnType<typeof createKysely<DB>>): Promise<boolean> {
  return (await db.selectFrom('api_keys').select('id').limit(1).executeTakeFirst()) !== undefined
}

async function probe<D, T>(
  url: string,
  ask: (db: ReturnType<typeof createKysely<D>>) => Promise<T>,
): Promise<T> {
  const db = createKysely<D>(
    createPool(url, {
      max: 1,
      applicationName: 'bcs-start',
      statementTimeoutMs: PROBE_TIMEOUT_MS,
      lockTimeoutMs: PROBE_TIMEOUT_MS,
      idleInTransactionTimeoutMs: PROBE_TIMEOUT_MS,
      connectionTimeoutMs: PROBE_TIMEOUT_MS,
    }),
  )
  try {
    return await ask(db)
  } finally {
    await db.destroy()
  }
}

async function patiently(log: Logger, work: () => Promise<void>): Promise<void> {
  const deadline = performance.now() + START_PATIENCE_MS
  for (;;) {
    try {
      await work()
      return
    } catch (error) {
      if (!isUnavailable(error) || performance.now() > deadline) throw error
      log.warn({ err: error }, 'the database does not answer yet')
      await delay(RETRY_MS)
    }
  }
}
