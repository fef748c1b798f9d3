import type { FilterContext, FilterDefinition, FilterSpec } from './filter.ts'
import {
  argumentFault,
  boundedJson,
  MEMBER_COST,
  parseSignedDuration,
  scalarText,
  TemplateFailure,
} from './filter.ts'
import { formatMoney, formatTime, shiftTime, timeInZone } from './format.ts'
import { LIST_FILTERS } from './list.ts'
import { addNumbers, divideNumbers, multiplyNumbers, roundNumber, subtractNumbers } from './number.ts'
import {
  countCharacters,
  escapeHtml,
  firstCharacter,
  join,
  lastCharacter,
  replaceAll,
  split,
  stripHtml,
  truncate,
} from './text.ts'
import { valueTypeOf } from '#lib/json/value-type.ts'

/** What `split` makes at most: more is no list that a person meant. */
const MAX_ITEMS = 10_000
const MAX_ROUND_DIGITS = 12
/** In characters' worth of work, 5 ns each: 10 µs to write a time or an amount, 3 µs to calculate with 400 digits. */
const FORMAT_COST = 2000
const ARITHMETIC_COST = 600
const SPECS: Readonly<Record<string, FilterSpec>> = {
  default: {
    input: ['any'],
    args: [{ name: 'value', type: 'any' }],
    returns: 'same',
    description: 'Takes the place of a value that is missing, null or "".',
    example: ['Hello {{trigger.name | default: "friend"}}', {}, 'Hello friend'],
    apply: (value: unknown, [fallback]: [unknown]) =>
      value === undefined || value === null || value === '' ? fallback : value,
  },
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
  join: {
    input: ['list'],
    args: [{ name: 'separator', type: 'text', optional: true }],
    returns: 'text',
    description: 'The items of a list as one text, with a separator (default ", ") between them.',
    example: ['{{trigger.tags | join: " / "}}', { tags: ['vip', 'b2b'] }, 'vip / b2b'],
    apply: (items: unknown[], [separator = ', ']: [unknown?], context: FilterContext) =>
      join(items, scalarText(separator), context),
  },
  first: {
    input: ['list', 'text'],
    args: [],
    returns: 'any',
    description: 'The first item of a list, or the first character of text; missing if there is none.',
    example: ['{{trigger.tags | first}}', { tags: ['vip', 'b2b'] }, 'vip'],
    apply: (value: string | unknown[]) => (typeof value === 'string' ? firstCharacter(value) : value[0]),
  },
  last: {
    input: ['list', 'text'],
    args: [],
    returns: 'any',
    description: 'The last item of a list, or the last character of text; missing if there is none.',
    example: ['{{trigger.name | split: " " | last}}', { name: 'Ana Sousa' }, 'Sousa'],
    apply: (value: string | unknown[]) => (typeof value === 'string' ? lastCharacter(value) : value.at(-1)),
  },
  ...LIST_FILTERS,
  size: {
    input: ['list', 'text', 'object'],
    args: [],
    returns: 'number',
    description: 'How many items a list has, characters text, or members an object.',
    example: ['{{trigger.items | size}}', { items: ['a', 'b'] }, 2],
    apply: (value: string | object, _args: [], { spend }: FilterContext) => {
      if (Array.isArray(value)) return value.length
      if (typeof value !== 'string') {
        const members = Object.keys(value).length
        spend(members * MEMBER_COST)
        return members
      }
      spend(value.length)
      return countCharacters(value)
    },
  },
  round: {
    input: ['number'],
    args: [{ name: 'digits', type: 'count', optional: true }],
    returns: 'number',
    description: `With so many digits after the point (default 0, at most ${MAX_ROUND_DIGITS}); halves go away from zero.`,
    example: ['{{trigger.total | round: 1}}', { total: 12.25 }, 12.3],
    apply: (value: unknown, [digits = 0]: [number?], { spend }: FilterContext) => {
      spend(ARITHMETIC_COST)
      return roundNumber(value, Math.min(digits, MAX_ROUND_DIGITS))
    },
  },
  plus: {
    input: ['number'],
    args: [{ name: 'number', type: 'decimal' }],
    returns: 'number',
    description: 'Adds a number, exactly. Text such as "129.95" counts as a number.',
    example: ['{{trigger.total | plus: trigger.shipping}}', { total: 0.1, shipping: 0.2 }, 0.3],
    apply: arithmetic(addNumbers),
  },
  minus: {
    input: ['number'],
    args: [{ name: 'number', type: 'decimal' }],
    returns: 'number',
    description: 'Takes a number away, exactly.',
    example: ['{{trigger.stock | minus: 1}}', { stock: 5 }, 4],
    apply: arithmetic(subtractNumbers),
  },
  times: {
    input: ['number'],
    args: [{ name: 'number', type: 'decimal' }],
    returns: 'number',
    description: 'Multiplies by a number, exactly.',
    example: ['{{trigger.price | times: 3}}', { price: '19.99' }, 59.97],
    apply: arithmetic(multiplyNumbers),
  },
  divided_by: {
    input: ['number'],
    args: [{ name: 'number', type: 'decimal' }],
    returns: 'number',
    description: 'Divides by a number, to 15 digits. By zero is an error of the step.',
    example: ['{{trigger.cents | divided_by: 100}}', { cents: 12995 }, 129.95],
    apply: arithmetic(divideNumbers),
  },
  date: {
    input: ['time'],
    args: [
      { name: 'format', type: 'format', optional: true },
      { name: 'zone', type: 'zone', optional: true },
    ],
    returns: 'text',
    description:
      'A time in a format (default "%Y-%m-%d") and a time zone (default the shop\'s, which is UTC if it has none). A date is that day in every zone. %Y %y %m %d %e %H %I %M %S %L %p %A %a %B %b %F %T %R %z %s; %-d is without its zero.',
    example: [
      '{{trigger.starts_at | date: "%A %-d %B, %H:%M", "Europe/Lisbon"}}',
      { starts_at: '2026-07-04T13:30:00Z' },
      'Saturday 4 July, 14:30',
    ],
    apply: (
      time: unknown,
      [format = '%Y-%m-%d', zone]: [string?, string?],
      { zone: own, spend }: FilterContext,
    ) => {
      spend(FORMAT_COST)
      return formatTime(time, format, { zone: zone ?? own, own, spend })
    },
  },
  add: {
    input: ['time'],
    args: [{ name: 'duration', type: 'duration' }],
    returns: 'time',
    description:
      'A time so much later, or earlier with a minus, in UTC. A date that is moved by whole days stays a date.',
    example: [
      '{{trigger.starts_at | add: "-24 hours"}}',
      { starts_at: '2026-07-04T13:30:00Z' },
      '2026-07-03T13:30:00.000Z',
    ],
    apply: (time: unknown, [duration]: [string], { zone, spend }: FilterContext) =>
      shiftTime(time, parseSignedDuration(duration) ?? 0, zone, spend),
  },
  in_zone: {
    input: ['time'],
    args: [{ name: 'zone', type: 'zone', optional: true }],
    returns: 'time',
    description:
      "The time by the clocks of a time zone (default the shop's), with its distance from UTC. A date stays one.",
    example: [
      '{{trigger.starts_at | in_zone: "Europe/Lisbon"}}',
      { starts_at: '2026-07-04T13:30:00Z' },
      '2026-07-04T14:30:00+01:00',
    ],
    apply: (time: unknown, [zone]: [string?], { zone: own, spend }: FilterContext) =>
      timeInZone(time, zone ?? own, { own, spend }),
  },
  to_text: {
    input: ['any'],
    args: [],
    returns: 'text',
    description: 'The value as text: numbers with the digits that they came with, lists and objects as JSON.',
    example: ['{{trigger.number | to_text}}', { number: 42 }, '42'],
    apply: (value: unknown, _args: [], context: FilterContext) => {
      const type = valueTypeOf(value)
      return type === 'list' || type === 'object' ? boundedJson(value, context) : scalarText(value)
    },
  },
  json: {
    input: ['any'],
    args: [],
    returns: 'text',
    description: 'The value as JSON text.',
    example: ['{{trigger.tags | json}}', { tags: ['vip'] }, '["vip"]'],
    apply: (value: unknown, _args: [], context: FilterContext) => boundedJson(value, context),
  },
  money: {
    input: ['number'],
    args: [
      { name: 'currency', type: 'currency' },
      { name: 'locale', type: 'locale', optional: true },
    ],
    returns: 'text',
    description: 'An amount with its currency, as a language writes it (default "en-US").',
    example: ['{{trigger.total | money: "EUR"}}', { total: '1299.5' }, '€1,299.50'],
    apply: (value: unknown, [currency, locale = 'en-US']: [string, string?], { spend }: FilterContext) => {
      spend(FORMAT_COST)
      return formatMoney(value, currency, locale, spend)
    },
  },
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
}

