import type { SafeSchema, SchemaType } from '#lib/schema/safe/index.ts'
import type { FlowCatalogue } from './catalogue.ts'

/** Keeps what is declared about the values that paths read. */
export interface KnownSchemas {
  /** Of each way in which the flow starts; null where nothing is declared. */
  readonly trigger: (SafeSchema | null)[]
  /** The declared schemas of steps' outputs, by step id. */
  readonly steps: Map<string, SafeSchema>
}

type Below = readonly (string | number)[]

/**
 * `absent`: the schema is closed and has no such path. `undeclared`: it is not listed, but others are allowed.
 * `unknown`: the schema says nothing about what is there.
 */
export type Lookup =
  { found: SafeSchema } | { missing: 'absent' | 'undeclared'; names: string[] } | { missing: 'unknown' }

const POSITION = /^\d+$/

/** Finds what a schema says about a path. */
export function lookUp(schema: SafeSchema | null, path: Below): Lookup {
  let current: SafeSchema | undefined = schema ?? undefined
  for (const segment of path) {
    if (current === undefined) return { missing: 'unknown' }
    const types = typesOf(current)
    if (types?.has('array') && POSITION.test(String(segment))) {
      current = current.items
      continue
    }
    if (types && !types.has('object')) return { missing: 'absent', names: [] }
    if (!current.properties) return { missing: 'unknown' }
    const property = Object.hasOwn(current.properties, segment) ? current.properties[segment] : undefined
    if (!property) {
      const names = Object.keys(current.properties)
      return { missing: current.additionalProperties === false ? 'absent' : 'undeclared', names }
    }
    current = property
  }
  return current === undefined ? { missing: 'unknown' } : { found: current }
}

/** Returns the schemas that may describe a path, or null as soon as one of them is not known. */
export function schemasOfPath(
  schemas: KnownSchemas,
  catalogue: FlowCatalogue,
  root: string,
  below: Below,
  arriving: string | null,
): (SafeSchema | null)[] {
  if (root === 'trigger') return schemas.trigger.map((schema) => lookUp(schema, below)).map(foundIn)
  if (root === 'steps') {
    return [foundIn(lookUp(schemas.steps.get(String(below[0])) ?? null, below.slice(2)))]
  }
  if (root === 'now') return [{ type: 'string', format: 'date-time' }]
  if (root === 'event' && arriving !== null && below[0] === 'data') {
    return [foundIn(lookUp(catalogue.eventTypes.get(arriving)?.schema ?? null, below.slice(1)))]
  }
  return [null]
}

/** Returns the types that a path may have by the declarations; null when they say nothing. */
export function typesOfPath(
  schemas: KnownSchemas,
  catalogue: FlowCatalogue,
  root: string,
  below: Below,
  arriving: string | null,
): ReadonlySet<SchemaType> | null {
  const all = new Set<SchemaType>()
  const found = schemasOfPath(schemas, catalogue, root, below, arriving)
  for (const schema of found) {
    const types = schema && typesOf(schema)
    if (!types) return null
    for (const type of types) all.add(type)
  }
  return found.length === 0 ? null : all
}

export function typesOf(schema: SafeSchema): ReadonlySet<SchemaType> | null {
  if (schema.type === undefined) return null
  return new Set(typeof schema.type === 'string' ? [schema.type] : schema.type)
}

function foundIn(lookup: Lookup): SafeSchema | null {
  return 'found' in lookup ? lookup.found : null
}
