import type { FilterContext, FilterDefinition, FilterSpec } from './filter.ts'
import { argumentFault, boundedJson, MEMBER_COST, scalarText, TemplateFailure } from './filter.ts'
import { FORMAT_FILTERS } from './format.ts'
import { LIST_FILTERS } from './list.ts'
import { MARKUP_FILTERS } from './markup.ts'
import { NUMBER_FILTERS } from './number.ts'
import { countCharacters, firstCharacter, lastCharacter, TEXT_FILTERS } from './text.ts'
import { valueTypeOf } from '#lib/json/value-type.ts'

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
  ...TEXT_FILTERS,
  ...LIST_FILTERS,
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
  ...NUMBER_FILTERS,
  ...FORMAT_FILTERS,
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
  ...MARKUP_FILTERS,
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

/** Runs one filter on values that it was checked to take. Throws TemplateFailure. */
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
