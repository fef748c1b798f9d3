import { hash } from 'node:crypto'
import { canonicalNumber, isRawNumber } from '#lib/json/index.ts'
import { parsePath, type Path, readPath } from '#lib/json/path.ts'
import { CATALOGUE, ENTITIES } from '../catalogue/index.ts'

/** By what a plugin that wants its deliveries in order tells them apart. */
export interface OrderingRule {
  /** In the data. Null: the event's subject, or the id of what its type is about. */
  readonly path: Path | null
}

/** The parts of an event that its key is made of. */
export interface KeyedEvent {
  readonly event: string
  readonly data: unknown
  /** Of a CloudEvent. */
  readonly subject: string | null
}

/** The rule of a plugin as it is stored; undefined: its deliveries are not ordered. */
export function orderingRule(ordering: string, path: string | null): OrderingRule | undefined {
  return ordering === 'key' ? { path: path === null ? null : parsePath(path) } : undefined
}

/**
 * The key by which deliveries of a plugin are kept in order: a hash of what stands at the path, as a UUID, so that it has one
 * length and says nothing of its own. Null where there is no text, number or boolean: such a delivery waits for no other.
 */
export function orderingKey(pluginId: string, { path }: OrderingRule, event: KeyedEvent): string | null {
  const text = keyText(path, event)
  return text === null ? null : hash('sha256', `${pluginId} ${text}`).slice(0, 32)
}

/** Returns the value at the path; without a path the event's subject, or the id of what its type is about. Null: there is none. */
export function keyText(path: Path | null, event: KeyedEvent): string | null {
  return path === null ? defaultKey(event) : scalarText(readPath(event.data, path))
}

function defaultKey({ event, data, subject }: KeyedEvent): string | null {
  if (subject !== null && subject !== '') return subject
  const entity = CATALOGUE.get(event)?.entity ?? entityNamed(event.slice(0, event.indexOf('.')))
  const text = entity === undefined ? null : scalarText(readPath(data, [entity.path]))
  return text === null ? null : `${entity?.kind} ${text}`
}

/** A type that nobody has declared is about what its first segment names. */
function entityNamed(segment: string): (typeof ENTITIES)[keyof typeof ENTITIES] | undefined {
  return Object.hasOwn(ENTITIES, segment) ? ENTITIES[segment as keyof typeof ENTITIES] : undefined
}

function scalarText(value: unknown): string | null {
  if (typeof value === 'string') return value === '' ? null : value
  if (typeof value === 'number' || typeof value === 'boolean' || isRawNumber(value)) {
    return JSON.stringify(canonicalNumber(value))
  }
  return null
}
