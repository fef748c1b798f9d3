import fc from 'fast-check'
import t from 'tap'
import { checkCondition, evaluateCondition, MAX_CONDITION_STEPS } from '#lib/condition/index.ts'
import { parseJson } from '#lib/json/index.ts'
import type { OperatorName } from '#lib/condition/operators/index.ts'
import { MAX_NEEDLE_CHARS, OPERATORS } from '#lib/condition/operators/index.ts'
import { matchPattern } from '#lib/condition/pattern.ts'
import { StepBudget } from '#lib/step-budget.ts'
import { TextSearch } from '#lib/text-search.ts'

const now = new Date('2026-06-15T12:00:00Z')
const LONG_TEXT = 'a'.repeat(900_000)
const members = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, n) => [`m${n}`, n]))
const digits = (count: number) => parseJson(Buffer.from('9'.repeat(count)))

/** Returns the steps that a test costs. */
function cost(operator: OperatorName, subject: unknown, value?: unknown): number {
  const budget = new StepBudget(10 * MAX_CONDITION_STEPS)
  const earlier = () => ({ value: structuredClone(subject) })
  evaluateCondition({ field: 'f', operator, value }, { f: subject }, { now, matchPattern, budget, earlier })
  return budget.spent
}

t.test('text that made searching quadratic is searched in linear time', (t) => {
  const needle = `${'a'.repeat(4500)}b${'a'.repeat(4500)}`
  t.equal(new TextSearch(needle).indexIn(LONG_TEXT), -1)
  t.equal(new TextSearch(needle).indexIn(LONG_TEXT + needle + LONG_TEXT), LONG_TEXT.length)
  t.end()
})

t.test('a search finds what indexOf finds', (t) => {
  const text = (maxLength: number) => fc.string({ maxLength, unit: fc.constantFrom('a', 'b', 'é', '😀') })
  fc.assert(
    fc.property(text(20), text(10), fc.nat(30), (haystack, needle, from) => {
      // Long enough that the engine's own search is not used.
      const [long, searched] = [haystack.repeat(300), needle.repeat(12)]
      t.equal(new TextSearch(searched).indexIn(long, from), long.indexOf(searched, from))
    }),
    { numRuns: 300 },
  )
  t.end()
})

t.test('six searches for made-up text in one filter', (t) => {
  const value = `${'a'.repeat(4500)}b${'a'.repeat(4500)}`
  const contains = { field: 'text', operator: 'contains', value }
  const filter = { any: Array(6).fill(contains) }
  t.match(checkCondition(filter), [
    { pointer: '/any/0/value', code: 'invalid_operand', detail: /at most 1000 characters/ },
  ])
  t.match(evaluateCondition(filter, { text: LONG_TEXT }, { now }), {
    result: false,
    notes: [/more than 1000 characters/],
  })
  t.equal(
    evaluateCondition({ ...contains, operator: 'not_contains' }, { text: 'b' }, { now }).result,
    false,
    'what cannot be tested is false, also where it is negated',
  )
  const longest = { ...contains, value: `${'a'.repeat(499)}b${'a'.repeat(500)}` }
  t.equal(longest.value.length, MAX_NEEDLE_CHARS)
  t.same(checkCondition(longest), [])
  const budget = new StepBudget(MAX_CONDITION_STEPS)
  const many = { any: Array(100).fill(longest) }
  t.match(evaluateCondition(many, { text: LONG_TEXT }, { now, budget }), { exhausted: true })
  t.ok(budget.left < LONG_TEXT.length / 64, 'it went as far as the budget')
  t.end()
})

t.test('what grows with the data costs more', (t) => {
  const grows: [OperatorName, small: unknown, large: unknown, value: (subject: unknown) => unknown][] = [
    ['equals', members(10), members(60_000), (subject) => ({ ...(subject as object), more: 1 })],
    ['equals', 'a'.repeat(10), LONG_TEXT, (subject) => `${String(subject).slice(1)}b`],
    ['equals', [1], Array(10_000).fill(1), (subject) => structuredClone(subject)],
    ['equals', digits(20), digits(1000), () => 1],
    ['not_equals', members(10), members(60_000), () => ({})],
    ['in', members(10), members(60_000), () => [{}, {}]],
    ['not_in', members(10), members(60_000), () => [{}, {}]],
    ['is_empty', members(10), members(60_000), () => undefined],
    ['is_not_empty', members(10), members(60_000), () => undefined],
    ['contains', 'a'.repeat(10), LONG_TEXT, () => 'ab'],
    ['contains', [1], Array(10_000).fill(1), () => 2],
    ['not_contains', 'a'.repeat(10), LONG_TEXT, () => 'ab'],
    ['starts_with', 'a', LONG_TEXT, (subject) => subject],
    ['ends_with', 'a', LONG_TEXT, (subject) => subject],
    ['matches', 'a', 'a'.repeat(8000), () => 'abcdefgh'],
    ['any', [1], Array(10_000).fill(1), () => ({ field: 'item', operator: 'gt', value: 1 })],
    ['all', [1], Array(10_000).fill(1), () => ({ field: 'item', operator: 'gt', value: 0 })],
    ['none', [1], Array(10_000).fill(1), () => ({ field: 'item', operator: 'gt', value: 1 })],
    ['gt', digits(20), digits(1000), () => 1],
    ['gte', digits(20), digits(1000), () => 1],
    ['lt', digits(20), digits(1000), () => 1],
    ['lte', digits(20), digits(1000), () => 1],
    ['between', digits(20), digits(1000), () => [1, 2]],
    ['changed', members(10), members(60_000), () => undefined],
    ['changed_to', members(10), members(60_000), () => ({})],
  ]
  for (const [operator, small, large, value] of grows) {
    const [few, many] = [cost(operator, small, value(small)), cost(operator, large, value(large))]
    t.ok(many > few + 100, `${operator}: ${few} and ${many} steps`)
  }
  const where = { field: 'item', operator: 'gt', value: 1 }
  const count = { operator: 'gt', value: 1, where }
  t.ok(cost('count', Array(10_000).fill(1), count) > 10_000)
  const constant = ['exists', 'not_exists', 'is_true', 'is_false', 'before', 'after', 'within_last']
  const known = new Set([...grows.map(([name]) => name), 'count', ...constant, 'within_next', 'older_than'])
  t.same(
    [...OPERATORS.keys()].filter((name) => !known.has(name)),
    [],
    'a new operator says what it costs',
  )
  t.end()
})

t.test('names of changed fields are looked through, and charged', (t) => {
  const budget = new StepBudget(MAX_CONDITION_STEPS)
  const earlier = (_field: unknown, spend: (steps: number) => void) => {
    spend(5000)
    return undefined
  }
  evaluateCondition({ field: 'f', operator: 'changed' }, { f: 1 }, { now, budget, earlier })
  t.ok(budget.spent > 5000)
  t.end()
})

t.test('evaluations that share a budget stop where it ends', (t) => {
  const budget = new StepBudget(30_000)
  const condition = { field: 'list', operator: 'all', value: { field: 'item', operator: 'gt', value: 0 } }
  const root = { list: Array(2000).fill(1) }
  const results = Array.from({ length: 10 }, () => evaluateCondition(condition, root, { now, budget }))
  t.same(results[0], { result: true, notes: [] })
  t.match(results.at(-1), { result: false, exhausted: true })
  t.equal(budget.left, 0)
  t.end()
})
