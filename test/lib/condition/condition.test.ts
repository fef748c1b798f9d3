import fc from 'fast-check'
import t from 'tap'
import { cpuTimer } from '#test/support/cpu-time.ts'
import type { ConditionContext } from '#lib/condition/index.ts'
import { checkCondition, evaluateCondition } from '#lib/condition/index.ts'
import { OPERATORS } from '#lib/condition/operators/index.ts'
import type { Path } from '#lib/json/path.ts'

/** Of CPU time, generous for slow machines; work that is not linear takes minutes. */
const MAX_MS = 5000

const now = new Date('2026-06-15T12:00:00Z')
const yes = { field: 'trigger.total', operator: 'gt', value: 100 }
const no = { field: 'trigger.total', operator: 'lt', value: 100 }
const root = {
  trigger: {
    total: 129.95,
    country: 'US',
    tags: ['vip', 'b2b'],
    items: [
      { sku: 'A', price: 100, labels: ['x'] },
      { sku: 'B', price: 15, labels: [] },
    ],
  },
}

function holds(condition: unknown, context: Partial<ConditionContext> = {}): boolean {
  return evaluateCondition(condition, root, { now, ...context }).result
}

function codes(condition: unknown): string[] {
  return checkCondition(condition).map((problem) => `${problem.code} ${problem.pointer}`)
}

/** `levels` groups around one test. */
function nest(levels: number): unknown {
  let condition: unknown = yes
  for (let level = 0; level < levels; level++) condition = { all: [condition] }
  return condition
}

t.test('groups combine their conditions', (t) => {
  t.equal(holds({ all: [yes, yes] }), true)
  t.equal(holds({ all: [yes, no] }), false)
  t.equal(holds({ any: [no, yes] }), true)
  t.equal(holds({ any: [no, no] }), false)
  t.equal(holds({ none: [no, no] }), true)
  t.equal(holds({ none: [no, yes] }), false)
  t.equal(holds({ any: [no, { all: [yes, { none: [no] }] }] }), true)
  t.end()
})

t.test('items of a list are tested by name, beside the rest of the data', (t) => {
  const price = { field: 'item.price', operator: 'gte', value: 100 }
  const list = (operator: string, value: unknown, field = 'trigger.items'): boolean =>
    holds({ field, operator, value })
  t.equal(list('any', price), true)
  t.equal(list('all', price), false)
  t.equal(list('none', price), false)
  t.equal(list('any', { all: [price, { field: 'trigger.country', operator: 'equals', value: 'US' }] }), true)
  t.equal(list('any', { field: 'item', operator: 'equals', value: 'vip' }, 'trigger.tags'), true)
  t.equal(list('all', { field: 'item', operator: 'equals', value: 'vip' }, 'trigger.tags'), false)
  t.equal(list('count', { operator: 'equals', value: 1, where: price }), true)
  const label = { field: 'item', operator: 'equals', value: 'x' }
  t.equal(list('any', { field: 'item.labels', operator: 'any', value: label }), true)
  t.equal(list('all', { field: 'item.labels', operator: 'any', value: label }), false)
  t.equal(holds({ field: 'item.price', operator: 'exists' }), false)
  t.equal(list('all', price, 'trigger.nowhere'), false)
  t.end()
})

t.test('changed asks the context for the earlier value', (t) => {
  const changed = { field: 'trigger.country', operator: 'changed_to', value: 'US' }
  const before = (value: string) => ({
    earlier: (path: Path) => (path.join('.') === 'trigger.country' ? { value } : undefined),
  })
  t.equal(holds(changed, before('DE')), true)
  t.equal(holds(changed, before('US')), false)
  t.equal(holds({ ...changed, field: 'trigger.total', value: 100 }, before('DE')), false)
  t.equal(holds(changed), false)
  t.end()
})

t.test('notes say which test could not be made, and never the value', (t) => {
  const condition = { any: [{ field: 'trigger.country', operator: 'gt', value: 5 }, no] }
  const { result, notes } = evaluateCondition(condition, root, { now })
  t.equal(result, false)
  t.same(notes, ['trigger.country gt: needs number, found text'])
  t.end()
})

t.test('whatever condition it is given, it answers', (t) => {
  const name = fc.constantFrom(...OPERATORS.keys(), 'nope')
  const field = fc.constantFrom('trigger.items', 'trigger.tags', 'trigger.total', 'item', '..', '__proto__.x')
  const test = fc.record({ field, operator: name, value: fc.jsonValue({ maxDepth: 2 }) })
  const condition = fc.letrec((tie) => ({
    node: fc.oneof(
      { depthSize: 'small' },
      test,
      fc.record({ field, operator: fc.constantFrom('any', 'all', 'none'), value: tie('node') }),
      fc.record({ all: fc.array(tie('node'), { maxLength: 3 }) }),
      fc.record({ none: fc.array(tie('node'), { maxLength: 3 }) }),
      fc.jsonValue({ maxDepth: 2 }),
    ),
  })).node
  fc.assert(
    fc.property(condition, (value) => {
      t.equal(typeof evaluateCondition(value, root, { now }).result, 'boolean')
      t.ok(Array.isArray(checkCondition(value)))
    }),
    { numRuns: 500 },
  )
  t.end()
})

