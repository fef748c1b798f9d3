import fc from 'fast-check'
import t from 'tap'
import { cpuTimer } from '#test/support/cpu-time.ts'
import { parseJson } from '#lib/json/index.ts'
import type { SafeSchema } from '#lib/schema/safe/index.ts'
import { checkSchema, normaliseSchema, validate } from '#lib/schema/safe/index.ts'

/** Of CPU time, generous for slow machines; work that is not linear takes minutes. */
const MAX_MS = 5000

const order = {
  type: 'object',
  properties: {
    id: { type: 'string', minLength: 1, maxLength: 5 },
    total: { type: 'number', minimum: 0, maximum: 1000 },
    items: { type: 'array', minItems: 1, maxItems: 2, items: { type: 'object', required: ['sku'] } },
    status: { enum: ['open', 'paid', null] },
    count: { type: ['integer', 'null'] },
  },
  required: ['id', 'total'],
  additionalProperties: false,
} satisfies SafeSchema

function pointers(schema: unknown): string[] {
  return checkSchema(schema).map((problem) => problem.pointer)
}

function violations(schema: SafeSchema, value: unknown): string[] {
  t.same(checkSchema(schema), [])
  return validate(schema, value).map(({ pointer, detail }) => `${pointer} ${detail}`)
}

t.test('shorthand is written out, and what is written out already stays', (t) => {
  t.same(normaliseSchema('string'), { type: 'string' })
  t.same(normaliseSchema({ email: 'string', age: { type: 'integer', required: true } }), {
    type: 'object',
    properties: { email: { type: 'string' }, age: { type: 'integer' } },
    required: ['age'],
  })
  t.same(
    normaliseSchema({
      type: 'object',
      properties: {
        a: { type: 'string', required: true },
        b: { type: 'array', items: 'number' },
        c: 'boolean',
      },
      required: ['c'],
    }),
    {
      type: 'object',
      properties: {
        a: { type: 'string' },
        b: { type: 'array', items: { type: 'number' } },
        c: { type: 'boolean' },
      },
      required: ['c', 'a'],
    },
  )
  t.same(normaliseSchema({ title: 'string', description: 'string' }), {
    type: 'object',
    properties: { title: { type: 'string' }, description: { type: 'string' } },
  })
  t.same(normaliseSchema({ customer: { name: 'string' }, total: { type: 'number', required: false } }), {
    type: 'object',
    properties: {
      customer: { type: 'object', properties: { name: { type: 'string' } } },
      total: { type: 'number' },
    },
  })
  for (const schema of [
    order,
    {},
    { type: 'string' },
    { enum: ['a'] },
    { description: 'An e-mail address' },
  ]) {
    t.strictSame(normaliseSchema(schema), schema)
  }
  t.end()
})

t.test('normalising never hides what the check refuses', (t) => {
  const refused = [
    { not: { type: 'string' } },
    { anyOf: [{ type: 'string' }] },
    { $ref: '#/x' },
    { $defs: { a: { type: 'string' } } },
    { type: 'object', propertys: { a: 'string' } },
    { type: 'string', pattern: '(a+)+$' },
    { patternProperties: { a: { type: 'string' } } },
    { properties: { a: { type: 'string' } }, required: 'a' },
    { properties: [] },
    'text',
    null,
  ]
  for (const schema of refused) t.not(checkSchema(normaliseSchema(schema)).length, 0, JSON.stringify(schema))
  t.end()
})

t.test('normalising is done once and for all, and whatever it is given', (t) => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const once = normaliseSchema(value)
      if (checkSchema(once).length === 0) t.strictSame(normaliseSchema(once), once)
    }),
  )
  t.end()
})

t.test('keywords outside of the subset are refused by name', (t) => {
  t.same(checkSchema(order), [])
  t.same(checkSchema({}), [])
  t.same(
    checkSchema({
      type: 'string',
      format: 'email',
      title: 'x',
      description: 'y',
      examples: ['a'],
      default: 1,
    }),
    [],
  )
  for (const keyword of [
    '$ref',
    'pattern',
    'allOf',
    'const',
    'patternProperties',
    'constructor',
    '__proto__',
  ]) {
    const schema = JSON.parse(`{"properties":{"a":{"${keyword}":"x"}}}`) as unknown
    const [problem, ...others] = checkSchema(schema)
    t.same(others, [])
    t.equal(problem?.pointer, `/properties/a/${keyword}`)
    t.match(problem?.detail, `"${keyword}" is not supported`)
  }
  t.end()
})

