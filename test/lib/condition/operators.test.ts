import t from 'tap'
import { parseJson } from '#lib/json/index.ts'
import type { OperatorContext, OperatorName } from '#lib/condition/operators/index.ts'
import { describeOperators, findOperator, OPERATORS } from '#lib/condition/operators/index.ts'

const now = new Date('2026-06-15T12:00:00Z')
const big = parseJson(Buffer.from('9007199254740993'))
const NEGATIONS = ['not_equals', 'not_in', 'not_exists', 'is_empty', 'not_contains', 'none']

function run(
  name: OperatorName,
  subject: unknown,
  operand?: unknown,
  context: Partial<OperatorContext> = {},
): { result: boolean; notes: string[] } {
  const notes: string[] = []
  const full = { now, note: (text: string) => void notes.push(text), ...context }
  return { result: findOperator(name)?.evaluate(subject, operand, full) ?? false, notes }
}

t.test('every operator says yes and no where a merchant expects it', (t) => {
  const cases: [OperatorName, unknown, unknown, boolean][] = [
    ['equals', 'US', 'US', true],
    ['equals', 'us', 'US', false],
    ['equals', 1, 1, true],
    ['equals', '1', 1, false],
    ['equals', null, null, true],
    ['equals', { a: [1, { b: 2 }], c: 1 }, { c: 1, a: [1, { b: 2 }] }, true],
    ['equals', { a: 1 }, { a: 1, b: undefined }, false],
    ['equals', [1, 2], [2, 1], false],
    ['equals', big, big, true],
    ['equals', big, 9007199254740992, false],
    ['not_equals', 'a', 'b', true],
    ['not_equals', 'a', 'a', false],
    ['not_equals', '1', 1, true],
    ['in', 'DE', ['DE', 'AT'], true],
    ['in', 'US', ['DE', 'AT'], false],
    ['in', 1, ['1'], false],
    ['not_in', 'US', ['DE'], true],
    ['not_in', 'DE', ['DE'], false],
    ['exists', '', undefined, true],
    ['exists', false, undefined, true],
    ['exists', null, undefined, false],
    ['not_exists', null, undefined, true],
    ['not_exists', 0, undefined, false],
    ['is_empty', '', undefined, true],
    ['is_empty', [], undefined, true],
    ['is_empty', {}, undefined, true],
    ['is_empty', null, undefined, true],
    ['is_empty', 0, undefined, false],
    ['is_empty', false, undefined, false],
    ['is_empty', big, undefined, false],
    ['is_empty', ' ', undefined, false],
    ['is_not_empty', 'a', undefined, true],
    ['is_not_empty', [], undefined, false],
    ['is_true', true, undefined, true],
    ['is_true', false, undefined, false],
    ['is_false', false, undefined, true],
    ['is_false', true, undefined, false],
    ['gt', 10, 9, true],
    ['gt', 9, 9, false],
    ['gt', big, 9007199254740992, true],
    ['gte', 9, 9, true],
    ['gte', 8, 9, false],
    ['lt', -1, 0, true],
    ['lt', 0, 0, false],
    ['lte', 0, 0, true],
    ['lte', 1, 0, false],
    ['between', 50, [50, 200], true],
    ['between', 201, [50, 200], false],
    ['between', '2026-02-01', ['2026-01-01', '2026-03-01'], true],
    ['between', '2026-04-01', ['2026-01-01', '2026-03-01'], false],
    ['contains', 'a vip customer', 'vip', true],
    ['contains', ['vip'], 'vip', true],
    ['contains', ['vip'], 'vi', false],
    ['contains', [{ a: 1 }], { a: 1 }, true],
    ['not_contains', 'abc', 'x', true],
    ['not_contains', ['x'], 'x', false],
    ['starts_with', 'SHOE-1', 'SHOE-', true],
    ['starts_with', 'xSHOE-1', 'SHOE-', false],
    ['ends_with', 'a@b.co', '@b.co', true],
    ['ends_with', 'a@b.com', '@b.co', false],
    ['before', '2026-06-15T13:00:00+02:00', '2026-06-15T12:00:00Z', true],
    ['before', '2026-06-15T12:00:00Z', '2026-06-15T12:00:00Z', false],
    ['after', '2026-06-16', '2026-06-15', true],
    ['after', '2026-06-15', '2026-06-15', false],
    ['within_last', '2026-06-14T12:00:00Z', '1 day', true],
    ['within_last', '2026-06-14T11:59:59Z', '1 day', false],
    ['within_last', '2026-06-15T12:00:01Z', '1 day', false],
    ['within_next', '2026-06-15T13:00:00Z', 'PT1H', true],
    ['within_next', '2026-06-15T13:00:01Z', 'PT1H', false],
    ['within_next', '2026-06-15T11:59:59Z', 'PT1H', false],
    ['older_than', '2026-06-12T11:59:59Z', '72h', true],
    ['older_than', '2026-06-12T12:00:00Z', '72h', false],
    ['count', [1, 2], 2, true],
    ['count', [1, 2], 3, false],
    ['count', [1, 2], { operator: 'gte', value: 2 }, true],
    ['count', [1, 2], { operator: 'lt', value: 2 }, false],
    ['count', [], { operator: 'between', value: [0, 1] }, true],
  ]
  for (const [name, subject, operand, wanted] of cases) {
    const { result } = run(name, subject, operand)
    t.equal(result, wanted, `${JSON.stringify(subject)} ${name} ${JSON.stringify(operand)}`)
  }
  t.end()
})

