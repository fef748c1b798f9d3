import type { Transaction } from 'kysely'
import type { DB } from '../../../db/schema.ts'
import type { SafeSchema } from '../../lib/safe-schema.ts'
import { CATALOGUE } from './catalogue/index.ts'
import { deleteSeenTypes } from './seen-repository.ts'
import { deletePluginTypes, raiseVersion, selectOthersTypes, upsertPluginTypes } from './type-repository.ts'
import { MAX_TYPES } from './type-service.ts'

/** An event type that a plugin declares in its manifest. */
export interface PluginType {
  name: string
  description: string
  schema: SafeSchema | null
}

/** Why a plugin may not declare a type; `name` null: why it may not declare so many. */
export interface TypeRefusal {
  name: string | null
  detail: string
}

/**
 * Makes these the plugin's event types, which its key may publish: new ones come, others go. Events that are
 * stored stay.
 *
 * @returns why not, and then the caller rolls its transaction back
 */
export async function replacePluginTypes(
  trx: Transaction<DB>,
  owner: { tenantId: string; pluginId: string },
  types: readonly PluginType[],
): Promise<TypeRefusal[]> {
  const ofPlatform = types.filter(({ name }) => CATALOGUE.has(name))
  if (ofPlatform.length > 0) {
    return ofPlatform.map(({ name }) => ({
      name,
      detail: 'is an event type of the platform: choose another name',
    }))
  }
  await raiseVersion(trx, owner.tenantId)
  const others = new Map(
    (await selectOthersTypes(trx, owner.tenantId, owner.pluginId)).map((type) => [type.name, type]),
  )
  const refusals = types.flatMap(({ name }) => {
    const other = others.get(name)
    if (other === undefined) return []
    const whose = other.plugin_id === null ? 'the shop itself' : 'another plugin'
    return [{ name, detail: `is an event type that ${whose} has declared: choose another name` }]
  })
  if (refusals.length > 0) return refusals
  if (others.size + types.length > MAX_TYPES) {
    return [{ name: null, detail: `makes more than the ${MAX_TYPES} event types that a tenant may have` }]
  }
  await deletePluginTypes(
    trx,
    owner.tenantId,
    owner.pluginId,
    types.map(({ name }) => name),
  )
  if (types.length > 0) await upsertPluginTypes(trx, owner, types)
  await deleteSeenTypes(
    trx,
    owner.tenantId,
    types.map(({ name }) => name),
  )
  return []
}

/** For a plugin that is deleted. Intake has to be told by the caller, who raises the tenant's version. */
export async function removePluginTypes(
  trx: Transaction<DB>,
  tenantId: string,
  pluginId: string,
): Promise<void> {
  await deletePluginTypes(trx, tenantId, pluginId, [])
}
