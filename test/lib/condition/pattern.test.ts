import fc from 'fast-check'
import t from 'tap'
import { cpuTimer } from '#test/support/cpu-time.ts'
import { checkCondition, evaluateCondition, MAX_CONDITION_STEPS } from '#lib/condition/index.ts'
import { checkPattern, matchPattern } from '#lib/condition/pattern.ts'
import { StepBudget } from '#lib/step-budget.ts'

/** Of CPU time, generous for slow machines; a backtracking engine takes years. */
const MAX_MS = 2000

t.test('patterns are found anywhere in the text', (t) => {
  t.equal(matchPattern('^[0-9]{5}$', '10115'), true)
  t.equal(matchPattern('^[0-9]{5}$', '1011'), false)
  t.equal(matchPattern('(?i)shoe', 'Running SHOES'), true)
  t.equal(matchPattern('\\p{L}+ç', 'Praça'), true)
  t.equal(matchPattern('', ''), true)
  t.end()
})

t.test('unsafe, broken and large patterns are refused with a reason', (t) => {
  t.equal(checkPattern('^[A-Z]{2}-[0-9]+$'), null)
  t.match(checkPattern('(a)\\1'), /no back-references/)
  t.match(checkPattern('(?<!a)b'), /no look-around/)
  t.match(checkPattern('(a'), /missing closing/)
  t.match(checkPattern('[a-z]{900}'), /Repeat less/)
  t.match(checkPattern('(x{1000}){1000}'), /invalid repeat count/)
  t.match(checkPattern('é'.repeat(257)), /512 bytes/)
  for (const pattern of ['(a', '[a-z]{900}', 'x'.repeat(513)]) {
    t.throws(() => matchPattern(pattern, 'a'), pattern.slice(0, 20))
  }
  t.throws(() => matchPattern('a', 'a'.repeat(8193)))
  t.end()
})

t.test('patterns that stall other engines end at once', (t) => {
  const hostile = [
    '(a+)+$',
    '(a|aa)+$',
    '(a*)*b',
    '([a-zA-Z]+)*$',
    '(.*a){12}$',
    '(?:a?){90}a{90}',
    '^(\\w+\\s?)*$',
  ]
  const subject = `${'a'.repeat(8190)}!`
  const spent = cpuTimer()
  for (const pattern of hostile) {
    t.equal(checkPattern(pattern), null, pattern)
    matchPattern(pattern, subject)
  }
  t.ok(spent() < MAX_MS)
  t.end()
})

t.test('a match is charged before it is made, by the sizes of program and text', (t) => {
  const spent: number[] = []
  const spend = (steps: number) => void spent.push(steps)
  t.equal(matchPattern('cost[0-9]+', 'cost1', spend), true)
  t.equal(matchPattern('cost[0-9]+', 'cost1', spend), true)
  t.equal(matchPattern('cost[0-9]+', 'x'.repeat(8000), spend), false)
  const [compiling = 0, first = 0, second = 0, long = 0] = spent
  t.ok(compiling > first, 'compiling costs more than one short match')
  t.equal(second, first)
  t.ok(long > 1000 * first)
  const budget = new StepBudget(10_000)
  t.throws(
    () => {
      for (let call = 0; call < 10_000; call++) {
        matchPattern('a{1,90}b', 'a'.repeat(50), (steps) => budget.spend(steps))
      }
    },
    { message: 'out of steps' },
  )
  t.end()
})

t.test('one condition does a bounded amount of matching', (t) => {
  const texts = Array.from({ length: 10_000 }, () => 'a'.repeat(100))
  const condition = {
    field: 'texts',
    operator: 'any',
    value: { field: 'item', operator: 'matches', value: '(?:a?){90}b' },
  }
  const context = { now: new Date(), matchPattern, budget: new StepBudget(1_000_000) }
  t.match(evaluateCondition(condition, { texts }, context), { result: false, exhausted: true })
  t.ok(context.budget.spent <= 2 * MAX_CONDITION_STEPS)
  t.end()
})

t.test('conditions use it for "matches"', (t) => {
  const condition = { field: 'trigger.postcode', operator: 'matches', value: '^[0-9]{5}$' }
  t.same(checkCondition(condition, { checkPattern }), [])
  t.match(checkCondition({ ...condition, value: '(a)\\1' }, { checkPattern }), [{ code: 'unsafe_pattern' }])
  const root = { trigger: { postcode: '10115' } }
  t.same(evaluateCondition(condition, root, { now: new Date(), matchPattern }), { result: true, notes: [] })
  t.end()
})

t.test('any text is a pattern or is refused, and never more', (t) => {
  fc.assert(
    fc.property(
      fc.string({ maxLength: 60, unit: fc.constantFrom(...Array.from('ab01()[]{}*+?|^$.\\-,pL')) }),
      (pattern) => {
        const fault = checkPattern(pattern)
        if (fault === null) t.type(matchPattern(pattern, 'ab01 ab01'), 'boolean')
        else t.throws(() => matchPattern(pattern, 'ab01'))
      },
    ),
    { numRuns: 500 },
  )
  t.end()
})
