import { endOfString } from './scan.ts'

/**
 * The texts that objects were read from. A value that is parsed and written again has its numbers and the order of
 * its members as JavaScript has them: `1.10` becomes `1.1`, `-0` becomes `0`, and `{"10":1,"9":2}` changes places.
 */
const sources = new WeakMap<object, string>()

/** The text that the value was read from, without the line breaks between its parts; undefined: it is not kept. */
export function sourceOf(value: unknown): string | undefined {
  const text = typeof value === 'object' && value !== null ? sources.get(value) : undefined
  // A line break can only stand between tokens: in a string it is escaped.
  return text?.includes('\n') === true ? text.replaceAll(/\n[ \t\r\n]*/g, '') : text
}

/** The members whose texts are kept: of the root itself, or of each item of the list that is the root or in it. */
export interface SourceNames {
  members: readonly string[]
  list: string
}

/**
 * Keeps the texts of the root and of its members with these names, and those of each item of a list.
 * @param text JSON that was parsed
 * @param value the parser's result
 */
export function keepSources(text: string, value: unknown, names: SourceNames): void {
  const start = skipSpace(text, 0)
  if (text[start] === '[') keepList(text, start, value, names)
  else if (isRecord(value)) {
    keep(value, text.trim())
    keepMembers(text, start, value, names)
  }
}

/** @returns the position behind the list */
function keepList(text: string, start: number, value: unknown, names: SourceNames): number {
  const items = Array.isArray(value) ? (value as unknown[]) : []
  let at = skipSpace(text, start + 1)
  for (let index = 0; at < text.length && text[at] !== ']'; index++) {
    const item = items[index]
    at = text[at] === '{' && isRecord(item) ? keepMembers(text, at, item, names) : skipValue(text, at)
    at = skipComma(text, at)
  }
  return at + 1
}

/** @returns the position behind the object */
function keepMembers(
  text: string,
  start: number,
  value: Record<string, unknown>,
  names: SourceNames,
): number {
  let at = skipSpace(text, start + 1)
  while (at < text.length && text[at] !== '}') {
    const nameEnd = endOfString(text, at)
    if (nameEnd === 0) return text.length
    const written = text.slice(at + 1, nameEnd - 1)
    const name = written.includes('\\') ? (JSON.parse(`"${written}"`) as string) : written
    const valueStart = skipSpace(text, skipSpace(text, nameEnd) + 1)
    const member = value[name]
    const isList = name === names.list && text[valueStart] === '['
    const end = isList ? keepList(text, valueStart, member, names) : skipValue(text, valueStart)
    if (names.members.includes(name) && isRecord(member)) keep(member, text.slice(valueStart, end))
    at = skipComma(text, end)
  }
  return at + 1
}

function keep(value: object, text: string): void {
  sources.set(value, text)
}

/** The position behind the value that begins there. */
export function skipValue(text: string, start: number): number {
  let depth = 0
  let at = start
  while (at < text.length) {
    const char = text[at]
    if (char === '"') {
      at = endOfString(text, at) || text.length
      if (depth === 0) return at
      continue
    }
    if (char === '{' || char === '[') depth++
    else if (char === '}' || char === ']') {
      depth--
      if (depth < 0) return at
      if (depth === 0) return at + 1
    } else if (depth === 0 && (char === ',' || isSpace(text, at))) return at
    at++
  }
  return at
}

export function skipComma(text: string, at: number): number {
  const next = skipSpace(text, at)
  return text[next] === ',' ? skipSpace(text, next + 1) : next
}

export function skipSpace(text: string, at: number): number {
  let next = at
  while (next < text.length && isSpace(text, next)) next++
  return next
}

/** JSON's white space; other characters of such codes do not get through the parser. */
function isSpace(text: string, at: number): boolean {
  return text.charCodeAt(at) <= 32
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
