import { type Static, Type } from '@sinclair/typebox'
import type { Actor } from '#infra/auth/auth.ts'
import { Nullable, StringEnum } from '#lib/api/schema.ts'
import type { ActionIndex } from './action-index.ts'

export const ActionBreak = Type.Object(
  {
    action_type: Type.String(),
    flows: Type.Array(
      Type.Object({
        id: Type.String({ format: 'uuid' }),
        name: Nullable(Type.String({ description: "Null for a plugin's own key" })),
        status: StringEnum(['draft', 'active', 'inactive', 'paused']),
      }),
      { description: 'Flows that name the action, as drafts or as published' },
    ),
  },
  { $id: 'ActionBreak', description: 'An action that is gone, and who counts on it' },
)
export type ActionBreak = Static<typeof ActionBreak>

/** An action that is gone, by the names under which flows may have asked for it. */
export interface GoneAction {
  actionType: string
  /** UUID and slug of its plugin; null among them: nobody else has the action. */
  pluginRefs: readonly (string | null)[]
}

/** Who uses actions; an action that nobody uses is left out. */
export type UsageLookup = (tenantId: string, gone: readonly GoneAction[]) => Promise<ActionBreak[]>

/** What it breaks that the plugin has these actions no longer; those that it still has break nothing. */
export type BreaksOf = (
  tenantId: string,
  plugin: { id: string; slug: string },
  removed: readonly string[],
) => Promise<ActionBreak[]>

/** Of these action types of a plugin, those that it has no longer. */
export function goneActions(
  { all }: Pick<ActionIndex, 'all'>,
  plugin: { id: string; slug: string },
  removed: readonly string[],
): GoneAction[] {
  return removed.flatMap((actionType) => {
    const owners = all.filter((action) => action.action_type === actionType)
    if (owners.some((action) => action.plugin_id === plugin.id)) return []
    return [{ actionType, pluginRefs: [plugin.id, plugin.slug, ...(owners.length === 0 ? [null] : [])] }]
  })
}

/** A plugin is told that flows count on it, not what a shop calls them. */
export function breaksFor(
  { pluginId }: Pick<Actor, 'pluginId'>,
  breaks: readonly ActionBreak[],
): ActionBreak[] {
  if (pluginId === null) return [...breaks]
  return breaks.map(({ action_type, flows }) => ({
    action_type,
    flows: flows.map((flow) => ({ ...flow, name: null })),
  }))
}
