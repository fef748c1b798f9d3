import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { audit } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { selectTenant, updateTenant } from './repository.ts'
import type { Tenant, TenantChange } from './schemas.ts'

export interface TenantContext {
  db: Kysely<DB>
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
