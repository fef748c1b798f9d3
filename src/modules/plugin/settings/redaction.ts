import { toPointer } from '#lib/json/index.ts'
import type { FieldError } from '#lib/api/problem.ts'

/** Stands for a secret value; sent back, it means "as it is". */
const REDACTED = '[redacted]'

export type JsonObject = Record<string, unknown>

/** The same structure and keys, every other value replaced: what somebody may see who must not read secrets. */
export function redactLeaves(value: JsonObject): JsonObject {
  return mapLeaves(value, () => REDACTED) as JsonObject
}

/**
 * Returns what the caller means by `given`: a leaf that is "[redacted]" is the stored leaf at the same place. Where no
 * leaf is stored there is nothing to keep, and an entry in `errors` says so; in an array the place is only known
 * while the array keeps its length. `kept` tells whether any stored leaf was taken over.
 */
export function restoreLeaves(
  given: JsonObject,
  stored: JsonObject,
  field: string,
): { value: JsonObject; kept: boolean; errors: FieldError[] } {
  const errors: FieldError[] = []
  let kept = false
  const restore = (value: unknown, path: readonly (string | number)[]): unknown => {
    if (value !== REDACTED) return value
    const found = leafAt(given, stored, path)
    if (found === undefined) {
      errors.push({
        pointer: toPointer([field, ...path]),
        detail: `"${REDACTED}" keeps a stored value, and none is stored here: send the value`,
      })
      return value
    }
    kept = true
    return found
  }
  return { value: mapLeaves(given, restore) as JsonObject, kept, errors }
}

function leafAt(given: unknown, stored: unknown, path: readonly (string | number)[]): unknown {
  let [theirs, ours] = [given, stored]
  for (const segment of path) {
    if (Array.isArray(theirs)) {
      if (!Array.isArray(ours) || ours.length !== theirs.length) return undefined
    } else if (!isObject(ours) || !Object.hasOwn(ours, segment)) return undefined
    theirs = (theirs as JsonObject)[segment]
    ours = (ours as JsonObject)[segment]
  }
  return isLeaf(ours) ? ours : undefined
}

function mapLeaves(
  value: unknown,
  map: (leaf: unknown, path: readonly (string | number)[]) => unknown,
  path: readonly (string | number)[] = [],
): unknown {
  if (Array.isArray(value)) return value.map((item, index) => mapLeaves(item, map, [...path, index]))
  if (!isObject(value)) return map(value, path)
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, mapLeaves(item, map, [...path, key])]),
  )
}

function isLeaf(value: unknown): boolean {
  return typeof value !== 'object' || value === null
}

function isObject(value: unknown): value is JsonObject {
  return !isLeaf(value) && !Array.isArray(value)
}
