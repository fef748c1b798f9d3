import { randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import type { TestApp } from '../../support/app.ts'

export interface SubscribedPlugin {
  id: string
  slug: string
}

/** A plugin row and the new version of its tenant's subscriptions, as registering one leaves them. */
export async function subscribe(
  { db }: Pick<TestApp, 'db'>,
  tenantId: string,
  events: readonly (string | { event: string; filter: unknown })[],
  slug = `p-${randomUUID().slice(0, 8)}`,
): Promise<SubscribedPlugin> {
  const id = randomUUID()
  const subscriptions = events.map((entry) =>
    typeof entry === 'string' ? { event: entry, filter: null } : entry,
  )
  await db.transaction().execute(async (trx) => {
    await trx
      .insertInto('tenants')
      .values({ id: tenantId })
      .onConflict((conflict) => conflict.doNothing())
      .execute()
    await trx
      .insertInto('plugins')
      .values({
        id,
        tenant_id: tenantId,
        slug,
        name: slug,
        webhook_url: 'http://127.0.0.1:9/',
        base_url: 'http://127.0.0.1:9/',
        subscriptions: JSON.stringify(subscriptions),
      })
      .execute()
    await trx.insertInto('delivery_lanes').values({ plugin_id: id, tenant_id: tenantId }).execute()
    await raiseVersion(trx, tenantId)
  })
  return { id, slug }
}

export async function raiseVersion(db: TestApp['db'], tenantId: string): Promise<void> {
  await db
    .updateTable('tenants')
    .set({ subscriptions_version: sql<number>`subscriptions_version + 1` })
    .where('id', '=', tenantId)
    .execute()
}
