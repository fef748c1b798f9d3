import type { Kysely } from 'kysely'
import type { Test } from 'tap'
import type { DB, TenantRole } from '#db/schema.ts'
import { generateApiKey, hashApiKey } from '#lib/secrets/api-key.ts'
import { newId } from '#lib/ids.ts'
import { clientFor, type Tenant, type TestApp } from '#test/support/app.ts'

/** A plugin as the API gives it. */
export interface PluginBody {
  id: string
  slug: string
  base_url: string
  webhook_url: string
  events: unknown[]
  status: string
  status_reason: string | null
  config: Record<string, unknown>
  metadata: Record<string, unknown>
  headers: Record<string, string>
  retry_schedule: number[] | null
  timeout_ms: number | null
  max_in_flight: number | null
  description: string | null
  effective: Record<string, unknown>
  health: Record<string, unknown>
  waiting?: number
  secrets: { id: string; created_at: string; expires_at: string | null }[]
  revision: number
  secret?: string
}

export interface ProblemBody {
  code: string
  detail: string
  errors?: { pointer: string; detail: string }[]
}

/** On loopback, which the test app allows. */
export const WEBHOOK_URL = 'http://127.0.0.1:9/webhooks'

/** Registers a plugin that needs not be called; fails the test when that is refused. */
export async function register(
  t: Test,
  tenant: Tenant,
  fields: Record<string, unknown> = {},
): Promise<PluginBody & { secret: string }> {
  const response = await tenant.post('/api/plugins', {
    name: 'Email Marketing',
    webhook_url: WEBHOOK_URL,
    ...fields,
  })
  t.equal(response.statusCode, 201, response.statusCode === 201 ? 'registered' : response.body)
  return response.json()
}

/** A client of the same tenant with a key of a role, or of a plugin. */
export async function clientOf(
  { app, db }: TestApp,
  tenant: Tenant,
  holder: TenantRole | { pluginId: string },
): Promise<Tenant> {
  const key = generateApiKey()
  const isRole = typeof holder === 'string'
  await ensureTenant(db, tenant.id)
  await db
    .insertInto('api_keys')
    .values({
      id: newId(),
      tenant_id: tenant.id,
      kind: isRole ? 'tenant' : 'plugin',
      role: isRole ? holder : null,
      plugin_id: isRole ? null : holder.pluginId,
      name: 'test',
      prefix: key.slice(0, 12),
      hash: hashApiKey(key),
    })
    .execute()
  return clientFor(app, tenant.id, key)
}

export async function ensureTenant(db: Kysely<DB>, id: string): Promise<void> {
  await db
    .insertInto('tenants')
    .values({ id })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

export async function subscriptionsVersion(db: Kysely<DB>, tenantId: string): Promise<number> {
  const { subscriptions_version: version } = await db
    .selectFrom('tenants')
    .select('subscriptions_version')
    .where('id', '=', tenantId)
    .executeTakeFirstOrThrow()
  return version
}

/** Returns a tenant's entries in the audit log, oldest first. */
export async function auditOf(
  db: Kysely<DB>,
  tenantId: string,
): Promise<{ action: string; detail: Record<string, unknown> }[]> {
  return db
    .selectFrom('audit_log')
    .select(['action', 'detail'])
    .where('tenant_id', '=', tenantId)
    .orderBy('created_at')
    .execute()
}

/** Deliveries of a plugin that wait. */
export async function insertWaiting(
  db: Kysely<DB>,
  tenantId: string,
  pluginId: string,
  statuses: readonly ('pending' | 'retry' | 'sent' | 'failed')[],
): Promise<void> {
  await db
    .insertInto('deliveries')
    .values(
      statuses.map((status) => ({
        tenant_id: tenantId,
        id: newId(),
        plugin_id: pluginId,
        event_id: newId(),
        event: 'order.created',
        status,
      })),
    )
    .execute()
}
