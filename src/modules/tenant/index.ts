/**
 * A tenant's own settings. Tenants themselves are the platform's: infra/auth makes the row with the first change
 * that is made for one, and until then the defaults hold.
 * The bytes that each stores are measured in the background (storage.ts) for the quota of it.
 */
import type { FastifyInstance } from 'fastify'
import { JobLoop } from '#lib/async/job-loop.ts'
import { tenantRoutes } from './routes.ts'
import { measureStorageOnce } from './storage.ts'
import { QuotaSettings, Tenant, TenantChange, Usage } from './schemas.ts'

const MEASURE_MS = 300_000
const JITTER_MS = 30_000
/** Every process looks; what another one has measured since then holds. */
const FRESH_MS = 240_000
/** Also where processes live for minutes only. */
const FIRST_DELAY_MAX_MS = 60_000

export default async function tenantModule(app: FastifyInstance): Promise<void> {
  app.apiDocument.addTag('tenant', "A shop's own settings")
  for (const schema of [Tenant, TenantChange, Usage, QuotaSettings]) app.addSchema(schema)
  await app.register(async (routes) =>
    tenantRoutes(routes, { db: app.db, quotas: app.quotas, platform: app.platform }),
  )

  const loop = new JobLoop({
    pass: async (signal) => {
      await measureStorageOnce({ db: app.workerDb, maxAgeMs: FRESH_MS }, signal)
      return 'idle'
    },
    firstDelayMs: Math.random() * FIRST_DELAY_MAX_MS,
    intervalMs: () => MEASURE_MS + Math.random() * JITTER_MS,
    onError: (error) => app.log.warn({ err: error }, 'storage of tenants: not measured, it is in 5 minutes'),
  })
  app.background({
    name: 'storage',
    start: () => loop.start(),
    stop: () => loop.stop(),
    probe: () => loop.standing,
    whenStuck: 'warning',
  })
}
