import { randomBytes } from 'node:crypto'
import type { Kysely, Transaction } from 'kysely'
import type { DB, PluginStatus, StoredSubscription } from '#db/schema.ts'
import { newId } from '#lib/ids.ts'

/** A plugin and its lane, as registering one leaves them but for the version of its tenant's subscriptions. */
export async function seedPlugin(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  options: {
    slug?: string
    subscriptions?: readonly (string | StoredSubscription)[]
    status?: PluginStatus
  } = {},
): Promise<{ id: string; slug: string }> {
  const id = newId()
  const slug = options.slug ?? `plugin-${randomBytes(4).toString('hex')}`
  const subscriptions = (options.subscriptions ?? ['*']).map((entry) =>
    typeof entry === 'string' ? { event: entry, filter: null } : entry,
  )
  await db
    .insertInto('tenants')
    .values({ id: tenantId })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  await db
    .insertInto('plugins')
    .values({
      id,
      tenant_id: tenantId,
      slug,
      name: slug,
      webhook_url: 'http://127.0.0.1:9/',
      base_url: 'http://127.0.0.1:9',
      subscriptions: JSON.stringify(subscriptions),
      status: options.status ?? 'active',
    })
    .execute()
  await db.insertInto('delivery_lanes').values({ plugin_id: id, tenant_id: tenantId }).execute()
  return { id, slug }
}
