import { randomBytes } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import type { FastifyBaseLogger } from 'fastify'
import { pino } from 'pino'
import type { Test } from 'tap'
import { type App, buildApp, type AppLimits } from '#src/app.ts'
import { loadConfig } from '#config/config.ts'
import { parseEgressAllow } from '#infra/egress/index.ts'
import { createSecretBox } from '#lib/secrets/secret-box.ts'
import { migrate } from '#db/migrate.ts'
import { PATIENT, TEST_PLATFORM_KEY } from '#test/support/app.ts'
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
  const postgres = await startPrivatePostgres(t)
  await migrate(postgres.url, { log: { info: () => undefined } })
  return postgres
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
