import { isDeepStrictEqual } from 'node:util'
import type { Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { raiseSubscriptionsVersion } from '#infra/tenant-versions.ts'
import type { SafeSchema } from '#lib/schema/safe/index.ts'
import { deletePluginSegments, loadSegments } from '../segments/repository.ts'
import { segmentOf } from '../segments/segments.ts'
import { claimFree } from '../segments/service.ts'
import { deleteSeenTypes } from './seen-repository.ts'
import { deletePluginTypes, selectOthersTypes, selectPluginTypes, upsertPluginTypes } from './repository.ts'
import { MAX_TYPES } from './service.ts'

/** An event type that a plugin declares in its manifest. */
export interface PluginType {
  name: string
  description: string
  schema: SafeSchema | null
}

export interface PluginTypesChange {
  /** Something is different now. */
  changed: boolean
  /** Why they cannot be the plugin's, and then the caller rolls its transaction back; null: they are. */
  refusal: string | null
}

/**
 * Makes these the plugin's event types, which its key may publish: new ones come, others go. Events that are
 * stored stay. What begins as the platform's, the shop's or another plugin's types do remains theirs: a plugin may offer
 * what they start, but not publish them. First segments that are nobody's it claims by declaring.
 */
export async function replacePluginTypes(
  trx: Transaction<DB>,
  actor: Actor,
  owner: { tenantId: string; pluginId: string },
  types: readonly PluginType[],
): Promise<PluginTypesChange> {
  const { tenantId, pluginId } = owner
  const before = await selectPluginTypes(trx, owner)
  const segments = await loadSegments(trx, tenantId)
  const names = types.map(({ name }) => segmentOf(name))
  const claimable = new Set(segments.claimable(pluginId, names))
  const isOpen = ({ name }: PluginType): boolean =>
    claimable.has(segmentOf(name)) || segments.isSpokenBy(name, pluginId)
  if (isDeepStrictEqual(byName(before), byName(await withoutOthers(trx, owner, types.filter(isOpen))))) {
    return { changed: false, refusal: null }
  }
  // It locks the tenant's types: only from here on is it certain whose they are.
  await raiseSubscriptionsVersion(trx, owner.tenantId)
  const claimed = await claimFree(trx, actor, owner, names)
  const own = await withoutOthers(
    trx,
    owner,
    types.filter(({ name }) => claimed.has(segmentOf(name))),
  )
  const others = await selectOthersTypes(trx, owner.tenantId, owner.pluginId)
  if (others.length + own.length > MAX_TYPES) {
    return { changed: true, refusal: `makes more than the ${MAX_TYPES} event types that a tenant may have` }
  }
  await deletePluginTypes(
    trx,
    owner.tenantId,
    owner.pluginId,
    own.map(({ name }) => name),
  )
  if (own.length > 0) await upsertPluginTypes(trx, owner, own)
  await deleteSeenTypes(
    trx,
    owner.tenantId,
    own.map(({ name }) => name),
  )
  return { changed: true, refusal: null }
}

async function withoutOthers(
  trx: Transaction<DB>,
  { tenantId, pluginId }: { tenantId: string; pluginId: string },
  types: readonly PluginType[],
): Promise<PluginType[]> {
  const others = new Set((await selectOthersTypes(trx, tenantId, pluginId)).map(({ name }) => name))
  return types.filter(({ name }) => !others.has(name))
}

function byName(types: readonly PluginType[]): Map<string, PluginType> {
  return new Map(types.map((type) => [type.name, type]))
}

/** For a plugin that is deleted, with its claims. Intake has to be told by the caller, who raises the tenant's version. */
export async function removePluginTypes(
  trx: Transaction<DB>,
  tenantId: string,
  pluginId: string,
): Promise<void> {
  await deletePluginTypes(trx, tenantId, pluginId, [])
  await deletePluginSegments(trx, tenantId, pluginId)
}
