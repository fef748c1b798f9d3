import { actionReferences, bodyList, type FlowCatalogue, stepReferences } from '#lib/flow/index.ts'
import { PLATFORM } from '#lib/flow/resolve-action.ts'
import { isUuid } from '#lib/ids.ts'
import { type Definition, isObject, summariseTriggers } from '../definition/definition.ts'

type Members = Record<string, unknown>

/** Lists what a flow needs of the tenant that it is to run in. */
export interface Requirements {
  plugins: string[]
  /** `plugin_id` null: whose the action's name is. */
  actions: { plugin_id: string | null; action_type: string }[]
  event_types: string[]
  /** By which steps ask, and webhooks are verified; their values are in no export. */
  connections: string[]
}

/** Reads what it can: a draft may be wrong. */
export function requirementsOf(definition: Definition): Requirements {
  const { value } = definition
  const plugins = pluginHolders(value).map(({ plugin_id }) => plugin_id as string)
  const started = summariseTriggers(definition).flatMap(({ event_types = [] }) => event_types)
  const awaited = stepsOf(value).flatMap((step) => stepReferences(step).eventTypes)
  const { enrolment } = membersOf(innerOf(value)['settings'])
  const types = [...started, ...awaited, ...eventsIn(membersOf(enrolment)['cancel_on'])]
  return {
    plugins: distinct(plugins).filter((ref) => ref !== PLATFORM),
    actions: actionReferences(value).map(({ actionType, pluginRef }) => ({
      plugin_id: pluginRef,
      action_type: actionType,
    })),
    event_types: distinct(types.filter((type) => typeof type === 'string')),
    connections: connectionsOf(value),
  }
}

/** Names of the connections that a definition's steps ask by, and its webhook triggers verify by. */
export function connectionsOf(definition: Members): string[] {
  const ofSteps = stepsOf(definition).flatMap((step) => stepReferences(step).connections)
  const ofTriggers = triggersOf(definition).map(({ verify }) => membersOf(verify)['connection'])
  const names = [...ofSteps, ...ofTriggers]
  return distinct(names.filter((name) => typeof name === 'string'))
}

/**
 * Lists those that the tenant does not meet. A lenient one needs no declaration of event types: there the compiler warns of names
 * that it does not know, and nothing keeps the flow from being published.
 */
export function missingOf(requirements: Requirements, catalogue: FlowCatalogue): Requirements {
  return {
    plugins: requirements.plugins.filter((ref) => catalogue.resolvePlugin(ref)?.active !== true),
    actions: requirements.actions.filter(
      ({ plugin_id, action_type }) => 'problem' in catalogue.resolveAction(action_type, plugin_id),
    ),
    event_types: catalogue.strictEvents
      ? requirements.event_types.filter((type) => !catalogue.eventTypes.has(type))
      : [],
    connections: requirements.connections.filter((name) => catalogue.connections?.has(name) !== true),
  }
}

/** Writes slugs in place of plugins' ids, which are of one tenant alone, and leaves the tenant out. Changes its argument. */
export function makePortable(definition: Members, slugOf: (pluginId: string) => string | undefined): void {
  for (const holder of pluginHolders(definition)) {
    const ref = holder['plugin_id'] as string
    if (isUuid(ref)) holder['plugin_id'] = slugOf(ref) ?? ref
  }
  delete definition['tenant_id']
  delete definition['id']
}

/** Lists everything that names a plugin: triggers, and steps as their types say. */
function pluginHolders(definition: Members): Members[] {
  const ofSteps = stepsOf(definition).flatMap((step) => stepReferences(step).pluginHolders)
  return [...triggersOf(definition), ...ofSteps.filter(isObject)].filter(
    ({ plugin_id }) => typeof plugin_id === 'string',
  )
}

function triggersOf({ trigger, triggers }: Members): Members[] {
  return [trigger, ...listOf(triggers)].filter(isObject)
}

/** Lists steps, those in the bodies of loops, and handlers, in either format. */
function stepsOf(definition: Members): Members[] {
  const { steps, error_handlers: handlers } = innerOf(definition)
  const outer = [...listOf(steps), ...listOf(handlers)].filter(isObject)
  return [...outer, ...outer.flatMap((step) => bodyList(step) ?? []).filter(isObject)]
}

function eventsIn(matches: unknown): unknown[] {
  return listOf(matches)
    .filter(isObject)
    .map(({ event }) => event)
}

function innerOf(definition: Members): Members {
  const { flow_definition: inner } = definition
  return isObject(inner) ? inner : definition
}

function membersOf(value: unknown): Members {
  return isObject(value) ? value : {}
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? (value as unknown[]) : []
}

function distinct(texts: readonly string[]): string[] {
  return [...new Set(texts)].sort()
}
