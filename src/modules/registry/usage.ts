import { type Static, Type } from '@sinclair/typebox'
import type { Actor } from '#infra/auth/auth.ts'
import { pluginNotFound } from '#modules/plugin/index.ts'
import { ref } from '#lib/api/schema.ts'
import type { ActionIndex } from './action-index.ts'
import { breaksFor, FLOWS_THAT_NAME_IT, type UsageLookup } from './breaks.ts'

export const ActionUsage = Type.Object(
  { action_type: Type.String(), flows: FLOWS_THAT_NAME_IT },
  { $id: 'ActionUsage' },
)

export const PluginUsage = Type.Object(
  { data: Type.Array(ref(ActionUsage), { description: 'Actions that no flow names are left out' }) },
  { $id: 'PluginUsage' },
)

/** Lists the flows that count on a plugin, by its actions. @throws `plugin_not_found` */
export async function findUsage(
  index: ActionIndex,
  lookUp: UsageLookup,
  { tenantId, actor }: { tenantId: string; actor: Pick<Actor, 'pluginId'> },
  slug: string,
): Promise<Static<typeof PluginUsage>> {
  const plugin = index.plugin(slug)
  const { pluginId } = actor
  if (plugin?.slug !== slug || (pluginId !== null && pluginId !== plugin.id)) throw pluginNotFound()
  const actions = [...plugin.byType.values()].map(({ action_type: actionType, is_default: isMeant }) => ({
    actionType,
    // A step that names no plugin means the one that has the name.
    pluginRefs: [plugin.id, plugin.slug, ...(isMeant ? [null] : [])],
    needs: [],
  }))
  const used = actions.length === 0 ? [] : await lookUp(tenantId, actions)
  const data = breaksFor(actor, used).map(({ action_type, flows }) => ({ action_type, flows }))
  return { data }
}
