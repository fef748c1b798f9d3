import { isPlainObject } from '#lib/schema/safe/shape.ts'
import type { CatalogueAction } from '../catalogue.ts'
import type { ActionConfig, StepBase } from '../elements.ts'
import type { Path } from '../problems.ts'
import { checkByHint, isGiven, resolveNamed } from '../read/named-action.ts'
import { checkPayload } from '../read/payload-types.ts'
import { PLATFORM } from '../resolve-action.ts'
import type { Reader } from '../read/reader.ts'
import { at, has, report, take } from '../read/reader.ts'
import { readTree } from '../read/template.ts'
import { lookUp } from '../schemas.ts'
import { NO_REFERENCES, type DefinitionOf, USUAL } from './definition.ts'
import { ACTION_NAME } from './member-schemas.ts'

export type ActionStep = StepBase<'action', ActionConfig, 'success' | 'error'>

/** The linear format's name for the input first, then the graph's. */
const INPUT_NAMES = ['payload_template', 'input', 'config'] as const
/** The fields in which an action of the platform takes what it says: one of them is enough. */
const SAYS_IN: Readonly<Record<string, readonly string[]>> = {
  send_email: ['text', 'html', 'body', 'template'],
}
/** A name that a path may have as it is. */
const MEMBER = /^[A-Za-z][A-Za-z0-9_]*$/

export const actionStep: DefinitionOf<ActionStep> = {
  ...USUAL,
  since: 1,
  schema: {
    description: 'Has the platform or a plugin do something.',
    properties: {
      ...ACTION_NAME,
      config: { type: 'object', description: 'What the action is given; templates may stand in it.' },
      input: { type: 'object', description: 'Another name for `config`.' },
      payload_template: { type: 'object', description: 'The linear format’s name for `config`.' },
    },
    examples: [
      {
        type: 'action',
        plugin_id: 'platform',
        action_id: 'create_task',
        config: { title: 'Call {{trigger.name}}' },
      },
      { type: 'action', action_type: 'create_task', input: { title: 'Call {{trigger.name}}' } },
    ],
  },
  linear: {
    type: 'action',
    action_type: 'create_task',
    payload_template: { title: 'Call {{trigger.name}}' },
  },
  read: readAction,
  output: () => ({}),
  ports: () => ['success', 'error'],
  goesOn: ['success'],
  calls: true,
  causes: 'by_action',
  actionOf: (config) => config,
  references: (members) => ({
    ...NO_REFERENCES,
    action: {
      actionType: members['action_type'] ?? members['action_id'],
      pluginRef: members['plugin_id'] ?? null,
      fields: fieldsOf(members),
    },
    pluginHolders: [members],
  }),
}

function fieldsOf(members: Record<string, unknown>): readonly string[] {
  const input = INPUT_NAMES.map((name) => members[name] ?? null).find((given) => given !== null)
  return isPlainObject(input) ? Object.keys(input) : []
}

/** Reads an action, whose input is compared with its schema once all steps are known. */
function readAction(reader: Reader): ActionConfig | null {
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
  // Fields that are filled in belong to the compiled flow, not to the definition.
  return { value: { ...value }, path }
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
  if (action.plugin_id === null) reportNothingToSay(reader, action, input, path)
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

/** Reports an action of the platform that has something to say, and is given none of the fields for it. */
function reportNothingToSay(
  reader: Reader,
  action: CatalogueAction,
  input: Record<string, unknown>,
  path: Path,
): void {
  const fields = SAYS_IN[action.action_type]
  if (fields === undefined || fields.some((name) => isGiven(input, name))) return
  const [first = '', ...others] = fields
  const message = `Add "${first}": ${action.action_type} has nothing to say without it, or one of ${others.join(', ')}.`
  report(reader, 'missing_field', path, message, 'warning')
}

/**
 * Gives a plugin's action a required field that the step leaves out from the trigger's member of that name, if every
 * way of starting the flow declares it: a builder's welcome email says neither whom it is about nor where it goes.
 * The filled-in field is part of the compiled flow and is reported, so that nothing is sent that nobody could see.
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
