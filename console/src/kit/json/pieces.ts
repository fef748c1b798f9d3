import { isRawNumber } from '../../../../src/lib/json/raw-number.ts'

/** Members that are shown at once: a list of 100,000 is shown piece by piece. */
export const PIECE = 100
/** Members that are rendered before anybody has opened anything. */
const OPEN_AT_FIRST = 500

/** A list or an object: a value with members. */
export function isTree(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !isRawNumber(value)
}

function firstMembers(value: unknown): unknown[] {
  if (!isTree(value)) return []
  if (Array.isArray(value)) return value.slice(0, PIECE)
  return Object.keys(value)
    .slice(0, PIECE)
    .map((name) => (value as Record<string, unknown>)[name])
}

/** Returns how many levels can be open at first: as many as are wanted, unless a hundred hold a hundred each. */
export function openLevels(value: unknown, wanted: number): number {
  let level = [value]
  let count = 0
  for (let depth = 0; depth < wanted; depth += 1) {
    level = level.flatMap(firstMembers)
    count += level.length
    if (count > OPEN_AT_FIRST) return depth
    if (level.length === 0) break
  }
  return wanted
}
