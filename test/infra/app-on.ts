import { randomBytes } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type pg from 'pg'
import { pino } from 'pino'
import type { Test } from 'tap'
import { type App, buildApp, type AppLimits } from '#src/app.ts'
import { loadConfig } from '#config/config.ts'
import { parseEgressAllow } from '#infra/egress/index.ts'
import { createSecretBox } from '#lib/secrets/secret-box.ts'
import { migrate } from '#db/migrate.ts'
import { PATIENT, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { schemaName } from '#test/support/database.ts'
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/postgres-server.ts'

export interface AppOnOptions {
  env?: Record<string, string>
  limits?: Partial<AppLimits>
  openTenantId?: string
  logger?: FastifyBaseLogger
}

/** The whole service on a given database; `register` adds to it before it is ready. */
export async function appOn(
  t: Test,
  databaseUrl: string,
  options: AppOnOptions = {},
  register: (app: App) => void = () => undefined,
): Promise<App> {
  const config = loadConfig(
    { ROLES: 'api', PLATFORM_KEY: TEST_PLATFORM_KEY, LOG_LEVEL: 'silent', ...options.env },
    null,
  )
  const app = await buildApp(config, {
    logger: options.logger ?? pino({ level: 'silent' }),
    databaseUrl,
    secretBox: createSecretBox(config.masterKey ?? randomBytes(32)),
    egress: { allow: parseEgressAllow('127.0.0.0/8'), dnsServers: [], httpsOnly: false },
    openTenantId: options.openTenantId ?? null,
    limits: { ...PATIENT, ...options.limits },
  })
  t.teardown(() => app.close())
  register(app)
  await app.ready()
  return app
}

/** Listens on a free loopback port and gives it. */
export async function listen(app: App): Promise<number> {
  await app.listen({ host: '127.0.0.1', port: 0 })
  return (app.server.address() as AddressInfo).port
}

/** A migrated Postgres of the test's own, to be taken away. */
export async function migratedPrivatePostgres(t: Test): Promise<PrivatePostgres> {
  return startPrivatePostgres(t, {
    name: 'migrated',
    version: await schemaName(),
    prepare: async (url) => {
      await migrate(url, { log: { info: () => undefined } })
    },
  })
}

/** Asks until `accept` takes the answer; rejects with the last one after `timeoutMs`. */
export async function until<T>(
  ask: () => Promise<T>,
  accept: (answer: T) => boolean,
  timeoutMs = 60_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const answer = await ask()
    if (accept(answer)) return answer
    if (performance.now() > deadline) {
      throw new Error(`not within ${timeoutMs} ms; the last answer was ${JSON.stringify(answer)}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/**
 * Asks, and says whether the answer came before a timer of `ms` that was started behind the request. On a machine that was
 * busy beyond both, the timers of the service are due first: all that it needs to answer then is some turns of the loop.
 */
export async function inTime<T>(
  ask: () => Promise<T>,
  ms = 2_000,
): Promise<{ answer: T; isInTime: boolean }> {
  const asked = ask()
  const late = delay(ms).then(async () => {
    for (let turn = 0; turn < 100; turn++) await nextTurn()
  })
  const isInTime = await Promise.race([asked.then(() => true), late.then(() => false)])
  return { answer: await asked, isInTime }
}

/** Asked at times of its own: looks at the clock and at the timeline. */
const OF_BACKGROUND = /\(extract\(epoch from clock_timestamp\(\)\) \* 1000\)|feed_epoch/

/** The texts of all statements through a pool from now on, but for those of the background. */
export function statementsOf(pool: pg.Pool): string[] {
  const texts: string[] = []
  const watched = new WeakSet<pg.PoolClient>()
  pool.on('acquire', (client) => {
    if (watched.has(client)) return
    watched.add(client)
    const query = client.query.bind(client) as (...args: unknown[]) => unknown
    const watch = (...args: unknown[]): unknown => {
      const [asked] = args
      const text = typeof asked === 'string' ? asked : (asked as { text: string }).text
      if (!OF_BACKGROUND.test(text)) texts.push(text)
      return query(...args)
    }
    Object.assign(client, { query: watch })
  })
  return texts
}

/**
 * Does something while the host's clock stands still: an answer that is remembered for a second is remembered
 * throughout.
 */
export async function whileTimeStands<T>(act: () => Promise<T>): Promise<T> {
  const { now } = Date
  const held = now()
  Date.now = () => held
  try {
    return await act()
  } finally {
    Date.now = now
  }
}
