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

/** `&` comes first: the others bring more of it. */
const HTML_ESCAPES = [
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
  ['"', '&quot;'],
  ["'", '&#39;'],
] as const

/** Text as HTML that shows it. */
export function escapeHtml(text: string): string {
  return HTML_ESCAPES.reduce((escaped, [char, entity]) => escaped.replaceAll(char, entity), text)
}

const TAG = /<(?:!--|[a-z/!?])/gi
const BREAKING = /^<(?:br|\/p|\/div|\/li|\/tr|\/h[1-6])\b/i
const HIDDEN = /^<(script|style)\b/i
const ENTITIES: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: '\u00a0',
}
const ENTITY = /&(?:(amp|lt|gt|quot|apos|nbsp)|#(\d{1,7})|#x([\da-f]{1,6}));/gi

/** The text that HTML shows, in time linear in it: without tags, comments, scripts and styles, with breaks as lines. */
export function stripHtml(html: string): string {
  let text = ''
  let from = 0
  TAG.lastIndex = 0
  for (let tag = TAG.exec(html); tag !== null; tag = TAG.exec(html)) {
    const end = endOfTag(html, tag)
    // Nothing closes it, or any that comes behind it: it is no tag.
    if (end === -1) break
    text += html.slice(from, tag.index)
    if (BREAKING.test(html.slice(tag.index, tag.index + 5))) text += '\n'
    TAG.lastIndex = from = end
  }
  return (text + html.slice(from)).replace(ENTITY, decodeEntity)
}

/** Behind the tag, or all that it hides; -1: there is no end. */
function endOfTag(html: string, { index, 0: opening }: RegExpExecArray): number {
  if (opening === '<!--') {
    const end = html.indexOf('-->', index)
    return end === -1 ? html.length : end + 3
  }
  const hidden = HIDDEN.exec(html.slice(index, index + 7))?.[1]
  const close = html.indexOf('>', index)
  if (hidden === undefined || close === -1) return close + (close === -1 ? 0 : 1)
  const closing = hidden.toLowerCase() === 'script' ? /<\/script\b/gi : /<\/style\b/gi
  closing.lastIndex = close
  const end = closing.exec(html)
  if (end === null) return html.length
  const after = html.indexOf('>', end.index)
  return after === -1 ? html.length : after + 1
}

function decodeEntity(
  entity: string,
  name: string | undefined,
  decimal: string | undefined,
  hex: string | undefined,
) {
  if (name !== undefined) return ENTITIES[name.toLowerCase()] ?? entity
  const code = decimal === undefined ? Number.parseInt(hex ?? '', 16) : Number(decimal)
  const isCharacter = code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff)
  return isCharacter ? String.fromCodePoint(code) : entity
}

/** So many characters (code points) from there on; a negative position counts from the end. */
export function sliceText(text: string, from: number, length: number): string {
  const characters = Array.from(text)
  const start = from < 0 ? Math.max(characters.length + from, 0) : from
  return characters.slice(start, start + length).join('')
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
