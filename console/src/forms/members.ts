import type { Members } from '../flow/graph.ts'

/** Sets members; undefined takes one away. Undefined: none is left. */
export function withMembers(members: Members, change: Members): Members | undefined {
  const entries = Object.entries({ ...members, ...change }).filter(([, value]) => value !== undefined)
  return entries.length === 0 ? undefined : Object.fromEntries(entries)
}