t.test('each keyword has to have a fitting value', (t) => {
  const bad: [object, string][] = [
    [{ type: 'text' }, '/type'],
    [{ type: [] }, '/type'],
    [{ type: ['string', 'string'] }, '/type'],
    [{ type: ['constructor'] }, '/type'],
    [{ properties: ['a'] }, '/properties'],
    [{ properties: { 'a/b': 5 } }, '/properties/a~1b'],
    [{ required: ['a', 'a'] }, '/required'],
    [{ required: [1] }, '/required'],
    [{ additionalProperties: {} }, '/additionalProperties'],
    [{ items: true }, '/items'],
    [{ items: [{}] }, '/items'],
    [{ enum: [] }, '/enum'],
    [{ enum: [{}] }, '/enum'],
    [{ enum: Array(101).fill(0) }, '/enum'],
    [{ minimum: '1' }, '/minimum'],
    [{ maxLength: -1 }, '/maxLength'],
    [{ minItems: 1.5 }, '/minItems'],
    [{ minLength: 2, maxLength: 1 }, '/minLength'],
    [{ format: 'regex' }, '/format'],
    [{ title: 5 }, '/title'],
    [{ examples: 'a' }, '/examples'],
  ]
  for (const [schema, pointer] of bad) t.same(pointers(schema), [pointer], JSON.stringify(schema))
  for (const schema of [null, [], 'string', 5, true]) t.same(pointers(schema), [''])
  t.end()
})

t.test('depth and size are limited, and hostile schemas are refused at once', (t) => {
  const nest = (levels: number): unknown => {
    let schema: unknown = { type: 'string' }
    for (let level = 1; level < levels; level++) schema = { items: schema }
    return schema
  }
  t.same(pointers(nest(8)), [])
  t.same(pointers(nest(9)), ['/items'.repeat(8)])
  t.same(pointers({ description: 'x'.repeat(16_000) }), [])
  t.same(pointers({ description: 'x'.repeat(17_000) }), [''])
  t.same(pointers({ description: 'é'.repeat(9_000) }), [''])

  let deepArray: unknown[] = []
  for (let level = 0; level < 1e5; level++) deepArray = [deepArray]
  const hostile: unknown[] = [
    nest(1e5),
    { default: deepArray },
    { properties: Object.fromEntries(Array.from({ length: 5e4 }, (_, n) => [`p${n}`, { pattern: 'x' }])) },
    { enum: Array(1e6).fill('x') },
    { required: Array.from({ length: 1e5 }, (_, n) => `r${n}`) },
    { description: 'x'.repeat(1e7) },
    Object.fromEntries(Array.from({ length: 2000 }, (_, n) => [`k${n}`, 1])),
  ]
  // The best of three, without what the garbage of the values above costs.
  const timesOf = (work: () => void): number[] =>
    [1, 2, 3].map(() => {
      const spent = cpuTimer()
      work()
      return spent()
    })
  // A value that is refused before all of it is read takes a small part of the time in which this machine writes such
  // a value once.
  const large = Array<string>(4e6).fill('x')
  const most = Math.min(...timesOf(() => void JSON.stringify(large)))
  for (const schema of hostile) {
    const times = timesOf(() => {
      const problems = checkSchema(schema)
      t.ok(problems.length > 0 && problems.length <= 50)
    })
    t.ok(Math.min(...times) < most, `${times.map(Math.round).join(', ')} of ${Math.round(most)} ms`)
  }
  t.end()
})

