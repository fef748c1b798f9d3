import { isDeepStrictEqual } from 'node:util'

/** Names of the actions that came, went or are different. */
export interface Difference {
  added: string[]
  changed: string[]
  removed: string[]
}

export function differenceOf<T>(
  before: readonly T[],
  after: readonly T[],
  nameOf: (item: T) => string,
): Difference {
  const earlier = new Map(before.map((item) => [nameOf(item), item]))
  const names = new Set(after.map(nameOf))
  return {
    added: after.filter((item) => !earlier.has(nameOf(item))).map(nameOf),
    changed: after
      .filter((item) => earlier.has(nameOf(item)) && !isDeepStrictEqual(earlier.get(nameOf(item)), item))
      .map(nameOf),
    removed: [...earlier.keys()].filter((name) => !names.has(name)),
  }
}

export function isEmptyDifference({ added, changed, removed }: Difference): boolean {
  return added.length + changed.length + removed.length === 0
}
