import type { Kysely } from 'kysely'
import type { DB } from '../../db/schema.ts'
import { newId } from '../../src/lib/ids.ts'
import type { StoredAction } from '../../src/modules/registry/index.ts'

const PLUGINS_AT_ONCE = 200

/** Fills a tenant, which is there, with plugins that have registered actions of a usual size (about 600 bytes). */
export async function seedRegistry(
  db: Kysely<DB>,
  tenantId: string,
  { plugins = 1_000, actions = 10 }: { plugins?: number; actions?: number } = {},
): Promise<void> {
  for (let first = 0; first < plugins; first += PLUGINS_AT_ONCE) {
    const numbers = Array.from({ length: Math.min(PLUGINS_AT_ONCE, plugins - first) }, (_, at) => first + at)
    const rows = numbers.map((number) => ({ number, id: newId() }))
    await db.transaction().execute(async (trx) => {
      await trx
        .insertInto('plugins')
        .values(
          rows.map(({ number, id }) => ({
            id,
            tenant_id: tenantId,
            slug: `plugin-${number}`,
            name: `Plugin ${number}`,
            webhook_url: `https://plugin-${number}.example/hooks`,
            base_url: `https://plugin-${number}.example`,
            registered_actions: JSON.stringify(
              Array.from({ length: actions }, (_, at) => actionOf(number, at)),
            ),
          })),
        )
        .execute()
      await trx
        .insertInto('delivery_lanes')
        .values(rows.map(({ id }) => ({ plugin_id: id, tenant_id: tenantId })))
        .execute()
    })
  }
  await db
    .updateTable('tenants')
    .set((eb) => ({ actions_version: eb('actions_version', '+', 1) }))
    .where('id', '=', tenantId)
    .execute()
}

function actionOf(plugin: number, at: number): StoredAction {
  return {
    action_type: `plugin_${plugin}_action_${at}`,
    title: `Action ${at} of plugin ${plugin}`,
    description: `Does the thing number ${at} that plugin ${plugin} is there for, as its author describes it.`,
    category: ['email', 'crm', 'loyalty', 'shipping', 'support'][at % 5] ?? 'other',
    required_fields: ['customer_id', 'amount'],
    optional_fields: ['note'],
    input_schema: {
      type: 'object',
      properties: {
        customer_id: { type: 'string', minLength: 1 },
        amount: { type: 'integer', minimum: 1 },
        note: { type: 'string', maxLength: 200 },
      },
      required: ['customer_id', 'amount'],
    },
    output_schema: { type: 'object', properties: { id: { type: 'string' } } },
    endpoint: `/actions/${at}`,
    method: 'POST',
    timeout_ms: null,
    idempotent: false,
    origin: 'registered',
  }
}
