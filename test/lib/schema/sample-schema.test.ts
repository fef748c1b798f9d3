import t from 'tap'
import { sampleOf } from '#lib/schema/sample-schema.ts'
import { type SafeSchema, validate } from '#lib/schema/safe/index.ts'

t.test('a sample is what its schema describes', async (t) => {
  const schemas: SafeSchema[] = [
    {},
    { type: 'string' },
    { type: 'string', minLength: 12 },
    { type: 'string', maxLength: 2 },
    { type: 'string', format: 'email' },
    { type: 'string', format: 'date-time' },
    { type: 'string', format: 'uri' },
    { type: 'integer', minimum: 10 },
    { type: 'integer', minimum: 1.5, maximum: 2.5 },
    { type: 'number', maximum: -0.5 },
    { type: 'number', minimum: 0.2, maximum: 0.4 },
    { type: 'boolean' },
    { type: 'null' },
    { type: ['null', 'integer'] },
    { enum: ['a', 'b'] },
    { type: 'array', items: { type: 'integer' }, minItems: 3 },
    { type: 'array', maxItems: 0 },
    {
      type: 'object',
      required: ['id', 'lines'],
      additionalProperties: false,
      properties: {
        id: { type: 'string' },
        lines: { type: 'array', items: { properties: { sku: { type: 'string' } }, required: ['sku'] } },
      },
    },
  ]
  for (const schema of schemas) {
    t.strictSame(validate(schema, sampleOf(schema)), [], JSON.stringify(schema))
  }
})

t.test('what the author gave comes first, unless it breaks the schema', async (t) => {
  t.equal(sampleOf({ type: 'string', default: 'new', examples: ['paid'] }), 'paid')
  t.equal(sampleOf({ type: 'integer', default: 'new' }), 1)
  t.equal(sampleOf({ type: 'integer', examples: ['x'], default: 7 }), 7)
  t.equal(sampleOf({ type: 'boolean', default: false }), false)
})

t.test('large demands are met only in part', async (t) => {
  const list = { type: 'array', minItems: 1e9 } as const
  const nested: SafeSchema = { ...list, items: { ...list, items: { ...list, items: { type: 'string' } } } }
  t.ok(JSON.stringify(sampleOf(nested)).length < 10_000)
  t.ok(JSON.stringify(sampleOf({ type: 'string', minLength: 1e9 })).length < 2_000)
})
