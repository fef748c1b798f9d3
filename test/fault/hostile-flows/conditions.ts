import { type Hostile, many, nest, test } from './definition.ts'

const PATTERNS = [
  '^(a+)+$',
  '(a|a)*$',
  '(a|aa)+$',
  '^(.*a){25}$',
  '(.*)*(.*)*(.*)*b',
  '((a{1,100}){1,100}){1,100}',
  'a{1,1000}a{1,1000}',
  '(?:a?){400}a{400}',
  '^(?=(a+))\\1+$',
  '(?<=a{100})b',
  '[a-z]+'.repeat(80),
  '('.repeat(250) + ')'.repeat(250),
  '('.repeat(500),
  '[^'.repeat(100),
  '\\p{L}+\\p{N}*\\p{L}+$',
  '(?i)(ſ|K|s|k)+$',
  'x'.repeat(600),
  '\\1',
  '(?R)',
  '(*UTF8)a',
  '(?P<a>a)(?P<a>b)',
  'a{999999999}',
  '[\u{10ffff}-\0]',
  '\ud800',
]

export function patterns(): Hostile[] {
  return PATTERNS.flatMap((value) => [
    test(`matches ${value.slice(0, 30)}`, { field: 'trigger.bomb', operator: 'matches', value }),
    test(`any of a list matches ${value.slice(0, 30)}`, {
      field: 'trigger.lists',
      operator: 'any',
      value: { field: 'item', operator: 'matches', value },
    }),
  ])
}

export function conditions(): Hostile[] {
  const leaf = { field: 'trigger.text', operator: 'exists' }
  const groups = (depth: number): unknown => {
    let group: unknown = leaf
    for (let level = 0; level < depth; level++) group = { all: [group] }
    return group
  }
  return [
    ...[6, 20, 29].map((depth) => test(`groups ${depth} deep`, groups(depth))),
    test('five thousand tests', {
      any: many(5_000, (n) => ({ ...leaf, operator: 'equals', value: `${n}` })),
    }),
    test('a group of nothing', { all: [] }),
    test('a group that is a text', { all: 'x' }),
    test('in a list of twenty thousand', {
      field: 'trigger.text',
      operator: 'in',
      value: many(20_000, String),
    }),
    test('between the wrong way', { field: 'trigger.huge', operator: 'between', value: [1e308, -1e308] }),
    test('within the last eternity', { field: 'trigger.at', operator: 'within_last', value: '1e99 days' }),
    test('older than a negative time', { field: 'trigger.at', operator: 'older_than', value: '-5 days' }),
    test('before no day', { field: 'trigger.at', operator: 'before', value: '2030-02-30' }),
    test('equals itself, deeply', { field: 'trigger.deep', operator: 'equals', value: nest(1, 25) }),
    test('contains a list', { field: 'trigger.list', operator: 'contains', value: [[[]]] }),
    test('a field of dots', { field: '.'.repeat(10_000), operator: 'exists' }),
    test('a field of nothing', { field: '', operator: 'exists' }),
    test('a field that is an object', { field: { a: 1 }, operator: 'exists' }),
    test('count of a huge number', { field: 'trigger.list', operator: 'count', value: 1e300 }),
  ]
}
