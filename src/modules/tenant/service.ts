import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { audit, changesOf } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import {
  QUOTA_NAMES,
  type QuotaName,
  QUOTAS,
  type QuotaService,
  readLimits,
  STOCK_QUOTAS,
} from '#infra/quotas.ts'
import { lockQuotas, measure, type StockQuota } from '#infra/quota-repository.ts'
import { invalidRequest } from '#infra/http/problems.ts'
import { raiseSubscriptionsVersion } from '#infra/tenant-versions.ts'
import { type Calendar, calendarOf, DEFAULT_CALENDAR } from '#lib/calendar.ts'
import { isTimeZone } from '#lib/time-zone.ts'
import type { PlatformService } from '#modules/platform/index.ts'
import { selectTenant, type TenantRow, updateQuotas, updateTenant } from './repository.ts'
import type { QuotaSettings, Tenant, TenantChange, Usage } from './schemas.ts'

export interface TenantContext {
  db: Kysely<DB>
  quotas: QuotaService
  platform: Pick<PlatformService, 'isConfigured'>
}

/** A tenant that nothing was ever changed for has the defaults. */
export async function readTenant(ctx: TenantContext, tenantId: string): Promise<Tenant> {
  const [row, hasPlatform] = await Promise.all([
    selectTenant(ctx.db, tenantId),
    ctx.platform.isConfigured(tenantId),
  ])
  if (row !== undefined) return toTenant(row, hasPlatform)
  return {
    id: tenantId,
    strict_events: false,
    has_platform: hasPlatform,
    ...DEFAULT_CALENDAR,
    created_at: null,
    updated_at: null,
  }
}

function toTenant({ calendar, ...row }: TenantRow, hasPlatform: boolean): Tenant {
  return { ...row, has_platform: hasPlatform, ...calendarOf(calendar) }
}

/** The members of a tenant that can be changed. */
function settingsOf(row: TenantRow | undefined) {
  return { strict_events: row?.strict_events ?? false, ...calendarOf(row?.calendar ?? null) }
}

/** The calendar as it is after a change; undefined: the change is about something else. @throws `invalid_request` */
function changedCalendar(before: Calendar, change: TenantChange): Calendar | undefined {
  const { time_zone, quiet_hours, business_days } = change
  if (time_zone === undefined && quiet_hours === undefined && business_days === undefined) return undefined
  if (time_zone !== undefined && !isTimeZone(time_zone)) {
    refuse('/time_zone', 'must be an IANA time zone such as Europe/Lisbon')
  }
  if (quiet_hours != null && quiet_hours.from === quiet_hours.to) {
    refuse('/quiet_hours/to', 'must be another time than from')
  }
  return {
    time_zone: time_zone ?? before.time_zone,
    quiet_hours: quiet_hours === undefined ? before.quiet_hours : quiet_hours,
    business_days: { ...before.business_days, ...business_days },
  }
}

function refuse(pointer: string, detail: string): never {
  throw invalidRequest(undefined, { errors: [{ pointer, detail }] })
}

export async function changeTenant(
  ctx: TenantContext,
  actor: Actor,
  tenantId: string,
  change: TenantChange,
): Promise<Tenant> {
  const hasPlatform = await ctx.platform.isConfigured(tenantId)
  return ctx.db.transaction().execute(async (trx) => {
    // Also makes intake read the settings again that it remembers. The row is held until the end: of two changes at a time
    // neither loses what the other one set.
    await raiseSubscriptionsVersion(trx, tenantId)
    const before = await selectTenant(trx, tenantId)
    const calendar = changedCalendar(calendarOf(before?.calendar ?? null), change)
    const { strict_events } = change
    const tenant = await updateTenant(trx, tenantId, { strict_events, calendar })
    await audit(trx, actor, {
      tenantId,
      action: 'tenant.updated',
      targetKind: 'tenant',
      targetId: tenantId,
      detail: { ...change, ...changesOf(settingsOf(before), settingsOf(tenant)) },
    })
    return toTenant(tenant, hasPlatform)
  })
}

/** Returns the tenant's usage of each quota. Quotas by the minute are counted by this process. */
export async function readUsage(ctx: TenantContext, tenantId: string): Promise<Usage> {
  const limits = await readLimits(ctx.db, tenantId)
  const rows: [QuotaName, { used: number; limit: number; default: number }][] = []
  for (const name of QUOTA_NAMES) {
    const [limit, usual] = [limits[name], QUOTAS[name].limit]
    const used = isStock(name)
      ? await measure(ctx.db, tenantId, name, Math.max(limit, usual))
      : ctx.quotas.done(tenantId, name)
    rows.push([name, { used, limit, default: usual }])
  }
  return { quotas: Object.fromEntries(rows) as Usage['quotas'] }
}

function isStock(name: QuotaName): name is StockQuota {
  return Object.hasOwn(STOCK_QUOTAS, name)
}

/**
 * Sets the tenant's quotas; those that are left out return to their defaults. A tenant that has more than a lower
 * limit keeps it, but gets no more.
 */
export async function setQuotas(
  ctx: TenantContext,
  actor: Actor,
  tenantId: string,
  quotas: QuotaSettings,
): Promise<Usage> {
  await ctx.db.transaction().execute(async (trx) => {
    const before = (await lockQuotas(trx, tenantId)) as object | null | undefined
    await updateQuotas(trx, tenantId, quotas)
    await audit(trx, actor, {
      tenantId,
      action: 'tenant.quotas_set',
      targetKind: 'tenant',
      targetId: tenantId,
      detail: { ...quotas, ...changesOf(before ?? {}, quotas) },
    })
  })
  ctx.quotas.forget(tenantId)
  return readUsage(ctx, tenantId)
}
