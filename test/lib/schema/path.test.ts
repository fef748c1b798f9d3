import t from 'tap'
import { conditionTests } from '#lib/condition/fields.ts'
import { parsePath } from '#lib/json/path.ts'
import type { SafeSchema } from '#lib/schema/safe/index.ts'
import { describedPaths, isDescribed, nearestPath } from '#lib/schema/path.ts'

const schema: SafeSchema = {
  type: 'object',
  properties: {
    total: { type: 'number' },
    customer: { type: 'object', properties: { email: { type: 'string' } } },
    items: { type: 'array', items: { type: 'object', properties: { sku: { type: 'string' } } } },
    meta: { type: 'object' },
    tags: { type: 'array' },
  },
}
const described = (path: string) => isDescribed(schema, parsePath(path) ?? [])

t.test('a path is described when the schema leads to it, or leaves open what is there', async (t) => {
  for (const path of [
    'total',
    'customer.email',
    'items[0].sku',
    'items.0.sku',
    'meta.any.thing',
    'tags[3]',
  ]) {
    t.equal(described(path), true, path)
  }
  for (const path of ['data.total', 'totl', 'customer.mail', 'items.sku', 'items[0].name', 'total.cents']) {
    t.equal(described(path), false, path)
  }
})

t.test('the nearest path is what a misspelt one most likely meant', async (t) => {
  const paths = describedPaths(schema)
  t.strictSame(paths, ['total', 'customer', 'customer.email', 'items', 'items[0].sku', 'meta', 'tags'])
  const cases: [string, string | null][] = [
    ['data.total', 'total'],
    ['trigger.customer.email', 'customer.email'],
    ['Total', 'total'],
    ['totl', 'total'],
    ['email', 'customer.email'],
    ['customer.mail', 'customer.email'],
    ['warehouse', null],
  ]
  for (const [path, nearest] of cases) t.equal(nearestPath(path, paths), nearest, path)
})

t.test('the tests of a condition are found with what they look at, also on items of lists', async (t) => {
  const condition = {
    all: [
      { field: 'total', operator: 'gt', value: 5 },
      {
        any: [
          { field: 'items', operator: 'any', value: { field: 'item.sku', operator: 'equals', value: 'a' } },
        ],
      },
      {
        field: 'items',
        operator: 'count',
        value: { operator: 'gt', value: 1, where: { field: 'item.sku', operator: 'equals', value: 'b' } },
      },
    ],
  }
  const found = conditionTests(condition).map(({ pointer, path }) => [pointer, path?.join('/')])
  t.strictSame(found, [
    ['/all/0', 'total'],
    ['/all/1/any/0', 'items'],
    ['/all/1/any/0/value', 'items/0/sku'],
    ['/all/2', 'items'],
    ['/all/2/value/where', 'items/0/sku'],
  ])
  t.strictSame(conditionTests(null), [])
})
