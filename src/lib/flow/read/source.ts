import { isPlainObject } from '#lib/schema/safe/shape.ts'
import type { Path, ProblemList } from '../problems.ts'
import type { FlowFormat } from '../elements.ts'

/** A member of the definition, and its place in it. */
export interface Part {
  value: unknown
  path: Path
}

/** The same parts, wherever each format keeps them. */
export interface FlowSource {
  triggers: Part[]
  /** Of the linear format's trigger_event. */
  triggerFilter: Part | null
  steps: Part[]
  handlers: Part[]
  start: Part | null
  variables: Part | null
  settings: Part | null
  layout: Part | null
}

const MAX_TRIGGERS = 10

/** Names beside the flow itself that creating and listing flows know. */
const ENVELOPE = ['id', 'name', 'description', 'status', 'tenant_id', 'tags', 'metadata', 'schema_version']
const FLOW = ['steps', 'start', 'error_handlers', 'variables', 'settings', 'layout']
const TRIGGERS = ['trigger', 'triggers']

/** Tells the two ways of writing a flow apart: the caller may default `status` by it. */
export function definitionFormat(definition: unknown): FlowFormat {
  if (!isPlainObject(definition)) return 'graph'
  return Object.hasOwn(definition, 'flow_definition') || Object.hasOwn(definition, 'trigger_event')
    ? 'linear'
    : 'graph'
}

/** Finds the parts, or reports that there is nothing to find. */
export function readSource(definition: unknown, problems: ProblemList): FlowSource | null {
  if (!isPlainObject(definition)) {
    problems.report('malformed', [], 'Send an object with a trigger and steps.', null)
    return null
  }
  const isLinear = definitionFormat(definition) === 'linear'
  const inner = isLinear ? definition['flow_definition'] : definition
  const base: Path = isLinear ? ['flow_definition'] : []
  if (isLinear) {
    reportUnknown(
      definition,
      [],
      [...ENVELOPE, ...TRIGGERS, 'trigger_event', 'trigger_filter', 'flow_definition'],
      problems,
    )
  }
  if (!isPlainObject(inner)) {
    problems.report('malformed', base, 'Give "flow_definition" an object with "steps".', null)
    return null
  }
  reportUnknown(inner, base, isLinear ? FLOW : [...ENVELOPE, ...TRIGGERS, ...FLOW], problems)

  const steps = listOf(inner, base, 'steps', problems)
  if (steps.length === 0 && !problems.hasErrors) {
    problems.report('no_steps', [...base, 'steps'], 'Add a step.', null)
  }
  return {
    triggers: readTriggers(definition, isLinear, problems),
    triggerFilter: isLinear ? partOf(definition, [], 'trigger_filter') : null,
    steps,
    handlers: listOf(inner, base, 'error_handlers', problems),
    start: partOf(inner, base, 'start'),
    variables: partOf(inner, base, 'variables'),
    settings: partOf(inner, base, 'settings'),
    layout: partOf(inner, base, 'layout'),
  }
}

/** Reports names that mean nothing, with the known ones. */
export function reportUnknown(
  members: Record<string, unknown>,
  path: Path,
  known: readonly string[],
  problems: ProblemList,
  stepId: string | null = null,
): void {
  for (const name in members) {
    if (problems.isFull) return
    if (known.includes(name)) continue
    const message = `"${name.slice(0, 64)}" has no meaning here: remove it, or use one of ${known.join(', ')}.`
    problems.report('unknown_property', [...path, name], message, stepId)
  }
}

function readTriggers(definition: Record<string, unknown>, isLinear: boolean, problems: ProblemList): Part[] {
  const triggers = listOf(definition, [], 'triggers', problems)
  const single = partOf(definition, [], 'trigger')
  if (single) triggers.unshift(single)
  const event = isLinear ? partOf(definition, [], 'trigger_event') : null
  if (event) triggers.unshift(event)
  if (triggers.length === 0) {
    const example = isLinear
      ? '"trigger_event": "customer.created"'
      : '"trigger": { "type": "event", "event_types": ["customer.created"] }'
    problems.report('no_trigger', [], `Say what starts the flow: ${example}.`, null)
  }
  if (triggers.length > MAX_TRIGGERS) {
    problems.report('too_large', ['triggers'], `Use at most ${MAX_TRIGGERS} triggers.`, null)
  }
  return triggers.slice(0, MAX_TRIGGERS)
}

function listOf(members: Record<string, unknown>, path: Path, name: string, problems: ProblemList): Part[] {
  const part = partOf(members, path, name)
  if (part === null) return []
  if (!Array.isArray(part.value)) {
    problems.report('malformed', part.path, `Give "${name}" a list.`, null)
    return []
  }
  return part.value.map((value: unknown, index) => ({ value, path: [...part.path, index] }))
}

/** Null stands for a member that was left out. */
function partOf(members: Record<string, unknown>, path: Path, name: string): Part | null {
  const value = Object.hasOwn(members, name) ? members[name] : undefined
  return value === undefined || value === null ? null : { value, path: [...path, name] }
}
