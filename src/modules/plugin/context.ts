import type { Kysely, Transaction } from 'kysely'
import { isLockNotAvailable } from '#db/errors.ts'
import { retryOnConflict } from '#db/retry.ts'
import type { DB } from '#db/schema.ts'
import { type Actor, forbidden } from '#infra/auth/auth.ts'
import { hasScope } from '#infra/auth/scopes.ts'
import type { Changes } from '#infra/changes.ts'
import type { Egress } from '#infra/egress/index.ts'
import { overloaded } from '#infra/http/problems.ts'
import type { Signals } from '#infra/signals.ts'
import type { SecretBox } from '#lib/secrets/secret-box.ts'
import type { DeliveryService } from '#modules/webhook-delivery/index.ts'
import { pluginNotFound } from './errors.ts'
import type { PluginRow } from './repository.ts'
import { type Changes as Wanted, forAdmins } from './settings/settings.ts'
import type { Defaults } from './settings/field-kinds.ts'

/** The context of the module's services. */
export interface PluginContext {
  db: Kysely<DB>
  secretBox: SecretBox
  signals: Pick<Signals, 'publish'>
  changes: Pick<Changes, 'tell'>
  egress: Pick<Egress, 'check'>
  deliveries: Pick<DeliveryService, 'sendTest'>
  /** The settings of plugins that have none of their own. */
  defaults: Defaults
}

/** Tells workers, and whoever looks at the shop, that a plugin has changed. */
export function announceChange(ctx: PluginContext, tenantId: string, id: string): void {
  ctx.signals.publish('plugin_changed', [id])
  ctx.changes.tell(tenantId, 'plugins')
}

const ATTEMPTS = 3

/**
 * Runs it again when it met another transaction head-on: delivery workers write to the same rows.
 * @throws `overloaded` when a row stays locked for longer than a request waits
 */
export async function transact<T>(
  ctx: PluginContext,
  work: (trx: Transaction<DB>) => Promise<T>,
): Promise<T> {
  try {
    return await retryOnConflict(ATTEMPTS, () => ctx.db.transaction().execute(work))
  } catch (error) {
    if (isLockNotAvailable(error)) throw overloaded(undefined, { cause: error })
    throw error
  }
}

/**
 * The plugin, if there is one that the actor may know of. A plugin's key is remembered by its slug for some
 * seconds after it was revoked, and the slug may be another plugin's by then.
 * @throws `plugin_not_found`
 */
export function found(row: PluginRow | undefined, actor: Actor): PluginRow {
  if (row === undefined || (actor.pluginId !== null && actor.pluginId !== row.id)) throw pluginNotFound()
  return row
}

/**
 * Only who may rotate secrets gives those that requests are sent by.
 * @throws `forbidden`
 */
export function refuseBeyondRole(actor: Actor, changes: Wanted): void {
  const [first] = isAdmin(actor) ? [] : forAdmins(changes)
  if (first !== undefined) throw forbidden(`Only a key of role admin changes ${first}: leave it out.`)
}

/** True if the actor may read what others see as "[redacted]": who may change it. */
export function mayReadSecrets(actor: Actor, pluginId: string): boolean {
  if (actor.pluginId !== null)
    return actor.pluginId === pluginId && hasScope(actor.scopes ?? [], 'self:manage')
  return isAdmin(actor)
}

/** No plugin's key is an admin's, whatever its scopes. */
export function isAdmin({ pluginId, role }: Actor): boolean {
  return pluginId === null && (role === 'admin' || role === 'platform')
}
