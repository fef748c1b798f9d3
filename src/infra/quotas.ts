import fp from 'fastify-plugin'
import type { Kysely, Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { boundedCache } from '#lib/bounded-cache.ts'
import { defineProblem, type Problem } from '#lib/api/problem.ts'
import { RateWindow } from '#lib/async/rate-window.ts'
import { findQuotas, findQuotasAndStorage, lockQuotas, measure, type StockQuota } from './quota-repository.ts'

export const quotaExceeded = defineProblem(
  'quota_exceeded',
  422,
  'The shop has as much of it as it may',
  'Remove some of what `quota` names, or ask the platform for more. GET /api/usage shows all of them.',
)
export const quotaRateExceeded = defineProblem(
  'quota_rate_exceeded',
  429,
  'The shop does as much of it as it may',
  'Wait as long as Retry-After says, or ask the platform for more. GET /api/usage shows all of them.',
)

const MIB = 1024 * 1024

/** The most that a tenant may have at a time, counted in the transaction that adds to it; executions before they start. */
export const STOCK_QUOTAS = {
  plugins: { limit: 1_000, description: 'Plugins' },
  filter_bytes: {
    limit: 4 * MIB,
    description: 'Subscriptions of all plugins with their filters, in bytes of JSON',
  },
  keys: { limit: 1_000, description: 'Keys that were not revoked and have not expired' },
  active_flows: { limit: 2_000, description: 'Active flows' },
  active_flow_bytes: { limit: 64 * MIB, description: 'What active flows run, in bytes of JSON' },
  flow_templates: { limit: 200, description: "Templates of the shop's own" },
  connections: { limit: 100, description: 'Connections' },
  variables: { limit: 200, description: 'Variables of the shop' },
  variable_bytes: { limit: 64 * 1024, description: 'Values of all variables of the shop, in bytes of JSON' },
  waiting_executions: { limit: 1_000_000, description: 'Executions that are queued or wait' },
  stored_bytes: {
    limit: 100 * 1024 * MIB,
    description:
      'What the shop stores: events, deliveries with their answers, actions and executions with their steps, in bytes on disk without indexes, measured every five minutes in a sample',
  },
} as const satisfies Record<StockQuota, { limit: number; description: string }>

/** The most that a tenant may do in a minute, counted by each process. */
const RATE_QUOTAS = {
  events_per_minute: { limit: 6_000_000, description: 'Events that are sent' },
  dispatches_per_minute: { limit: 600_000, description: 'Actions that dispatches ask for' },
} as const

const RATE_NAMES = Object.keys(RATE_QUOTAS)
export const QUOTAS = { ...STOCK_QUOTAS, ...RATE_QUOTAS } as const
export type RateQuota = keyof typeof RATE_QUOTAS
export type QuotaName = keyof typeof QUOTAS
export const QUOTA_NAMES = Object.keys(QUOTAS) as QuotaName[]

/** The problem of a stock that is used up where nobody counted by how much: there may be millions. */
export function fullStockProblem(quota: StockQuota, limit: number) {
  return quotaExceeded(`The quota ${quota} is ${limit}, and the shop has as many.`, {
    extensions: { quota, limit },
  })
}

/** The problem of a stock that is used up. */
function stockProblem(quota: StockQuota, limit: number, used: number) {
  return quotaExceeded(`The quota ${quota} is ${limit}, and this would make it ${used}.`, {
    extensions: { quota, limit, used },
  })
}

/** The limit of each; a quota that was not set for the tenant has its default. */
export type Limits = Readonly<Record<QuotaName, number>>

/** The memory of a process of one tenant. */
interface Known {
  limits: Limits
  storedBytes: number
  /** The least that it surely stores. */
  leastStoredBytes: number
}

export interface QuotaService {
  /** Counts what a tenant does. @returns null, or the seconds until it may go on */
  take(tenantId: string, quota: RateQuota, count: number): Promise<number | null> | number | null
  /** The problem of a tenant that stores as much as it may, by what was measured last; null: it may store more. */
  storageProblem(tenantId: string): Promise<Problem | null> | Problem | null
  /** Returns how much the tenant has done in this process in the minute that is running. */
  done(tenantId: string, quota: RateQuota): number
  /** The limits were changed. */
  forget(tenantId: string): void
}

declare module 'fastify' {
  interface FastifyInstance {
    quotas: QuotaService
  }
}

const WINDOW_MS = 60_000
/** A shop that stores as much as it may can send again once something is gone or the platform has given it more. */
const FULL_RETRY_SECONDS = 60
/** Another process goes by what it has read for so long. */
const LIMITS_TTL_MS = 5_000
const TENANTS_MAX = 10_000

export default fp(
  async (app) => {
    const limits = boundedCache<Known>(TENANTS_MAX, LIMITS_TTL_MS)
    const windows = new RateWindow({ windowMs: WINDOW_MS, maxKeys: TENANTS_MAX * RATE_NAMES.length })
    const nameOf = (tenantId: string, quota: RateQuota): string => `${quota} ${tenantId}`

    async function load(tenantId: string): Promise<Known> {
      const { quotas, ...stored } = await findQuotasAndStorage(app.db, tenantId)
      const loaded = { limits: limitsOf(quotas), ...stored }
      limits.set(tenantId, loaded)
      return loaded
    }

    app.decorate('quotas', {
      take(tenantId, quota, count) {
        const by = (found: Known): number | null =>
          windows.take(nameOf(tenantId, quota), { count, limit: found.limits[quota] })
        const known = limits.get(tenantId)
        return known === undefined ? load(tenantId).then(by) : by(known)
      },
      storageProblem(tenantId) {
        const known = limits.get(tenantId)
        return known === undefined ? load(tenantId).then(fullStorage) : fullStorage(known)
      },
      done: (tenantId, quota) => windows.counted(nameOf(tenantId, quota)),
      forget: (tenantId) => void limits.delete(tenantId),
    } satisfies QuotaService)
  },
  { name: 'quotas', dependencies: ['db'] },
)

/** Told to come again, unlike with the other stocks: an event that is not sent again is lost. */
function fullStorage({ limits, storedBytes, leastStoredBytes }: Known): Problem | null {
  const limit = limits.stored_bytes
  if (leastStoredBytes < limit) return null
  return quotaRateExceeded(`The quota stored_bytes is ${limit}, and the shop stores ${storedBytes}.`, {
    extensions: { quota: 'stored_bytes', limit, used: storedBytes },
    headers: { 'retry-after': String(FULL_RETRY_SECONDS) },
  })
}

/** The problem of a rate that is used up. */
export function rateProblem(quota: RateQuota, waitSeconds: number) {
  return quotaRateExceeded(`The quota ${quota} is used up.`, {
    extensions: { quota },
    headers: { 'retry-after': String(waitSeconds) },
  })
}

export async function readLimits(db: Kysely<DB> | Transaction<DB>, tenantId: string): Promise<Limits> {
  return limitsOf(await findQuotas(db, tenantId))
}

function limitsOf(stored: unknown): Limits {
  const set = (stored ?? {}) as Partial<Record<QuotaName, number>>
  return Object.fromEntries(
    QUOTA_NAMES.map((name) => [name, set[name] ?? QUOTAS[name].limit]),
  ) as unknown as Limits
}

/**
 * Makes sure that what the caller's transaction has written is within the tenant's quotas. Changes of one tenant are
 * counted one after the other: its row is locked until they are committed.
 *
 * @throws `quota_exceeded`, which names the quota
 */
export async function enforceQuotas(
  trx: Transaction<DB>,
  tenantId: string,
  quotas: readonly StockQuota[],
): Promise<void> {
  const limits = limitsOf(await lockQuotas(trx, tenantId))
  for (const quota of quotas) {
    const limit = limits[quota]
    const used = await measure(trx, tenantId, quota, limit + 1)
    if (used <= limit) continue
    throw stockProblem(quota, limit, used)
  }
}
