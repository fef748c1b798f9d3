import t from 'tap'
import { evaluateCondition } from '#lib/condition/index.ts'
import { earlierValue } from '#lib/condition/earlier-value.ts'
import type { Path } from '#lib/json/path.ts'

function holds(data: object, field: string, operator: string, value?: unknown): boolean {
  const condition = { field, operator, ...(value !== undefined && { value }) }
  const earlier = (path: Path) => earlierValue(data, path)
  return evaluateCondition(condition, data, { now: new Date(), earlier }).result
}

t.test('an event tells earlier values by previous, by previous_<field> or by the names of changes', (t) => {
  const price = { total: 100, previous: { total: 90 } }
  t.equal(holds(price, 'total', 'changed'), true)
  t.equal(holds(price, 'total', 'changed_to', 100), true)
  t.equal(holds(price, 'total', 'changed_to', 90), false)
  t.equal(holds({ ...price, total: 90 }, 'total', 'changed'), false)
  t.equal(holds({ a: { b: 1 }, previous: { a: { b: 2 } } }, 'a.b', 'changed'), true)

  const lead = { status: 'won', previous_status: 'new' }
  t.equal(holds(lead, 'status', 'changed_to', 'won'), true)
  t.equal(holds({ ...lead, previous_status: 'won' }, 'status', 'changed'), false)

  const customer = { name: 'Ana', phone: null, tags: ['vip'], changes: ['phone', 'tags'] }
  t.equal(holds(customer, 'phone', 'changed'), true, 'also to nothing')
  t.equal(holds(customer, 'tags', 'changed'), true)
  t.equal(holds(customer, 'tags', 'changed_to', ['vip']), true)
  t.equal(holds(customer, 'name', 'changed'), false)
  t.end()
})

t.test('what an event does not tell has not changed', (t) => {
  t.equal(holds({ total: 100 }, 'total', 'changed'), false)
  t.equal(holds({ total: 100, previous: 90 }, 'total', 'changed'), false)
  t.equal(holds({ total: 100, changes: 'total' }, 'total', 'changed'), false)
  t.equal(earlierValue({ previous: { total: 1 } }, []), undefined)
  t.equal(earlierValue(null, ['total']), undefined)
  t.end()
})

t.test('a change of stock tells of its one number', async (t) => {
  const data = { product_id: 1, available: 118, previous: 120 }
  t.strictSame(earlierValue(data, ['available']), { value: 120 })
  t.equal(earlierValue(data, ['product_id']), undefined)
  t.equal(earlierValue({ available: 1, previous: 'x' }, ['available']), undefined)
})
