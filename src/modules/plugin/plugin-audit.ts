import type { Kysely, Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { audit } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'

type PluginAction =
  | 'plugin.created'
  | 'plugin.updated'
  | 'plugin.paused'
  | 'plugin.resumed'
  | 'plugin.secret_rotated'
  | 'plugin.deleted'
  | 'plugin.tested'

export async function auditPlugin(
  trx: Kysely<DB> | Transaction<DB>,
  actor: Actor,
  action: PluginAction,
  plugin: { tenant_id: string; id: string; slug: string },
  detail: Record<string, unknown> = {},
): Promise<void> {
  await audit(trx, actor, {
    tenantId: plugin.tenant_id,
    action,
    targetKind: 'plugin',
    targetId: plugin.id,
    detail: { slug: plugin.slug, ...detail },
  })
}
