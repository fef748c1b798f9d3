import { randomBytes } from 'node:crypto'
import type { Kysely } from 'kysely'
import type { LightMyRequestResponse } from 'fastify'
import { pino } from 'pino'
import type { Test } from 'tap'
import type { DB } from '#db/schema.ts'
import { type App, buildApp } from '#src/app.ts'
import { type Config, loadConfig } from '#config/config.ts'
import { parseEgressAllow } from '#infra/egress/index.ts'
import { createSecretBox } from '#lib/secrets/secret-box.ts'
import { createTestDatabase } from './database.ts'

export interface TestApp {
  app: App
  config: Config
  db: Kysely<DB>
  databaseUrl: string
  /** A fresh tenant with a client that acts for it. */
  tenant(): Tenant
}

export interface Tenant {
  id: string
  get(url: string, headers?: Record<string, string>): Promise<LightMyRequestResponse>
  delete(url: string): Promise<LightMyRequestResponse>
  post(url: string, body?: unknown, headers?: Record<string, string>): Promise<LightMyRequestResponse>
  put(url: string, body: unknown): Promise<LightMyRequestResponse>
  patch(url: string, body: unknown): Promise<LightMyRequestResponse>
}

export const TEST_PLATFORM_KEY = `bcs_test_${'p'.repeat(40)}`

/** Of a machine that is busy with other tests a service would think that it is its own load, and refuse requests. */
export const PATIENT = { maxEventLoopDelayMs: 0, database: { statementMs: 30_000, connectMs: 30_000 } }

/**
 * The whole service on a database of its own. Keys are needed; `tenant()` acts through the platform key.
 * Workers run only with `env: { ROLES: 'api,worker' }`: without, tests drive them by `runOnce`.
 * `ca` is trusted beside the usual authorities. `through` gives the address at which the service finds its database.
 */
export async function startApp(
  t: Test,
  options: { env?: Record<string, string>; ca?: string; through?: (url: string) => Promise<string> } = {},
): Promise<TestApp> {
  const database = await createTestDatabase(t)
  const databaseUrl = (await options.through?.(database.url)) ?? database.url
  const config = loadConfig(
    { ROLES: 'api', PLATFORM_KEY: TEST_PLATFORM_KEY, LOG_LEVEL: 'silent', ...options.env },
    null,
  )
  const app = await buildApp(config, {
    logger: pino({ level: config.logLevel }),
    databaseUrl,
    secretBox: createSecretBox(config.masterKey ?? randomBytes(32)),
    egress: {
      allow: parseEgressAllow(config.egress.allow || '127.0.0.0/8,[::1]'),
      dnsServers: config.egress.dns,
      httpsOnly: config.egress.httpsOnly,
      ca: options.ca,
    },
    openTenantId: null,
    limits: PATIENT,
  })
  t.teardown(() => app.close())
  await app.ready()
  return {
    app,
    config,
    db: database.db,
    databaseUrl: database.url,
    tenant: () => clientFor(app, crypto.randomUUID(), TEST_PLATFORM_KEY),
  }
}

/** A client of one tenant with any key. */
export function clientFor(app: App, tenantId: string, key: string): Tenant {
  const send = async (
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    url: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<LightMyRequestResponse> =>
    app.inject({
      method,
      url,
      headers: {
        authorization: `Bearer ${key}`,
        'x-tenant-id': tenantId,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
  return {
    id: tenantId,
    get: (url, headers) => send('GET', url, undefined, headers),
    delete: (url) => send('DELETE', url),
    post: (url, body, headers) => send('POST', url, body, headers),
    put: (url, body) => send('PUT', url, body),
    patch: (url, body) => send('PATCH', url, body),
  }
}
