import t from 'tap'
import { decideFairly, type Verdict } from '#lib/async/fair-budget.ts'
import { StepBudget } from '#lib/step-budget.ts'

interface Item {
  cost: number
  is: boolean
}

/** Works until its share is used up. */
function decide({ cost, is }: Item, share: StepBudget): Verdict {
  const isEnough = cost <= share.left
  share.take(Math.min(cost, share.left))
  return isEnough ? is : null
}

t.test('who costs much is in nobody’s way', (t) => {
  const budget = new StepBudget(10_000)
  const cheap = Array.from({ length: 90 }, (_, index) => ({ cost: 20, is: index % 2 === 0 }))
  const greedy = Array.from({ length: 10 }, () => ({ cost: 1_000_000, is: true }))
  const { yes, undecided } = decideFairly([...greedy, ...cheap], budget, decide)
  t.strictSame(
    yes,
    cheap.filter(({ is }) => is),
  )
  t.strictSame(undecided, greedy)
  t.equal(budget.left, 0)
  t.end()
})

t.test('what the cheap ones leave is for those that cost more', (t) => {
  const budget = new StepBudget(10_000)
  const items = [
    { cost: 4_000, is: true },
    { cost: 3_000, is: false },
    ...Array.from({ length: 50 }, () => ({ cost: 1, is: true })),
  ]
  const { yes, undecided } = decideFairly(items, budget, decide)
  t.equal(yes.length, 51)
  t.equal(yes[0], items[0], 'in their order')
  t.strictSame(undecided, [])
  t.end()
})

t.test('nobody and nothing', (t) => {
  t.strictSame(decideFairly([], new StepBudget(0), decide), { yes: [], undecided: [] })
  const item = { cost: 1, is: true }
  t.strictSame(decideFairly([item], new StepBudget(0), decide), { yes: [], undecided: [item] })
  t.end()
})
