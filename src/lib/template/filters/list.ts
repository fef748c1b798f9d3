import { plainDecimal } from '#lib/json/decimal.ts'
import { parsePath, type Path, readPath } from '#lib/json/path.ts'
import { digitsOf, numberOf } from '#lib/json/raw-number.ts'
import { compareNumbers, isSameValue, valueTypeOf } from '#lib/json/value-type.ts'
import type { FilterContext, FilterSpec } from './filter.ts'
import { boundedJson, isFilterInput, MEMBER_COST, scalarText, TemplateFailure } from './filter.ts'
import { addNumbers } from './number.ts'
import { sliceText } from './text.ts'

/** Of one item, one comparison and one sum, in characters' worth of work. */
const ITEM_COST = 10
const COMPARE_COST = 10
const SUM_COST = 100
/** Characters' worth of work to a step that comparing tells of. */
const WORK_PER_STEP = 20
const MAX_DEPTH = 100

const PATH = { name: 'path', type: 'path' } as const
const OPTIONAL_PATH = { ...PATH, optional: true } as const

type Spend = FilterContext['spend']

/** Filters that make something of lists. */
export const LIST_FILTERS = {
  join: {
    input: ['list'],
    args: [{ name: 'separator', type: 'text', optional: true }],
    returns: 'text',
    description: 'The items of a list as one text, with a separator (default ", ") between them.',
    example: ['{{trigger.tags | join: " / "}}', { tags: ['vip', 'b2b'] }, 'vip / b2b'],
    apply: (items: unknown[], [separator = ', ']: [unknown?], context: FilterContext) =>
      join(items, scalarText(separator), context),
  },
  map: {
    input: ['list'],
    args: [PATH],
    returns: 'list',
    description: 'What each item has at a path; null where it has nothing.',
    example: [
      '{{trigger.items | map: "name" | join}}',
      { items: [{ name: 'Shirt' }, { name: 'Belt' }] },
      'Shirt, Belt',
    ],
    apply: (items: unknown[], [path]: [string], { spend }: FilterContext) => valuesAt(items, path, spend),
  },
  where: {
    input: ['list'],
    args: [PATH, { name: 'value', type: 'any', optional: true }],
    returns: 'list',
    description:
      'The items that have this value at a path; without a value, those that have something there that is neither empty nor false.',
    example: [
      '{{trigger.items | where: "gift", true | size}}',
      { items: [{ gift: true }, { gift: false }, {}] },
      1,
    ],
    apply: (items: unknown[], [path, value]: [string, unknown?], { spend }: FilterContext) => {
      const found = valuesAt(items, path, spend)
      const steps = (count: number): void => spend(count * WORK_PER_STEP)
      return items.filter((_item, index) =>
        value === undefined ? isThere(found[index]) : isSameValue(found[index], value, steps),
      )
    },
  },
  sum: {
    input: ['list'],
    args: [OPTIONAL_PATH],
    returns: 'number',
    description:
      'The exact sum of numbers, or of what the items have at a path. Text such as "19.99" counts as a number, what is missing as nothing.',
    example: ['{{trigger.items | sum: "price"}}', { items: [{ price: '19.99' }, { price: 0.01 }, {}] }, 20],
    apply: (items: unknown[], [path]: [string?], { spend }: FilterContext) =>
      sum(keysOf(items, path, spend), spend),
  },
  sort: {
    input: ['list'],
    args: [OPTIONAL_PATH],
    returns: 'list',
    description:
      'In ascending order, by what the items have at a path: numbers, then text, then all else; what is missing comes last. "reverse" turns it round.',
    example: [
      '{{trigger.items | sort: "price" | map: "sku" | join}}',
      {
        items: [
          { sku: 'B', price: 20 },
          { sku: 'A', price: 5 },
        ],
      },
      'A, B',
    ],
    apply: (items: unknown[], [path]: [string?], { spend }: FilterContext) => sort(items, path, spend),
  },
  group_by: {
    input: ['list'],
    args: [PATH],
    returns: 'list',
    description:
      'A list of { name, items, size } for each value that items have at a path, in the order of the first ones.',
    example: [
      '{{trigger.items | group_by: "color" | map: "size" | join}}',
      { items: [{ color: 'red' }, { color: 'blue' }, { color: 'red' }] },
      '2, 1',
    ],
    apply: (items: unknown[], [path]: [string], { spend }: FilterContext) => groupBy(items, path, spend),
  },
  uniq: {
    input: ['list'],
    args: [OPTIONAL_PATH],
    returns: 'list',
    description: 'The first of items that are the same, or have the same at a path.',
    example: ['{{trigger.tags | uniq | join}}', { tags: ['vip', 'b2b', 'vip'] }, 'vip, b2b'],
    apply: (items: unknown[], [path]: [string?], { spend }: FilterContext) => {
      const seen = new Set<string>()
      const keys = keysOf(items, path, spend).map((value) => keyOf(value, spend))
      return items.filter((_item, index) => {
        const key = keys[index] ?? ''
        const isNew = !seen.has(key)
        seen.add(key)
        return isNew
      })
    },
  },
  reverse: {
    input: ['list'],
    args: [],
    returns: 'list',
    description: 'The last item first.',
    example: ['{{trigger.tags | reverse | join}}', { tags: ['a', 'b', 'c'] }, 'c, b, a'],
    apply: (items: unknown[], _args: [], { spend }: FilterContext) => {
      spend(items.length)
      return items.toReversed()
    },
  },
  slice: {
    input: ['list', 'text'],
    args: [
      { name: 'from', type: 'position' },
      { name: 'length', type: 'count', optional: true },
    ],
    returns: 'same',
    description:
      'So many items or characters from a position on (the first is 0, the last -1), or all that follow.',
    example: ['{{trigger.tags | slice: 0, 2 | join}}', { tags: ['a', 'b', 'c'] }, 'a, b'],
    apply: (value: string | unknown[], [from, length]: [unknown, number?], { spend }: FilterContext) => {
      spend(value.length)
      const at = numberOf(from) ?? 0
      if (typeof value === 'string') return sliceText(value, at, length ?? Infinity)
      const start = at < 0 ? Math.max(value.length + at, 0) : at
      return value.slice(start, length === undefined ? undefined : start + length)
    },
  },
  concat: {
    input: ['list'],
    args: [{ name: 'list', type: 'list' }],
    returns: 'list',
    description: 'The items of both lists.',
    example: [
      '{{trigger.tags | concat: trigger.labels | join}}',
      { tags: ['vip'], labels: ['b2b'] },
      'vip, b2b',
    ],
    apply: (items: unknown[], [more]: [unknown[]], { spend }: FilterContext) => {
      spend(items.length + more.length)
      return [...items, ...more]
    },
  },
} as const satisfies Record<string, FilterSpec>

