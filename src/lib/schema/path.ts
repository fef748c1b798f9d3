import type { Path } from '#lib/json/path.ts'
import type { SafeSchema } from './safe/index.ts'

/** Paths of one schema that a misspelt one is compared with. */
const MAX_PATHS = 500
const MAX_DEPTH = 6

/**
 * Tells whether a schema describes the value at the path. A path of which the schema says nothing may hold any value.
 */
export function isDescribed(schema: SafeSchema, path: Path): boolean {
  let current: SafeSchema = schema
  for (const segment of path) {
    const isPosition = typeof segment === 'number' || /^\d+$/.test(segment)
    if (current.items !== undefined && isPosition) current = current.items
    else if (current.properties === undefined) return current.items === undefined && isOpen(current)
    else {
      const next = Object.hasOwn(current.properties, segment) ? current.properties[segment] : undefined
      if (next === undefined) return false
      current = next
    }
  }
  return true
}

/** Returns whether anything may be below it: it says nothing of its type, or that it is an object or a list. */
function isOpen({ type }: SafeSchema): boolean {
  return type === undefined || [type].flat().some((each) => each === 'object' || each === 'array')
}

/** The paths that a schema describes, as text, at most 500. */
export function describedPaths(schema: SafeSchema): string[] {
  const paths: string[] = []
  const walk = (current: SafeSchema, prefix: string, depth: number): void => {
    for (const [name, member] of Object.entries(current.properties ?? {})) {
      if (paths.length >= MAX_PATHS) return
      const path = prefix === '' ? name : `${prefix}.${name}`
      paths.push(path)
      if (depth < MAX_DEPTH) walk(member, path, depth + 1)
    }
    if (current.items !== undefined && depth < MAX_DEPTH) walk(current.items, `${prefix}[0]`, depth + 1)
  }
  walk(schema, '', 1)
  return paths
}

/** The candidate that a person most likely meant; null: none is near. */
export function nearestPath(path: string, candidates: readonly string[]): string | null {
  const exact = candidates.filter((candidate) => path.endsWith(`.${candidate}`))
  if (exact.length > 0) return exact.reduce((a, b) => (b.length > a.length ? b : a))
  let nearest: string | null = null
  let least = Math.max(1, Math.floor(path.length / 3)) + 1
  for (const candidate of candidates) {
    // The last name alone is what people remember of a path.
    const distance = Math.min(
      distanceOf(path.toLowerCase(), candidate.toLowerCase()),
      candidate.endsWith(`.${path}`) ? 1 : Infinity,
    )
    if (distance < least) {
      least = distance
      nearest = candidate
    }
  }
  return nearest
}

/** Letters to insert, remove or replace (Levenshtein). Paths are at most 256 characters. */
function distanceOf(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
