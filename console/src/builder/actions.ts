import type { components } from '../api/schema.d.ts'
import { isPlainObject, type SafeSchema } from '../forms/schema.ts'

export type Action = components['schemas']['RegistryAction']

/** Whose an action is, as a step names it. */
export function ownerOf({ plugin }: Action): string {
  return plugin ?? 'platform'
}

/** The action that a step names: by its plugin, or the usual one of the name. */
export function actionOf(
  actions: readonly Action[],
  members: Readonly<Record<string, unknown>>,
): Action | undefined {
  const name = members['action_type'] ?? members['action_id']
  const plugin = members['plugin_id']
  const named = actions.filter(
    ({ action_type, aliases }) => action_type === name || aliases.includes(String(name)),
  )
  if (plugin === undefined) return named.find(({ is_default: isDefault }) => isDefault) ?? named[0]
  return named.find((each) => each.plugin_id === plugin || ownerOf(each) === plugin)
}

const ANYTHING: SafeSchema = { type: ['string', 'number', 'boolean'] }

/** What an action is given, as a schema: by its own, with the fields that it names beside it. */
export function inputSchemaOf(action: Action): SafeSchema {
  const declared = (action.input_schema ?? {}) as SafeSchema
  const names = [...action.required_fields, ...action.optional_fields]
  const named = Object.fromEntries(names.map((name) => [name, declared.properties?.[name] ?? ANYTHING]))
  return {
    type: 'object',
    properties: { ...named, ...(isPlainObject(declared.properties) && declared.properties) },
    required: [...new Set([...action.required_fields, ...(declared.required ?? [])])],
  }
}

/** Where a step may say what it gives its action. */
export const INPUTS = ['payload_template', 'input', 'config']

/** What a step gives its action, in so far as another action takes it as well. */
export function inputFor(
  action: Action,
  members: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const given = INPUTS.map((name) => members[name]).find(isPlainObject) ?? {}
  const taken = inputSchemaOf(action).properties ?? {}
  return Object.fromEntries(Object.entries(given).filter(([name]) => Object.hasOwn(taken, name)))
}
