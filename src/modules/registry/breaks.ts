import { type Static, Type } from '@sinclair/typebox'
import type { Actor } from '#infra/auth/auth.ts'
import { Nullable, StringEnum } from '#lib/api/schema.ts'
import type { StoredAction } from './action.ts'
import type { ActionIndex } from './action-index.ts'

export const FLOWS_THAT_NAME_IT = Type.Array(
  Type.Object({
    id: Type.String({ format: 'uuid' }),
    name: Nullable(Type.String({ description: "Null for a plugin's own key" })),
    status: StringEnum(['draft', 'active', 'inactive', 'paused']),
  }),
  { description: 'Flows that name the action, as drafts or as published' },
)

export const ActionBreak = Type.Object(
  {
    action_type: Type.String(),
    missing_fields: Type.Array(Type.String(), {
      description:
        'Fields that it requires now and did not before, and that these flows leave out; empty: it is gone',
    }),
    flows: FLOWS_THAT_NAME_IT,
  },
  { $id: 'ActionBreak', description: 'An action that is gone or requires more, and who counts on it' },
)
export type ActionBreak = Static<typeof ActionBreak>

/** An action that is gone or requires more, by the names under which flows may have asked for it. */
export interface BrokenAction {
  actionType: string
  /** UUID and slug of its plugin; null among them: it is, or was, the one that is meant where no plugin is named. */
  pluginRefs: readonly (string | null)[]
  /** The fields that it requires now; empty: it is gone. */
  needs: readonly string[]
}

/** Fields that an action requires, and did not before. */
export interface NewNeeds {
  actionType: string
  fields: string[]
}

/** Finds the users of actions; an action that nobody uses, or that gets all that it needs, is left out. */
export type UsageLookup = (tenantId: string, broken: readonly BrokenAction[]) => Promise<ActionBreak[]>

/** Finds what breaks when the plugin no longer has these actions, or when they require more. */
export type BreaksOf = (
  tenantId: string,
  plugin: { id: string; slug: string },
  change: { removed: readonly string[]; needs: readonly NewNeeds[] },
) => Promise<ActionBreak[]>

/** Lists the new requirements of actions that were there before and are there now. */
export function newNeeds(
  before: readonly Pick<StoredAction, 'action_type' | 'required_fields' | 'input_schema'>[],
  after: readonly Pick<StoredAction, 'action_type' | 'required_fields' | 'input_schema'>[],
): NewNeeds[] {
  const earlier = new Map(before.map((action) => [action.action_type, new Set(requiredOf(action))]))
  return after.flatMap((action) => {
    const known = earlier.get(action.action_type)
    const fields = known === undefined ? [] : requiredOf(action).filter((field) => !known.has(field))
    return fields.length === 0 ? [] : [{ actionType: action.action_type, fields }]
  })
}

function requiredOf({
  required_fields: fields,
  input_schema: schema,
}: Pick<StoredAction, 'required_fields' | 'input_schema'>): string[] {
  return [...new Set([...fields, ...(schema?.required ?? [])])]
}

/** Those of a plugin that it has no longer, or that require more. */
export function brokenActions(
  { all }: Pick<ActionIndex, 'all'>,
  plugin: { id: string; slug: string },
  { removed, needs }: Parameters<BreaksOf>[2],
): BrokenAction[] {
  const broken = (actionType: string, fields: readonly string[]): BrokenAction[] => {
    const owners = all.filter((action) => action.action_type === actionType)
    const own = owners.find((action) => action.plugin_id === plugin.id)
    if ((own === undefined) !== (fields.length === 0)) return []
    const isMeant = own === undefined ? owners.length === 0 : own.is_default
    const pluginRefs = [plugin.id, plugin.slug, ...(isMeant ? [null] : [])]
    return [{ actionType, pluginRefs, needs: fields }]
  }
  return [
    ...removed.flatMap((actionType) => broken(actionType, [])),
    ...needs.flatMap(({ actionType, fields }) => broken(actionType, fields)),
  ]
}

/** A plugin is told that flows count on it, not what a shop calls them. */
export function breaksFor(
  { pluginId }: Pick<Actor, 'pluginId'>,
  breaks: readonly ActionBreak[],
): ActionBreak[] {
  if (pluginId === null) return [...breaks]
  return breaks.map(({ flows, ...rest }) => ({
    ...rest,
    flows: flows.map((flow) => ({ ...flow, name: null })),
  }))
}
