import { isDeepStrictEqual } from 'node:util'
import { findOperator } from '#lib/condition/operators/index.ts'
import { parsePath } from '#lib/json/path.ts'
import type { FieldError } from '#lib/api/problem.ts'
import type { SafeSchema } from '#lib/schema/safe/index.ts'
import { CATALOGUE, type PluginType } from '#modules/event/index.ts'
import {
  type Difference,
  differenceOf,
  readActions,
  readSchema,
  type StoredAction,
} from '#modules/registry/index.ts'
import type { CapabilityManifest, VALUE_TYPES } from './schemas.ts'

/** A manifest as it is kept: checked, with everything written out. */
export interface Manifest {
  /** Null: an answer of /api/capabilities, which has none. */
  name: string | null
  slug: string | null
  version: string | null
  description: string
  /** In the plugin's own words; absent: it does not say. */
  health?: string
  last_updated?: string
  capabilities: { triggers: Trigger[]; actions: Action[]; conditions: Condition[] }
}

export interface Trigger {
  id: string
  name: string
  description: string
  event_types: string[]
  output_schema: SafeSchema | null
}

export interface Condition {
  id: string
  name: string
  description: string
  /** Null: each flow says in which field the value is. */
  path: string | null
  operators: string[]
  value_type: (typeof VALUE_TYPES)[number]
}

type Action = { id: string; name: string } & Omit<StoredAction, 'action_type' | 'title' | 'origin'>

export interface ReadManifest {
  manifest: Manifest
  actions: StoredAction[]
  errors: FieldError[]
}

const MAX_ERRORS = 20

/** Reads a manifest of the right shape: checks the rules that the shape cannot state, and points to faults. */
export function readManifest(input: CapabilityManifest, baseUrl: string): ReadManifest {
  const { lists, at, errors: formErrors } = listsOf(input)
  const { triggers = [], actions: declared = [], conditions = [] } = lists
  const { actions, errors: actionErrors } = readActions(
    declared.map(({ id, name, ...details }) => ({ action_type: id, title: name, ...details })),
    { origin: 'manifest', baseUrl, at: `${at}/actions`, nameField: 'id' },
  )
  const errors: FieldError[] = [...formErrors, ...actionErrors]
  const report = (pointer: string, detail: string): void => {
    errors.push({ pointer: `${at}${pointer}`, detail })
  }
  const manifest: Manifest = {
    name: input.name ?? null,
    slug: input.slug ?? null,
    version: input.version ?? null,
    description: input.description ?? '',
    ...(input.health !== undefined && { health: input.health }),
    ...(input.last_updated !== undefined && { last_updated: input.last_updated }),
    capabilities: {
      triggers: triggers.map((trigger, index) => ({
        id: trigger.id,
        name: trigger.name,
        description: trigger.description ?? '',
        event_types: trigger.event_types,
        output_schema: readSchema('output_schema', trigger.output_schema, (pointer, detail) =>
          report(`/triggers/${index}${pointer}`, detail),
        ),
      })),
      actions: actions.map(({ action_type, title, origin: _origin, ...details }) => ({
        id: action_type,
        name: title,
        ...details,
      })),
      conditions: conditions.map(({ description = '', path = null, ...condition }) => ({
        ...condition,
        path,
        description,
      })),
    },
  }
  checkTriggers(manifest.capabilities.triggers, report)
  checkConditions(manifest.capabilities.conditions, report)
  return { manifest, actions, errors: errors.slice(0, MAX_ERRORS) }
}

type Lists = NonNullable<CapabilityManifest['capabilities']>

/** The lists of either form, and where they stand: those of plugin.json below `capabilities`. */
function listsOf(input: CapabilityManifest): { lists: Lists; at: string; errors: FieldError[] } {
  const { capabilities, triggers, actions, conditions } = input
  const flat = {
    ...(triggers && { triggers }),
    ...(actions && { actions }),
    ...(conditions && { conditions }),
  }
  const [first] = Object.keys(flat)
  if (capabilities === undefined) {
    const detail = 'is missing: give triggers, actions and conditions in it'
    return { lists: flat, at: '', errors: first === undefined ? [{ pointer: '/capabilities', detail }] : [] }
  }
  const errors: FieldError[] = []
  if (input.name === undefined)
    errors.push({ pointer: '/name', detail: 'is missing: say what people call it' })
  if (first !== undefined)
    errors.push({ pointer: `/${first}`, detail: 'belongs into capabilities, where the others are' })
  return { lists: capabilities, at: '/capabilities', errors }
}

type Report = (pointer: string, detail: string) => void

function checkTriggers(triggers: readonly Trigger[], report: Report): void {
  checkIds('triggers', triggers, report)
  const byType = new Map<string, Trigger>()
  for (const [index, trigger] of triggers.entries()) {
    for (const [at, type] of trigger.event_types.entries()) {
      // The platform says itself what its events are like: a trigger may name a part of it.
      if (CATALOGUE.has(type)) continue
      const first = byType.get(type)
      if (first === undefined) byType.set(type, trigger)
      else if (!isDeepStrictEqual(first.output_schema, trigger.output_schema)) {
        const detail = `has another output_schema in "${first.id}": an event type has one`
        report(`/triggers/${index}/event_types/${at}`, detail)
      }
    }
  }
}

function checkConditions(conditions: readonly Condition[], report: Report): void {
  checkIds('conditions', conditions, report)
  for (const [index, { path, operators }] of conditions.entries()) {
    if (path !== null && parsePath(path) === null)
      report(`/conditions/${index}/path`, 'must be a path such as customer.points')
    for (const [at, operator] of operators.entries()) {
      if (findOperator(operator) === undefined)
        report(`/conditions/${index}/operators/${at}`, 'is no known operator')
    }
  }
}

function checkIds(kind: string, items: readonly { id: string }[], report: Report): void {
  const seen = new Set<string>()
  for (const [index, { id }] of items.entries()) {
    if (seen.has(id)) report(`/${kind}/${index}/id`, `"${id}" is there twice`)
    seen.add(id)
  }
}

/** Returns the event types that the triggers stand for, whoever owns them. */
export function typesOf(manifest: Manifest): PluginType[] {
  const types = manifest.capabilities.triggers.flatMap(({ event_types, description, name, output_schema }) =>
    event_types.map(
      (type) => [type, { name: type, description: description || name, schema: output_schema }] as const,
    ),
  )
  return [...new Map(types.toReversed()).values()].toReversed()
}

const NO_NEWS = { health: null, last_updated: null }

/** Tells whether both offer the same: the plugin's state and the time of its last change are news of another kind. */
export function isSameOffer(before: Manifest | null, after: Manifest): boolean {
  if (before === null) return false
  return isDeepStrictEqual({ ...before, ...NO_NEWS }, { ...after, ...NO_NEWS })
}

type Names = Record<keyof Manifest['capabilities'], string[]>
export type ManifestDifference = Record<keyof Difference, Names>

export function compareManifests(before: Manifest | null, after: Manifest): ManifestDifference {
  const differenceIn = (kind: keyof Names): Difference => {
    const earlier: readonly { id: string }[] = before?.capabilities[kind] ?? []
    return differenceOf(earlier, after.capabilities[kind], ({ id }) => id)
  }
  const triggers = differenceIn('triggers')
  const actions = differenceIn('actions')
  const conditions = differenceIn('conditions')
  const names = (how: keyof Difference): Names => ({
    triggers: triggers[how],
    actions: actions[how],
    conditions: conditions[how],
  })
  return { added: names('added'), changed: names('changed'), removed: names('removed') }
}
