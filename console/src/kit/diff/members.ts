import { isTree } from '../json/pieces.ts'

/** A value that stands in one of two documents, or differs in them. Undefined: it is not there. */
export interface Difference {
  /** From the top down, such as `quiet_hours.from`. */
  path: string
  before: unknown
  after: unknown
}

/** Returns what differs, member by member; lists are told as a whole. */
export function differences(before: unknown, after: unknown, path = ''): Difference[] {
  if (isObject(before) && isObject(after)) {
    const names = new Set([...Object.keys(before), ...Object.keys(after)])
    return [...names].flatMap((name) =>
      differences(before[name], after[name], path === '' ? name : `${path}.${name}`),
    )
  }
  return JSON.stringify(before) === JSON.stringify(after) ? [] : [{ path, before, after }]
}

function isObject(value: unknown): value is Record<string, unknown> {
  return isTree(value) && !Array.isArray(value)
}