t.test('lists in lists of data cannot stall it', (t) => {
  let condition: unknown = { field: 'item', operator: 'equals', value: 1 }
  for (let level = 0; level < 5; level++) condition = { field: 'list', operator: 'all', value: condition }
  const spent = cpuTimer()
  const { result, notes } = evaluateCondition(condition, { list: Array(2000).fill(1) }, { now })
  t.equal(result, false)
  t.match(notes, [/stopped, because it costs too much work/])
  const { result: none } = evaluateCondition(
    { none: [{ field: 'list', operator: 'contains', value: 0 }] },
    { list: Array(200_000).fill(1) },
    { now },
  )
  t.equal(none, false)
  t.ok(spent() < MAX_MS)
  t.end()
})

t.test('every operator can be used as its example shows', (t) => {
  for (const { example } of OPERATORS.values()) {
    t.same(checkCondition(example, { checkPattern: () => null }), [], example.operator)
  }
  t.end()
})

t.test('problems name the place and the fix', (t) => {
  t.same(codes('x'), ['condition_malformed '])
  t.same(codes({ all: yes }), ['condition_malformed /all'])
  t.same(codes({ all: [yes, null] }), ['condition_malformed /all/1'])
  t.same(codes({ any: [] }), ['condition_empty /any'])
  t.same(codes({ any: [yes], all: [yes] }), ['unknown_property /any'])
  t.same(codes({ ...yes, op: 'x' }), ['unknown_property /op'])
  t.same(codes({ ...yes, field: 'a..b' }), ['invalid_field /field'])
  t.same(codes({ operator: 'exists' }), ['invalid_field /field'])
  t.same(codes({ ...yes, operator: 'greater' }), ['unknown_operator /operator'])
  t.same(codes({ field: 'a', operator: 'gt' }), ['missing_operand '])
  t.same(codes({ field: 'a', operator: 'exists', value: true }), ['extra_operand /value'])
  t.same(codes({ ...yes, value: '100' }), ['invalid_operand /value'])
  t.same(codes({ field: 'a', operator: 'between', value: [2, 1] }), ['invalid_operand /value'])
  t.same(codes({ field: 'a', operator: 'between', value: ['2026-02-01', '2026-01-01'] }), [
    'invalid_operand /value',
  ])
  t.same(codes({ field: 'a', operator: 'within_last', value: '1 month' }), ['invalid_operand /value'])
  t.same(codes({ field: 'a', operator: 'in', value: Array(101).fill(1) }), ['invalid_operand /value'])
  t.same(codes({ field: 'a', operator: 'matches', value: 'x' }), ['operator_unavailable /operator'])
  t.same(codes({ field: 'a', operator: 'count', value: { operator: 'in', value: [1] } }), [
    'unknown_operator /value/operator',
  ])
  t.same(
    codes({
      field: 'a',
      operator: 'count',
      value: { operator: 'between', value: ['2026-01-01', '2026-02-01'] },
    }),
    ['invalid_operand /value/value'],
  )
  t.same(codes({ field: 'a', operator: 'any', value: { field: 'item', operator: 'nope' } }), [
    'unknown_operator /value/operator',
  ])
  t.same(codes({ none: [{ field: 'a', operator: 'any', value: { 'x/y': 1 } }] }), [
    'unknown_property /none/0/value/x~1y',
    'invalid_field /none/0/value/field',
    'unknown_operator /none/0/value/operator',
  ])
  const [problem] = checkCondition({ field: 'a', operator: 'gt' })
  t.equal(problem?.detail, 'Add "value": "gt" needs a number.')
  const [noTime] = checkCondition({ field: 'a', operator: 'before', value: 'tomorrow' })
  t.match(noTime?.detail, /ISO 8601 time such as .*, or seconds or milliseconds since 1970/)
  t.end()
})

t.test('an unsafe pattern is reported with what the engine says', (t) => {
  const problems = checkCondition(
    { field: 'a', operator: 'matches', value: '(' },
    { checkPattern: (pattern) => (pattern === '(' ? 'Close the group.' : null) },
  )
  t.same(problems, [{ pointer: '/value', code: 'unsafe_pattern', detail: 'Close the group.' }])
  t.end()
})

t.test('values with a template are left to run time', (t) => {
  t.same(codes({ ...yes, value: '{{variables.minimum}}' }), [])
  t.same(codes({ field: 'a', operator: 'between', value: ['{{trigger.low}}', 10] }), [])
  t.same(codes({ field: 'a', operator: 'before', value: '{{now + 3 days}}' }), [])
  t.end()
})

t.test('five levels and a hundred tests are the limit, for checking and evaluating', (t) => {
  t.same(codes(nest(5)), [])
  t.equal(holds(nest(5)), true)
  t.match(codes(nest(6)), [/^condition_too_deep /])
  t.equal(holds(nest(6)), false)
  t.same(codes({ all: Array(100).fill(yes) }), [])
  t.same(codes({ all: Array(500).fill(yes) }), ['condition_too_large /all/100'])
  const spent = cpuTimer()
  t.ok(codes(nest(10_000)).length > 0)
  t.ok(codes({ all: Array(1e6).fill({ a: 1, b: 2 }) }).length < 1000)
  t.ok(codes(Object.fromEntries(Array.from({ length: 1e5 }, (_, n) => [`k${n}`, n]))).length < 200)
  t.ok(spent() < MAX_MS)
  t.end()
})
