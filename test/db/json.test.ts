import fc from 'fast-check'
import t from 'tap'
import { createPool } from '#db/connection.ts'
import { readJson, readJsonb, writeJson } from '#db/json.ts'
import { createTestDatabase } from '#test/support/database.ts'

const TEXTS = [
  '{"z":9007199254740993,"a":1.10}',
  '[1.10,-0,-0.0,1E2,1e400,-1e400,0.0000001,24.90,100,0,10,-5]',
  '{"deep":{"list":[{"id":12345678901234567890.10}]},"text":"1.10 \\\\ \\" 1e5"}',
  '9007199254740993',
  'null',
  '"1.10"',
]

t.test('what is read is written as it was', (t) => {
  for (const text of TEXTS) t.equal(writeJson(readJson(text)), text)
  t.end()
})

t.test('every number keeps its text', (t) => {
  const number = fc.stringMatching(/^-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?$/)
  fc.assert(
    fc.property(fc.array(number), (numbers) => {
      const text = `{"n":[${numbers.join(',')}]}`
      t.equal(writeJson(readJson(text)), text)
    }),
    { numRuns: 500 },
  )
  t.end()
})

t.test('by value only the numbers are kept as text that a JavaScript number cannot hold', (t) => {
  t.strictSame(readJsonb('[1.10,1E2,24.90]'), [1.1, 100, 24.9])
  t.equal(writeJson(readJsonb('[9007199254740993,1e400,1.10]')), '[9007199254740993,1e400,1.1]')
  t.end()
})

t.test('what is as deep as it may come in and stands in something else is read', (t) => {
  const text = `{"data":{"event":${'['.repeat(200)}1.10${']'.repeat(200)}}}`
  t.equal(writeJson(readJson(text)), text)
  t.end()
})

t.test('what has no form in JSON is not written', (t) => {
  for (const value of [undefined, () => 1]) t.throws(() => writeJson(value), TypeError)
  t.end()
})

t.test('columns come back through that border', async (t) => {
  const { url } = await createTestDatabase(t)
  const pool = createPool(url, {
    max: 1,
    applicationName: 'json',
    statementTimeoutMs: 5_000,
    lockTimeoutMs: 5_000,
    idleInTransactionTimeoutMs: 5_000,
    connectionTimeoutMs: 5_000,
  })
  t.teardown(() => pool.end())
  for (const text of TEXTS) {
    const { rows } = await pool.query<{ json: unknown; jsonb: unknown }>(
      'select $1::json as json, $1::jsonb as jsonb',
      [text],
    )
    t.equal(writeJson(rows[0]?.json), text)
    if (text.includes('9007199254740993')) t.match(writeJson(rows[0]?.jsonb), /9007199254740993/)
  }
})
