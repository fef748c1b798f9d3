import type { SafeSchema } from '#lib/schema/safe/index.ts'
import { isPlainObject } from '#lib/schema/safe/shape.ts'
import type { ActionResolution, CatalogueAction } from '#lib/flow/catalogue.ts'
import { checkPayload } from '../payload-types.ts'
import { PLATFORM } from '../plugin-ref.ts'
import type { Path } from '#lib/flow/problems.ts'
import type { Reader } from '../reader.ts'
import { at, has, report, take } from '../reader.ts'
import { readTree } from '../template.ts'
import { lookUp } from '#lib/flow/schemas.ts'
import type { ActionConfig } from '#lib/flow/types.ts'

/** The linear format's name for the input first, then the graph's. */
export const INPUT_NAMES = ['payload_template', 'input', 'config'] as const
/** A name that a path may have as it is. */
const MEMBER = /^[A-Za-z][A-Za-z0-9_]*$/

/** Reads an action, whose input is compared with what the action takes once all steps are known. */
export function readAction(reader: Reader): ActionConfig | null {
  const name = has(reader, 'action_type') ? 'action_type' : 'action_id'
  const actionType = take(reader, name)
  const input = readInput(reader)
  const pluginRef = take(reader, 'plugin_id')
  const action = resolveNamed(
    reader,
    { name, actionType, pluginRef },
    'Add "action_type", such as "send_email".',
  )
  if (action === null) return null
  if (action.output_schema && reader.stepId !== null) {
    reader.compilation.schemas.steps.set(reader.stepId, action.output_schema)
  }
  reader.compilation.typeChecks.push(() => {
    checkInput(reader, action, input.value, input.path)
  })
  return { action_type: action.action_type, plugin_id: action.plugin_id ?? PLATFORM, input: input.value }
}

/** What a step names its action by, as it was given: `name` is the member that does. */
interface NamedAction {
  name: 'action_type' | 'action_id'
  actionType: unknown
  pluginRef: unknown
}

/** The action of that name; null when there is none, which is reported. @param hint what to do without a name */
export function resolveNamed(
  reader: Reader,
  { name, actionType, pluginRef }: NamedAction,
  hint: string,
): CatalogueAction | null {
  if (typeof actionType !== 'string' || actionType === '') {
    report(reader, 'missing_property', at(reader, name), hint)
    return null
  }
  if (pluginRef !== undefined && typeof pluginRef !== 'string') {
    const message = 'Give "plugin_id" the slug or UUID of a plugin, or "platform".'
    report(reader, 'unknown_plugin', at(reader, 'plugin_id'), message)
    return null
  }
  const resolution = reader.compilation.catalogue.resolveAction(actionType, pluginRef ?? null)
  if (!('problem' in resolution)) return resolution.action
  reportUnresolved(reader, resolution, at(reader, name))
  return null
}

function readInput(reader: Reader): { value: Record<string, unknown>; path: Path } {
  const given = INPUT_NAMES.filter((name) => has(reader, name))
  const name = given[0] ?? 'input'
  const path = at(reader, name)
  if (given.length > 1) {
    report(reader, 'malformed', path, `Give the input once, not as ${given.join(' and ')}.`)
  }
  const value = take(reader, name) ?? {}
  if (!isPlainObject(value)) {
    report(reader, 'malformed', path, `Give "${name}" an object.`)
    return { value: {}, path }
  }
  readTree(reader, value, path)
  // What is filled in belongs to the compiled flow, not to the definition.
  return { value: { ...value }, path }
}

/** Reports that the catalogue has no such action; `path` is of its name. */
function reportUnresolved(
  reader: Reader,
  { problem, message, candidates }: Extract<ActionResolution, { problem: string }>,
  path: Path,
): void {
  const isAboutPlugin = problem === 'unknown_plugin' || problem === 'plugin_inactive'
  const advice = candidates?.length ? ` There are: ${candidates.slice(0, 10).join(', ')}.` : ''
  report(reader, problem, isAboutPlugin ? at(reader, 'plugin_id') : path, `${message}${advice}`)
}

function checkInput(
  reader: Reader,
  action: CatalogueAction,
  input: Record<string, unknown>,
  path: Path,
): void {
  if (action.plugin_id !== null) fillFromTrigger(reader, action, input, path)
  const required = new Set(action.required_fields)
  if (action.plugin_id !== null) for (const name of action.input_schema?.required ?? []) required.delete(name)
  for (const name of required) {
    if (isGiven(input, name)) continue
    report(reader, 'missing_field', path, `Add "${name}": ${action.action_type} needs it.`)
  }
  if (action.input_schema) {
    if (action.plugin_id === null) checkByHint(reader, action, action.input_schema, input, path)
    else checkPayload(reader, action.input_schema, input, path)
    return
  }
  const known = [...action.required_fields, ...action.optional_fields]
  if (known.length === 0) return
  for (const name of Object.keys(input)) {
    if (known.includes(name)) continue
    const message = `${action.action_type} has no field "${name.slice(0, 64)}": it takes ${known.join(', ')}.`
    report(reader, 'unknown_field', [...path, name], message)
  }
}

/** Judges the input of a platform action: what its path takes has to be good, all else the platform decides. */
export function checkByHint(
  reader: Reader,
  { required_fields: pathFields }: CatalogueAction,
  schema: SafeSchema,
  input: Record<string, unknown>,
  path: Path,
): void {
  const properties = { ...schema.properties }
  for (const name of pathFields) {
    const property = Object.hasOwn(properties, name) ? properties[name] : undefined
    if (property && isGiven(input, name)) checkPayload(reader, property, input[name], [...path, name])
    properties[name] = {}
  }
  const required = (schema.required ?? []).filter((name) => !pathFields.includes(name))
  checkPayload(reader, { ...schema, properties, required }, input, path, 'hint')
}

/**
 * Gives a plugin's action a required field that the step leaves out from the trigger's member of that name, if every
 * way of starting the flow declares it: a builder's welcome email says neither whom it is about nor where it goes.
 * What is filled in is part of the compiled flow and is reported, so that nothing is sent that nobody could see.
 */
function fillFromTrigger(
  reader: Reader,
  action: CatalogueAction,
  input: Record<string, unknown>,
  path: Path,
): void {
  const { trigger } = reader.compilation.schemas
  if (trigger.length === 0) return
  for (const name of new Set([...action.required_fields, ...(action.input_schema?.required ?? [])])) {
    if (Object.hasOwn(input, name) || !MEMBER.test(name)) continue
    if (!trigger.every((schema) => 'found' in lookUp(schema, [name]))) continue
    input[name] = `{{trigger.${name}}}`
    const message = `${action.action_type} needs "${name}", and gets {{trigger.${name}}}: give it a value of its own if that is another.`
    report(reader, 'field_from_trigger', path, message)
  }
}

function isGiven(input: Record<string, unknown>, name: string): boolean {
  const value = Object.hasOwn(input, name) ? input[name] : undefined
  return value !== undefined && value !== null && value !== ''
}
