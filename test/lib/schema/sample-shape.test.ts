import t from 'tap'
import { exactNumber } from '#lib/json/raw-number.ts'
import { shapeOf } from '#lib/schema/sample-shape.ts'

t.test('a shape has names and kinds, and no value that was sent', async (t) => {
  const data = {
    customer_id: '0196f1d2-6b1c-7c3e-9a57-3f0b1c2d4e5f',
    email: 'ana@lima.pt',
    name: 'Ana',
    total: '29.90',
    count: 7,
    rate: 0.25,
    exact: exactNumber('12345678901234567890'),
    at: '2026-03-01T10:00:00Z',
    vip: false,
    none: null,
    items: [{ sku: 'A' }, { sku: 'B' }],
    by_email: { 'ana@lima.pt': 1, '+351934567890': 2, cust_12345: 3, kept: 4 },
  }
  t.strictSame(shapeOf(data), {
    customer_id: '00000000-0000-0000-0000-000000000000',
    email: 'someone@example.com',
    name: 'text',
    total: '1',
    count: 1,
    rate: 1.5,
    exact: 1,
    at: '2030-01-01T12:00:00Z',
    vip: true,
    none: null,
    items: [{ sku: 'text' }],
    by_email: { kept: 1 },
  })
})

t.test('a shape is small, whatever it is made of', async (t) => {
  const wide = Object.fromEntries(
    Array.from({ length: 5_000 }, (_, index) => [`m${String(index).split('').join('_')}`, 'x'.repeat(99)]),
  )
  t.ok(JSON.stringify(shapeOf(wide)).length <= 8_192)
  let deep: Record<string, unknown> = {}
  for (let depth = 0; depth < 60; depth++) deep = { a: [deep] }
  t.ok(JSON.stringify(shapeOf(deep)).length < 200)
})