t.test('a value is measured by type, bounds, names and enum', (t) => {
  const good = { id: 'a', total: 5, items: [{ sku: 'x', more: 1 }], status: null, count: 3 }
  t.same(violations(order, good), [])
  t.same(violations(order, { id: 'a', total: 1000, count: null }), [])
  t.same(violations(order, { id: '', total: -1, items: [], status: 'gone', count: 1.5, extra: 1 }), [
    '/id Must have at least 1 characters.',
    '/total Must be at least 0.',
    '/items Must have at least 1 items, has 0.',
    '/status Must be one of "open", "paid", null.',
    '/count Must be integer or null, not number.',
    '/extra Is not a known property.',
  ])
  t.same(violations(order, { total: '5', items: [{}, { sku: 1 }, 2] }), [
    '/id Is required.',
    '/total Must be number, not text.',
    '/items Must have at most 2 items, has 3.',
    '/items/0/sku Is required.',
    '/items/2 Must be object, not number.',
  ])
  t.same(violations(order, []), [' Must be object, not list.'])
  t.same(violations({ properties: { a: { type: 'string' } } }, 5), [])
  t.same(violations({ maxLength: 2 }, '😀😀'), [])
  t.same(violations({ minLength: 2 }, '😀'), [' Must have at least 2 characters.'])
  t.same(violations({ required: ['toString'] }, {}), ['/toString Is required.'])
  t.same(violations({ properties: {}, additionalProperties: false }, { constructor: 1 }), [
    '/constructor Is not a known property.',
  ])
  t.end()
})

t.test('numbers that JavaScript cannot carry are still numbers', (t) => {
  const big = parseJson(Buffer.from('9007199254740993'))
  t.same(violations({ type: 'integer', minimum: 9007199254740992 }, big), [])
  t.same(violations({ maximum: 9007199254740992 }, big), [' Must be at most 9007199254740992.'])
  t.same(violations({ type: 'number' }, parseJson(Buffer.from('1e400'))), [])
  t.same(violations({ type: 'integer' }, parseJson(Buffer.from('1e-400'))), [' Must be integer, not number.'])
  t.same(violations({ type: 'object' }, big), [' Must be object, not number.'])
  t.same(violations({ enum: [9007199254740992] }, big).length, 1)
  t.end()
})

t.test('formats find mistakes', (t) => {
  const ok = (format: SafeSchema['format'] & string, value: string): boolean =>
    validate({ format }, value).length === 0
  for (const text of ['2026-03-01T10:00:00Z', '2026-03-01T10:00:00.5+02:00'])
    t.ok(ok('date-time', text), text)
  for (const text of ['2026-03-01', '2026-03-01T10:00:00', '2026-02-30T10:00:00Z', 'x'])
    t.notOk(ok('date-time', text), text)
  for (const text of ['a@b.co', 'first.last+tag@shop.example', 'ü@exämple.de']) t.ok(ok('email', text), text)
  for (const text of [
    '',
    'a',
    '@b.co',
    'a@b',
    'a@b.',
    'a@.b',
    'a@b..co',
    'a b@c.de',
    'a@b@c.de',
    `${'a'.repeat(250)}@b.co`,
  ]) {
    t.notOk(ok('email', text), text)
  }
  for (const text of ['https://example.com/a?b=c', 'mailto:a@b.co', 'urn:x:y']) t.ok(ok('uri', text), text)
  for (const text of ['', 'example.com', '/a', 'https://', 'http:// a', `https://a.b/${'x'.repeat(2048)}`])
    t.notOk(ok('uri', text), text)
  t.end()
})

t.test('a wrong value gets at most twenty violations, and a large one linear time', (t) => {
  t.equal(violations({ items: { type: 'string' } }, Array(1000).fill(1)).length, 20)
  const names = Array.from({ length: 500 }, (_, n) => `p${n}`)
  const wide: SafeSchema = {
    items: { properties: Object.fromEntries(names.map((name) => [name, {}])), required: [] },
  }
  const choice: SafeSchema = { items: { enum: Array.from({ length: 100 }, (_, n) => n) } }
  const spent = cpuTimer()
  t.same(violations(wide, Array(300_000).fill({})), [])
  t.same(violations(choice, Array(500_000).fill(99)), [])
  t.same(violations({ maxLength: 8e6, minLength: 5e6, format: 'email' }, 'a@'.repeat(4e6)).length, 1)
  const took = spent()
  t.ok(took < MAX_MS, `${Math.round(took)} ms`)
  t.end()
})
