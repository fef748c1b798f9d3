import { randomUUID } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { sql } from 'kysely'
import { apiKeyPrefix, generateApiKey, hashApiKey } from '#lib/secrets/api-key.ts'
import type { TestApp } from '#test/support/app.ts'
import { seedPlugin } from '#test/support/plugin-row.ts'

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
  return db.transaction().execute(async (trx) => {
    const plugin = await seedPlugin(trx, tenantId, { slug, subscriptions: events })
    await raiseVersion(trx, tenantId)
    return plugin
  })
}

export async function raiseVersion(db: TestApp['db'], tenantId: string): Promise<void> {
  await db
    .updateTable('tenants')
    .set({ subscriptions_version: sql<number>`subscriptions_version + 1` })
    .where('id', '=', tenantId)
    .execute()
}

/** A key of the plugin's own. */
export async function pluginKey(
  { db }: Pick<TestApp, 'db'>,
  tenantId: string,
  plugin: SubscribedPlugin,
): Promise<string> {
  const key = generateApiKey()
  await db
    .insertInto('api_keys')
    .values({
      id: randomUUID(),
      tenant_id: tenantId,
      kind: 'plugin',
      plugin_id: plugin.id,
      name: plugin.slug,
      prefix: apiKeyPrefix(key),
      hash: hashApiKey(key),
    })
    .execute()
  return key
}

/**
 * Resolves when the feed shows everything that is committed by now. Transactions that are open anywhere on the
 * server hold it back, those of other test files' databases too.
 */
export async function feedSettled({ db }: Pick<TestApp, 'db'>): Promise<void> {
  const { rows } = await sql<{ now: string }>`select pg_current_xact_id()::text as now`.execute(db)
  const now = rows[0]?.now ?? ''
  for (let attempt = 0; attempt < 6_000; attempt++) {
    const { rows } = await sql<{ ended: boolean }>`
      select pg_snapshot_xmin(pg_current_snapshot()) > ${now}::xid8 as ended`.execute(db)
    if (rows[0]?.ended === true) return
    await setTimeout(10)
  }
  throw new Error('a transaction elsewhere on the server has been open for more than a minute')
}
