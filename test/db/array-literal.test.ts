import t from 'tap'
import { plainArray, sparseArray, textArray } from '#db/array-literal.ts'
import { createTestDatabase } from '#test/support/database.ts'

const { pool } = await createTestDatabase(t)

async function readBack(type: string, literal: string): Promise<unknown> {
  const { rows } = await pool.query<{ values: unknown }>(`select $1::${type}[] as values`, [literal])
  return rows[0]?.values
}

t.test('Postgres reads from a plain array what went in', async (t) => {
  const ids = [crypto.randomUUID(), crypto.randomUUID()]
  t.strictSame(await readBack('uuid', plainArray(ids)), ids)
  t.strictSame(await readBack('float8', plainArray([1, null, -0.5, 1e21])), [1, null, -0.5, 1e21])
  t.strictSame(await readBack('bool', plainArray([true, false, null])), [true, false, null])
  t.strictSame(await readBack('int', plainArray([])), [])
})

t.test('Postgres reads from a text array any text as it was', async (t) => {
  const texts = ['', 'NULL', 'a,b', '{"a":"b\\"c"}', '\\', '"', ' line\nbreak\t', '}{', 'é😀', null]
  t.strictSame(await readBack('text', textArray(texts)), texts)
})

t.test('a sparse array is empty when every value is the usual one, else whole', async (t) => {
  t.equal(sparseArray([0, 0], 0), '{}')
  t.equal(sparseArray<number | null>([null, null], null), '{}')
  t.strictSame(await readBack('int', sparseArray([0, 3], 0)), [0, 3])
  t.strictSame(await readBack('text', sparseArray(['', 'a"b'], '', textArray)), ['', 'a"b'])
  const { rows } = await pool.query<{ a: number; b: number }>(
    'select a, coalesce(b, 7) as b from unnest($1::int[], $2::int[]) as u (a, b)',
    [plainArray([1, 2]), sparseArray([7, 7], 7)],
  )
  t.strictSame(rows, [
    { a: 1, b: 7 },
    { a: 2, b: 7 },
  ])
})