t.test('of a missing field only the negations are true', (t) => {
  for (const operator of OPERATORS.values()) {
    const { result, notes } = run(operator.name, undefined, operator.example.value, {
      testItem: () => true,
      matchPattern: () => true,
      previous: { value: 1 },
    })
    t.equal(result, NEGATIONS.includes(operator.name), operator.name)
    t.same(notes, [], operator.name)
  }
  t.end()
})

t.test('what does not fit is false, with a note and without a conversion', (t) => {
  const cases: [OperatorName, unknown, unknown, RegExp][] = [
    ['is_true', 'true', undefined, /needs boolean, found text/],
    ['is_false', 'false', undefined, /needs boolean, found text/],
    ['is_true', 1, undefined, /needs boolean, found number/],
    ['gt', '10', '9', /needs number, found text/],
    ['gt', 10, '9', /text: needs number/],
    ['equals', '10', 10, /text with number, which are never equal/],
    ['between', 5, ['2026-01-01', '2026-02-01'], /a number with times/],
    ['between', '2026-01-01', [1, 2], /a time with numbers/],
    ['between', 5, [1], /needs range/],
    ['contains', 12, 1, /needs text or list, found number/],
    ['contains', '12', 1, /looks for number in text/],
    ['not_contains', '12', 1, /looks for number in text/],
    ['not_contains', 12, 1, /found number/],
    ['in', 'a', 'abc', /needs list/],
    ['starts_with', 5, '5', /found number/],
    ['before', 'tomorrow', '2026-01-01', /needs time, found text/],
    ['after', '2026-01-01', 'now', /needs time/],
    ['within_last', '2026-01-01', 'a while', /needs duration/],
    ['count', 'abc', 3, /needs list/],
    ['count', [1], { operator: 'contains', value: 1 }, /needs a number or one of/],
    ['any', 'abc', {}, /needs list/],
    ['any', [1], {}, /cannot test items here/],
    ['changed', 1, undefined, /no earlier value/],
  ]
  for (const [name, subject, operand, note] of cases) {
    const { result, notes } = run(name, subject, operand)
    t.equal(result, false, name)
    t.match(notes, [note], name)
  }
  t.end()
})

t.test('changed compares with the earlier value', (t) => {
  const before = (value: unknown): Partial<OperatorContext> => ({ previous: { value } })
  t.equal(run('changed', 2, undefined, before(1)).result, true)
  t.equal(run('changed', { a: 1 }, undefined, before({ a: 1 })).result, false)
  t.equal(run('changed', 'x', undefined, before(null)).result, true)
  t.equal(run('changed', null, undefined, before('x')).result, true)
  t.equal(run('changed_to', 'shipped', 'shipped', before('paid')).result, true)
  t.equal(run('changed_to', 'shipped', 'shipped', before('shipped')).result, false)
  t.equal(run('changed_to', 'paid', 'shipped', before('open')).result, false)
  t.end()
})

t.test('matches needs an engine, and hands it only what is bounded', (t) => {
  const calls: string[][] = []
  const context = {
    matchPattern: (pattern: string, subject: string) => {
      calls.push([pattern, subject])
      if (pattern === '(') throw new SyntaxError('missing )')
      return subject.includes(pattern)
    },
  }
  t.match(run('matches', 'abc', 'b'), { result: false, notes: [/not available/] })
  t.equal(run('matches', 'abc', 'b', context).result, true)
  t.match(run('matches', 'abc', '(', context), { result: false, notes: [/^cannot be tested: /] })
  t.match(run('matches', 'é'.repeat(4097), 'b', context), { result: false, notes: [/more than 8 KB/] })
  t.match(run('matches', 'abc', 'b'.repeat(513), context), { result: false, notes: [/more than 512 bytes/] })
  t.same(calls, [
    ['b', 'abc'],
    ['(', 'abc'],
  ])
  t.end()
})

t.test('the described table is complete, serialisable and says what is available', (t) => {
  const names = [...OPERATORS.keys()]
  t.same(
    names.join(' '),
    'equals not_equals in not_in exists not_exists is_empty is_not_empty is_true is_false gt gte lt lte between ' +
      'contains not_contains starts_with ends_with matches before after within_last within_next older_than ' +
      'any all none count changed changed_to',
  )
  const table = describeOperators()
  t.same(JSON.parse(JSON.stringify(table)), table)
  for (const { name, description, example, operand, operands } of table) {
    t.match(description, /^[A-Z].*\.$/, name)
    t.equal(example.operator, name)
    t.equal('value' in example, operand !== null, name)
    t.equal(operands === 0, operand === null, name)
  }
  t.same(
    table.filter((row) => !row.available).map((row) => row.name),
    ['matches'],
  )
  t.ok(describeOperators({ matchPattern: () => true }).every((row) => row.available))
  t.same(
    table
      .filter((row) => row.when_missing)
      .map((row) => row.name)
      .sort(),
    [...NEGATIONS].sort(),
  )
  t.equal(findOperator('constructor'), undefined)
  t.equal(findOperator({}), undefined)
  t.end()
})