/** The one table of filters that interpolator, compiler, builder and docs read. */
export const FILTERS: ReadonlyMap<string, FilterDefinition> = new Map(
  Object.entries(SPECS).map(([name, { example, ...spec }]) => {
    const [template, trigger, result] = example
    return [name, Object.freeze({ name, ...spec, example: { template, trigger, result } })]
  }),
)

export type FilterDescription = Omit<FilterDefinition, 'apply'>

/** The table for builders and docs: everything but the code. */
export function describeFilters(): FilterDescription[] {
  return [...FILTERS.values()].map(({ name, input, args, returns, description, example }) => ({
    name,
    input,
    args,
    returns,
    description,
    example,
  }))
}

/** Runs one filter on what it was checked to take. Throws TemplateFailure. */
export function applyFilter(
  filter: FilterDefinition,
  value: unknown,
  args: readonly unknown[],
  context: FilterContext,
): unknown {
  for (const [index, argument] of filter.args.entries()) {
    if (index >= args.length) break
    const expected = argumentFault(argument, args[index])
    if (expected === null) continue
    const found = valueTypeOf(args[index])
    throw new TemplateFailure(`gives "${filter.name}" a ${argument.name} that is ${found}, not ${expected}`)
  }
  const apply = filter.apply as (value: unknown, args: readonly unknown[], context: FilterContext) => unknown
  return apply(value, args, context)
}

function arithmetic(calculate: (a: unknown, b: unknown) => unknown): FilterDefinition['apply'] {
  return (value: unknown, [other]: readonly unknown[], { spend }: FilterContext): unknown => {
    spend(ARITHMETIC_COST)
    return calculate(value, other)
  }
}

/** A filter on text that is spent its input and output, and makes no longer text than is allowed. */
function textFilter(
  make: (text: string, args: never, context: FilterContext) => string | string[],
): FilterDefinition['apply'] {
  return (value: unknown, args: unknown, context: FilterContext): string | string[] => {
    const text = scalarText(value)
    context.spend(text.length)
    const result = make(text, args as never, context)
    if (typeof result === 'string') {
      context.spend(result.length)
      if (result.length > context.maxChars) throw new TemplateFailure('makes text that is too large')
    }
    return result
  }
}
