import t from 'tap'
import { parseJson } from '#lib/json/index.ts'
import { type KeyedEvent, orderingKey, orderingRule } from '#modules/event/intake/ordering.ts'

const PLUGIN = '01900000-0000-7000-8000-000000000001'
const OTHER = '01900000-0000-7000-8000-000000000002'

function keyOf(event: Partial<KeyedEvent>, path: string | null = null, plugin = PLUGIN): string | null {
  const rule = orderingRule('key', path)
  if (rule === undefined) throw new Error('no rule')
  return orderingKey(plugin, rule, { event: 'product.updated', data: {}, subject: null, ...event })
}

t.test('without a path the key is the id of what the type is about', async (t) => {
  const product = keyOf({ data: { product_id: 'p1' } })
  t.match(product, /^[0-9a-f]{32}$/)
  t.equal(keyOf({ event: 'inventory.low', data: { product_id: 'p1', available: 1 } }), product)
  t.equal(keyOf({ event: 'product.price_changed', data: { product_id: 'p1' } }), product, 'a type of nobody')
  t.not(keyOf({ data: { product_id: 'p2' } }), product)
  for (const kind of ['order', 'customer', 'booking']) {
    t.not(keyOf({ event: `${kind}.created`, data: { [`${kind}_id`]: 'p1' } }), product, kind)
  }
  t.not(
    keyOf({ data: { product_id: 'p1' } }, null, OTHER),
    product,
    'keys of two plugins tell nothing of each other',
  )
  t.equal(keyOf({ event: 'constructor.called', data: { product_id: 'p1' } }), null)
  t.equal(keyOf({ event: 'single', data: { product_id: 'p1' } }), null)
})

t.test('a subject goes before that, and a path before both', async (t) => {
  const subject = keyOf({ subject: 's1', data: { product_id: 'p1' } })
  t.not(subject, keyOf({ data: { product_id: 'p1' } }))
  t.equal(keyOf({ subject: 's1', event: 'other.thing' }), subject)
  const byPath = keyOf({ subject: 's1', data: { customer: { id: 'c1' } } }, 'customer.id')
  t.equal(byPath, keyOf({ subject: 's2', event: 'x.y', data: { customer: { id: 'c1' } } }, 'customer.id'))
  t.equal(keyOf({ subject: '', data: {} }), null)
})

t.test('text, numbers and booleans are keys, of any length; nothing else is', async (t) => {
  const at = (source: string) => keyOf({ data: parseJson(Buffer.from(`{"k":${source}}`)) }, 'k')
  for (const value of ['{}', '[]', 'null', '""']) t.equal(at(value), null, value)
  t.equal(keyOf({ data: {} }, 'k'), null, 'absent')
  t.equal(at('1.10'), at('1.1'))
  t.not(at('12345678901234567890123'), at('12345678901234567890124'))
  t.ok(at('true'))
  t.match(at(JSON.stringify('x\n'.repeat(100_000))), /^[0-9a-f]{32}$/)
})

t.test('a plugin that does not ask for it has no rule', async (t) => {
  t.equal(orderingRule('none', 'customer.id'), undefined)
})
