import fc from 'fast-check'
import t from 'tap'
import { decodeCursor, encodeCursor, page } from '#lib/api/cursor.ts'
import { newId } from '#lib/ids.ts'

const wellFormed = fc.string({ unit: 'grapheme', maxLength: 50 }).filter((text) => !text.includes('\0'))

t.test('a cursor gives back the parts it was made of', (t) => {
  fc.assert(
    fc.property(fc.uuid(), wellFormed, fc.maxSafeInteger(), (id, text, number) => {
      const cursor = encodeCursor([id, text, number])
      t.strictSame(decodeCursor(cursor, ['uuid', 'string', 'integer']), [id, text, number])
      t.equal(encodeURIComponent(cursor), cursor)
    }),
  )
  t.end()
})

t.test('nothing that a caller can send makes it throw', (t) => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.base64String(), fc.jsonValue().map(encode)), (text) => {
      decodeCursor(text, ['uuid'])
    }),
  )
  t.end()
})

t.test('a cursor of another shape is malformed', (t) => {
  const id = newId()
  t.equal(decodeCursor(encodeCursor([id]), ['uuid', 'integer']), null)
  t.equal(decodeCursor(encodeCursor([id, 1]), ['uuid']), null)
  t.equal(decodeCursor(encodeCursor(['x']), ['uuid']), null)
  t.equal(decodeCursor(encodeCursor([1.5]), ['integer']), null)
  t.equal(decodeCursor(encodeCursor(['1']), ['integer']), null)
  t.equal(decodeCursor(encodeCursor([1]), ['string']), null)
  t.equal(decodeCursor(encodeCursor(['a\0b']), ['string']), null)
  t.equal(decodeCursor(encodeCursor(['a\ud800']), ['string']), null)
  t.equal(decodeCursor(encode({ 0: id, length: 1 }), ['uuid']), null)
  t.equal(decodeCursor('', []), null)
  t.equal(decodeCursor('a b', ['string']), null)
  t.equal(decodeCursor(encodeCursor(['x'.repeat(2000)]), ['string']), null)
  t.end()
})

t.test('pages follow one another until the rows end', (t) => {
  const rows = Array.from({ length: 7 }, (_, n) => ({ n }))
  const seen: number[] = []
  let after = -1
  for (;;) {
    const found = page(rows.filter((row) => row.n > after).slice(0, 4), 3, (row) => [row.n])
    seen.push(...found.data.map((row) => row.n))
    if (found.next_cursor === null) break
    after = Number(decodeCursor(found.next_cursor, ['integer'])?.[0])
  }
  t.same(seen, [0, 1, 2, 3, 4, 5, 6])
  t.same(
    page([], 3, () => []),
    { data: [], next_cursor: null },
  )
  t.equal(page(rows.slice(0, 3), 3, (row) => [row.n]).next_cursor, null)
  t.end()
})

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