/** Lists and objects in the list become JSON, null nothing. */
function join(items: readonly unknown[], separator: string, context: FilterContext): string {
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

function valuesAt(items: readonly unknown[], text: string, spend: Spend): unknown[] {
  const path: Path = parsePath(text) ?? []
  return items.map((item) => {
    spend(ITEM_COST * path.length)
    return readPath(item, path) ?? null
  })
}

/** Returns what items are sorted, summed up or told apart by. */
function keysOf(items: readonly unknown[], path: string | undefined, spend: Spend): readonly unknown[] {
  if (path !== undefined) return valuesAt(items, path, spend)
  spend(items.length)
  return items
}

function isThere(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0
  return value !== undefined && value !== null && value !== false && value !== ''
}

function sum(values: readonly unknown[], spend: Spend): unknown {
  let total: unknown = 0
  for (const value of values) {
    if (value === null || value === undefined) continue
    if (!isFilterInput(value, ['number'])) {
      throw new TemplateFailure(`adds up a value that is ${valueTypeOf(value)}, not a number`)
    }
    spend(SUM_COST + (digitsOf(value) ?? (value as string)).length)
    total = addNumbers(total, value)
  }
  return total
}

const RANKS: readonly string[] = ['number', 'text', 'boolean', 'list', 'object']

function sort(items: readonly unknown[], path: string | undefined, spend: Spend): unknown[] {
  const keyed = keysOf(items, path, spend).map((key, index) => {
    const rank = RANKS.indexOf(valueTypeOf(key))
    return { key, rank: rank === -1 ? RANKS.length : rank, index }
  })
  keyed.sort((a, b) => {
    spend(COMPARE_COST)
    if (a.rank !== b.rank) return a.rank - b.rank
    if (typeof a.key === 'string' && typeof b.key === 'string') {
      spend(Math.min(a.key.length, b.key.length))
      return a.key < b.key ? -1 : a.key > b.key ? 1 : 0
    }
    if (a.rank !== 0) return 0
    if (typeof a.key !== 'number' || typeof b.key !== 'number') spend(digitCount(a.key) + digitCount(b.key))
    return compareNumbers(a.key, b.key)
  })
  return keyed.map(({ index }) => items[index])
}

function digitCount(value: unknown): number {
  return digitsOf(value)?.length ?? 0
}

function groupBy(items: readonly unknown[], path: string, spend: Spend): unknown[] {
  const groups = new Map<string, { name: unknown; items: unknown[]; size: number }>()
  for (const [index, name] of valuesAt(items, path, spend).entries()) {
    const key = keyOf(name, spend)
    let group = groups.get(key)
    if (group === undefined) groups.set(key, (group = { name, items: [], size: 0 }))
    group.items.push(items[index])
    group.size++
  }
  return [...groups.values()]
}

/** The same text for the same values, and only for them: members in any order, numbers however they are written. */
function keyOf(value: unknown, spend: Spend, depth = 0): string {
  if (depth > MAX_DEPTH) throw new TemplateFailure('compares values that are nested too deep')
  const digits = digitsOf(value)
  if (digits !== null) {
    spend(ITEM_COST + digits.length)
    return plainDecimal(digits)
  }
  if (typeof value !== 'object' || value === null) {
    spend(ITEM_COST + (typeof value === 'string' ? value.length : 0))
    return JSON.stringify(value ?? null)
  }
  if (Array.isArray(value)) {
    spend(ITEM_COST + value.length)
    return `[${value.map((item) => keyOf(item, spend, depth + 1)).join()}]`
  }
  const names = Object.keys(value)
  spend(MEMBER_COST * (names.length + 1))
  const members = names
    .sort()
    .map(
      (name) =>
        `${JSON.stringify(name)}:${keyOf((value as Record<string, unknown>)[name], spend, depth + 1)}`,
    )
  return `{${members.join()}}`
}
