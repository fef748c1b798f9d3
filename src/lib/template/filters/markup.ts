import { type FilterSpec, textFilter } from './filter.ts'

/** Filters that fit values into HTML and URLs, or leave them as they are there. */
export const MARKUP_FILTERS = {
  url_encode: {
    input: ['scalar'],
    args: [],
    returns: 'text',
    description:
      "Fit for a part of a URL: everything but letters, digits and - _ . ! ~ * ' ( ) is escaped. The URL of an http " +
      'step needs it not: values are escaped there anyhow, and not twice.',
    example: [
      'https://example.com/?q={{trigger.q | url_encode}}',
      { q: 'a & b' },
      'https://example.com/?q=a%20%26%20b',
    ],
    apply: textFilter((text) => encodeURIComponent(text.toWellFormed())),
  },
  raw_url: {
    input: ['scalar'],
    args: [],
    returns: 'text',
    description:
      'As the last filter in the URL of an http step: the value stands as it is, with its slashes and parameters. ' +
      'Only for values that nobody else can choose. Elsewhere it changes nothing.',
    example: [
      'https://example.com/{{trigger.path | raw_url}}',
      { path: 'files/2026/a.pdf' },
      'https://example.com/files/2026/a.pdf',
    ],
    apply: textFilter((text) => text),
  },
  escape: {
    input: ['scalar'],
    args: [],
    returns: 'text',
    description: 'Fit for HTML: & < > " and \' are escaped.',
    example: ['<p>{{trigger.note | escape}}</p>', { note: '5 < 6' }, '<p>5 &lt; 6</p>'],
    apply: textFilter((text) => escapeHtml(text)),
  },
  raw: {
    input: ['any'],
    args: [],
    returns: 'same',
    description:
      'As the last filter in a message whose format is html: the value is markup and stands as it is. Only for what ' +
      'nobody else can write. Elsewhere it changes nothing.',
    example: ['{{trigger.banner | raw}}', { banner: '<b>Sale</b>' }, '<b>Sale</b>'],
    apply: (value: unknown) => value,
  },
  strip_html: {
    input: ['scalar'],
    args: [],
    returns: 'text',
    description:
      'The text that HTML shows: without tags, comments, scripts and styles, a line for each break. It is text, not HTML.',
    example: ['{{trigger.note | strip_html}}', { note: '<p>5 &lt; <b>6</b></p>' }, '5 < 6\n'],
    apply: textFilter((text) => stripHtml(text)),
  },
} as const satisfies Record<string, FilterSpec>

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
function stripHtml(html: string): string {
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
