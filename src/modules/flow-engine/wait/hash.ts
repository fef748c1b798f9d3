import { createHash } from 'node:crypto'
import { identityText } from '#lib/condition/identity.ts'
import { spelledAlike } from './near-miss.ts'
import { parsePath, readPath } from '#lib/json/path.ts'
import { measureJson } from '#lib/template/filters/filter.ts'
import { canonicalNumber, isRawNumber } from '#lib/json/raw-number.ts'

/** Ids, names and dates are looked up: more is not hashed, neither for a wait nor of an event. */
const MAX_VALUE_BYTES = 8 * 1024
/** Hash bytes kept: 128 bits, so that two different events never meet by chance. */
const HASH_BYTES = 16

/** The path list of a match as it is stored: sorted, one a line. */
export function joinPaths(match: Readonly<Record<string, unknown>>): string {
  return Object.keys(match).sort().join('\n')
}

/** Tells whether an event can be looked up by the value. */
export function isMatchable(value: unknown): boolean {
  return measureJson(value, MAX_VALUE_BYTES) <= MAX_VALUE_BYTES
}

export interface MatchHashes {
  exact: Buffer
  /** Of the values as `spelledAlike` writes them; null: they are written so already. */
  near: Buffer | null
}

/** Hashes what a wait looks for: the values that an event must have at the paths. */
export function hashesOfMatch(event: string, match: Readonly<Record<string, unknown>>): MatchHashes {
  const paths = Object.keys(match).sort()
  return hashesOf(
    event,
    paths.map((path) => [path, match[path]]),
  )
}

/** The same of an event that arrived; null if it lacks one of the paths. */
export function hashesOfEvent(event: string, paths: string, data: unknown): MatchHashes | null {
  const pairs: [string, unknown][] = []
  for (const text of paths === '' ? [] : paths.split('\n')) {
    const path = parsePath(text)
    const value = path === null ? undefined : readPath(data, path)
    if (value === undefined || value === null || !isMatchable(value)) return null
    pairs.push([text, value])
  }
  return hashesOf(event, pairs)
}

function hashesOf(event: string, pairs: readonly [string, unknown][]): MatchHashes {
  const exact = pairs.map(([path, value]) => [path, identityText(value) ?? value] as const)
  const near = exact.map(
    ([path, value]) => [path, typeof value === 'string' ? spelledAlike(value) : value] as const,
  )
  const isSame = near.every(([, value], index) => value === exact[index]?.[1])
  return { exact: hashOf(event, exact), near: isSame ? null : hashOf(event, near) }
}

/** Scalars as text, so that 42 and "42" meet; a text never meets an object, which is no text in JSON either. */
function hashOf(event: string, pairs: readonly (readonly [string, unknown])[]): Buffer {
  return createHash('sha256')
    .update(sortedJson([event, pairs]))
    .digest()
    .subarray(0, HASH_BYTES)
}

/** JSON in which objects with the same members are the same text, in whatever order those were written. */
export function sortedJson(value: unknown): string {
  return JSON.stringify(value, sortMembers)
}

/** Objects with the same members are the same, in whatever order those were written, and numbers of the same value. */
function sortMembers(_name: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  if (isRawNumber(value)) return canonicalNumber(value)
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
}
