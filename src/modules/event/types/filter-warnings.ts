import type { StoredSubscription } from '#db/schema.ts'
import { conditionTests } from '#lib/condition/fields.ts'
import { matchesPattern } from '#lib/event-pattern.ts'
import type { Path } from '#lib/json/path.ts'
import type { FieldError } from '#lib/api/problem.ts'
import type { SafeSchema } from '#lib/schema/safe/index.ts'
import { describedPaths, isDescribed, nearestPath } from '#lib/schema/path.ts'
import { CATALOGUE } from '../catalogue/index.ts'
import type { TenantSnapshot } from '../intake/snapshot.ts'

const MAX_WARNINGS = 20
/** Names that people take for the root of a filter: those of flows, and the member of the webhook's body. */
const WRONG_ROOTS: readonly unknown[] = ['data', 'trigger', 'event', 'payload']

/**
 * Fields of filters that no event will have as far as its type is described, with what was most likely meant. Such
 * a filter is taken all the same: a sender may say more than its type's schema.
 */
export function filterWarnings(
  snapshot: Pick<TenantSnapshot, 'types'>,
  subscriptions: readonly StoredSubscription[],
): FieldError[] {
  const warnings: FieldError[] = []
  for (const [index, { event, filter }] of subscriptions.entries()) {
    if (filter === null || warnings.length >= MAX_WARNINGS) continue
    const schemas = schemasOf(snapshot, event)
    for (const { pointer, test, path } of conditionTests(filter)) {
      const detail = path === null || isEarlier(path) ? null : warningOf(test.field, path, event, schemas)
      if (detail !== null) warnings.push({ pointer: `/events/${index}/filter${pointer}/field`, detail })
    }
  }
  return warnings.slice(0, MAX_WARNINGS)
}

/** Tells a path to the time before an event (lib/condition/earlier-value.ts): no schema has it. */
function isEarlier([name]: Path): boolean {
  return typeof name === 'string' && (/^previous(?:_|$)/.test(name) || name === 'changes')
}

function warningOf(field: string, path: Path, event: string, schemas: readonly SafeSchema[]): string | null {
  if (schemas.some((schema) => isDescribed(schema, path))) return null
  if (schemas.length === 0) {
    if (!WRONG_ROOTS.includes(path[0]) || path.length < 2) return null
    const rest = field.slice(String(path[0]).length + 1)
    return `Fields are named from the event's data on: did you mean "${rest}"?`
  }
  const nearest = nearestPath(field, [...new Set(schemas.flatMap(describedPaths))])
  const hint = nearest === null ? '' : `: did you mean "${nearest}"?`
  const none = `No event of ${event} is described to have "${field}"; fields are named from the event's data on`
  return `${none}${hint}`
}

/** Of the types that a pattern takes, those that are known. */
function schemasOf({ types }: Pick<TenantSnapshot, 'types'>, pattern: string): SafeSchema[] {
  const known = new Map([
    ...[...types.values()].map(({ name, schema }) => [name, schema] as const),
    ...[...CATALOGUE.values()].map(({ name, schema }) => [name, schema as SafeSchema | null] as const),
  ])
  const matching = [...known].filter(([name]) => matchesPattern(pattern, name)).map(([, schema]) => schema)
  // One type that may hold anything makes every path possible.
  return matching.some((schema) => schema === null) ? [] : (matching as SafeSchema[])
}
