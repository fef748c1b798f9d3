import type { FilterContext } from './filter.ts'
import { boundedJson, scalarText, TemplateFailure } from './filter.ts'
import { TextSearch } from '#lib/text-search.ts'
import { valueTypeOf } from '#lib/json/value-type.ts'

/** Of one text that is cut out of another, in characters' worth of work. */
const PIECE_COST = 10

/** At most `length` characters (code points), the ending included. */
export function truncate(text: string, length: number, ending: string): string {
  if (text.length <= length || countCharacters(text) <= length) return text
  const kept = Math.max(length - countCharacters(ending), 0)
  let end = 0
  for (let count = 0; count < kept; count++) end += (text.codePointAt(end) ?? 0) > 0xffff ? 2 : 1
  return text.slice(0, end) + (kept === 0 ? cutCharacters(ending, length) : ending)
}

function cutCharacters(text: string, length: number): string {
  return text.length <= length
    ? text
    : Array.from(text.slice(0, 2 * length))
        .slice(0, length)
        .join('')
}

/** Of every occurrence. Gives up as soon as the result would be too large: it may be larger than memory. */
export function replaceAll(
  text: string,
  search: string,
  replacement: string,
  context: FilterContext,
): string {
  const finder = new TextSearch(search)
  const pieces: string[] = []
  let from = 0
  let growth = 0
  for (let at = finder.indexIn(text); at !== -1; at = finder.indexIn(text, from)) {
    context.spend(PIECE_COST)
    growth += replacement.length - search.length
    if (growth > 0 && text.length + growth > context.maxChars) break
    pieces.push(text.slice(from, at))
    from = at + search.length
  }
  if (text.length + growth > context.maxChars) throw new TemplateFailure('makes text that is too large')
  pieces.push(text.slice(from))
  return pieces.join(replacement)
}

/** The texts between separators, at most so many. */
export function split(text: string, separator: string, limit: number): string[] {
  const finder = new TextSearch(separator)
  const items: string[] = []
  let from = 0
  for (let at = finder.indexIn(text); at !== -1 && items.length < limit; at = finder.indexIn(text, from)) {
    items.push(text.slice(from, at))
    from = at + separator.length
  }
  if (items.length < limit) items.push(text.slice(from))
  return items
}

/** Lists and objects in the list become JSON, null nothing. */
export function join(items: readonly unknown[], separator: string, context: FilterContext): string {
  const texts: string[] = []
  let chars = 0
  for (const item of items) {
    const isNested = typeof item === 'object' && item !== null && valueTypeOf(item) !== 'number'
    const text = item === null ? '' : isNested ? boundedJson(item, context) : scalarText(item)
    context.spend(1 + text.length + separator.length)
    chars += text.length + separator.length
    if (chars - separator.length > context.maxChars) throw new TemplateFailure('makes text that is too large')
    texts.push(text)
  }
  return texts.join(separator)
}

export function firstCharacter(text: string): string | undefined {
  const first = text.codePointAt(0)
  return first === undefined ? undefined : String.fromCodePoint(first)
}

export function lastCharacter(text: string): string | undefined {
  return Array.from(text.slice(-2)).at(-1)
}

export function countCharacters(text: string): number {
  let characters = 0
  for (let at = 0; at < text.length; characters++) at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1
  return characters
}
