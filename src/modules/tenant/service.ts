import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { audit } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import {
  QUOTA_NAMES,
  type QuotaName,
  QUOTAS,
  type QuotaService,
  readLimits,
  STOCK_QUOTAS,
} from '#infra/quotas.ts'
import { measure, type StockQuota } from '#infra/quota-repository.ts'
import { selectTenant, updateQuotas, updateTenant } from './repository.ts'
import type { QuotaSettings, Tenant, TenantChange, Usage } from './schemas.ts'

export interface TenantContext {
  db: Kysely<DB>
  quotas: QuotaService
}

/** A tenant that nothing was ever changed for has the defaults. */
export async function readTenant(ctx: TenantContext, tenantId: string): Promise<Tenant> {
  const row = await selectTenant(ctx.db, tenantId)
  return row ?? { id: tenantId, strict_events: false, created_at: null, updated_at: null }
}

export async function changeTenant(
  ctx: TenantContext,
  actor: Actor,
  tenantId: string,
  change: TenantChange,
): Promise<Tenant> {
  return ctx.db.transaction().execute(async (trx) => {
    const tenant = await updateTenant(trx, tenantId, change)
    await audit(trx, actor, {
      tenantId,
      action: 'tenant.updated',
      targetKind: 'tenant',
      targetId: tenantId,
      detail: change,
    })
    return tenant
  })
}

/** What the tenant has and does of what it may. What is counted by the minute is counted by this process. */
export async function readUsage(ctx: TenantContext, tenantId: string): Promise<Usage> {
  const limits = await readLimits(ctx.db, tenantId)
  const rows: [QuotaName, { used: number; limit: number; default: number }][] = []
  for (const name of QUOTA_NAMES) {
    const used = isStock(name) ? await measure(ctx.db, tenantId, name) : ctx.quotas.done(tenantId, name)
    rows.push([name, { used, limit: limits[name], default: QUOTAS[name].limit }])
  }
  return { quotas: Object.fromEntries(rows) as Usage['quotas'] }
}

function isStock(name: QuotaName): name is StockQuota {
  return Object.hasOwn(STOCK_QUOTAS, name)
}

/** What is left out returns to its default. What the tenant has beyond a lower limit stays; it grows no further. */
export async function setQuotas(
  ctx: TenantContext,
  actor: Actor,
  tenantId: string,
  quotas: QuotaSettings,
): Promise<Usage> {
  await ctx.db.transaction().execute(async (trx) => {
    await updateQuotas(trx, tenantId, quotas)
    await audit(trx, actor, {
      tenantId,
      action: 'tenant.quotas_set',
      targetKind: 'tenant',
      targetId: tenantId,
      detail: quotas,
    })
  })
  ctx.quotas.forget(tenantId)
  return readUsage(ctx, tenantId)
}
