import type { FilterContext, FilterSpec } from './filter.ts'
import { scalarText, TemplateFailure, textFilter } from './filter.ts'
import { TextSearch } from '#lib/text-search.ts'

/** Of one text that is cut out of another, in characters' worth of work. */
const PIECE_COST = 10

/** The most items that `split` makes: more is no list that a person meant. */
const MAX_ITEMS = 10_000

/** Filters that make something of text. */
export const TEXT_FILTERS = {
  upcase: {
    input: ['scalar'],
    args: [],
    returns: 'text',
    description: 'In upper case.',
    example: ['{{trigger.country | upcase}}', { country: 'pt' }, 'PT'],
    apply: textFilter((text) => text.toUpperCase()),
  },
  downcase: {
    input: ['scalar'],
    args: [],
    returns: 'text',
    description: 'In lower case.',
    example: ['{{trigger.email | downcase}}', { email: 'Ana@Example.com' }, 'ana@example.com'],
    apply: textFilter((text) => text.toLowerCase()),
  },
  capitalize: {
    input: ['scalar'],
    args: [],
    returns: 'text',
    description: 'With its first character in upper case; the others stay.',
    example: ['{{trigger.status | capitalize}}', { status: 'out for delivery' }, 'Out for delivery'],
    apply: textFilter((text) => {
      const first = String.fromCodePoint(text.codePointAt(0) ?? 32)
      return text === '' ? '' : first.toUpperCase() + text.slice(first.length)
    }),
  },
  trim: {
    input: ['scalar'],
    args: [],
    returns: 'text',
    description: 'Without white space at both ends.',
    example: ['{{trigger.name | trim}}', { name: '  Ana ' }, 'Ana'],
    apply: textFilter((text) => text.trim()),
  },
  truncate: {
    input: ['scalar'],
    args: [
      { name: 'length', type: 'count' },
      { name: 'ending', type: 'text', optional: true },
    ],
    returns: 'text',
    description: 'At most so many characters, the ending (default "…") included.',
    example: ['{{trigger.name | truncate: 9}}', { name: 'Running shoes' }, 'Running …'],
    apply: textFilter((text, [length, ending = '…']: [number, unknown?], { spend }) => {
      const end = scalarText(ending)
      spend(end.length)
      return truncate(text, length, end)
    }),
  },
  replace: {
    input: ['scalar'],
    args: [
      { name: 'search', type: 'search' },
      { name: 'replacement', type: 'text' },
    ],
    returns: 'text',
    description: 'With every occurrence of a text replaced. No patterns.',
    example: ['{{trigger.phone | replace: " ", ""}}', { phone: '+351 912 345' }, '+351912345'],
    apply: textFilter((text, [search, replacement]: [string, unknown], context) =>
      replaceAll(text, search, scalarText(replacement), context),
    ),
  },
  split: {
    input: ['scalar'],
    args: [{ name: 'separator', type: 'search' }],
    returns: 'list',
    description: `A list of the texts between separators, at most ${MAX_ITEMS}.`,
    example: ['{{trigger.tags | split: ","}}', { tags: 'vip,b2b' }, ['vip', 'b2b']],
    apply: textFilter((text, [separator]: [string], { spend }) => {
      const items = split(text, separator, MAX_ITEMS + 1)
      spend(items.length)
      if (items.length > MAX_ITEMS) throw new TemplateFailure(`makes a list of more than ${MAX_ITEMS} items`)
      return items
    }),
  },
} as const satisfies Record<string, FilterSpec>

/** At most `length` characters (code points), the ending included. */
function truncate(text: string, length: number, ending: string): string {
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
function replaceAll(text: string, search: string, replacement: string, context: FilterContext): string {
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

/** So many characters (code points) from there on; a negative position counts from the end. */
export function sliceText(text: string, from: number, length: number): string {
  const characters = Array.from(text)
  const start = from < 0 ? Math.max(characters.length + from, 0) : from
  return characters.slice(start, start + length).join('')
}

/** The texts between separators, at most so many. */
function split(text: string, separator: string, limit: number): string[] {
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
