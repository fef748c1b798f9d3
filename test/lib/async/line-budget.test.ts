import t from 'tap'
import { LineBudget } from '#lib/async/line-budget.ts'

t.test('beyond its lines a second the budget refuses, tells how many, and starts anew', async (t) => {
  const told = Promise.withResolvers<number>()
  const budget = new LineBudget(2, told.resolve)
  // The window's own timer does not keep the process alive.
  const alive = setInterval(() => undefined, 1_000)
  t.teardown(() => clearInterval(alive))
  t.strictSame(
    Array.from({ length: 5 }, () => budget.take()),
    [true, true, false, false, false],
  )
  t.equal(await told.promise, 3)
  t.equal(budget.take(), true)
})
