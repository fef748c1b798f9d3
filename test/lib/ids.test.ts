import t from 'tap'
import { lowestIdAt } from '#lib/id-range.ts'
import { derivedId, derivedIdAt, derivedIdLike, isUuid, newId, uuidTime } from '#lib/ids.ts'

t.test('ids sort in the order in which they were minted, also within a millisecond', (t) => {
  const ids = Array.from({ length: 50_000 }, newId)
  t.same([...ids].sort(), ids)
  t.equal(new Set(ids).size, ids.length)
  t.ok(ids.every(isUuid))
  t.ok(new Set(ids.map((id) => uuidTime(id).getTime())).size < ids.length, 'many are of one millisecond')
  t.end()
})

t.test('a derived id is the same for the same name, and another for another', (t) => {
  const base = newId()
  const derived = derivedId('a', base)
  t.match(derived, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/)
  t.equal(derivedId('a', base), derived)
  t.not(derivedId('b', base), derived)
  t.ok(lowestIdAt(uuidTime(base).getTime()) < derived, 'it sorts by the time of the other')
  t.ok(derived < lowestIdAt(uuidTime(base).getTime() + 1))
  t.end()
})

t.test('an id derived from another one has its time and place, and is the same again', (t) => {
  const other = newId()
  const id = derivedIdLike(other, 'a')
  t.ok(isUuid(id))
  t.equal(id, derivedIdLike(other, 'a'))
  t.not(id, derivedIdLike(other, 'b'))
  t.equal(id.slice(0, 18), other.slice(0, 18))
  t.match(id, /^[^-]{8}-[^-]{4}-7[^-]{3}-8/)
  t.throws(() => derivedIdLike('f47ac10b-58cc-4372-a567-0e02b2c3d479', 'a'), RangeError)
  const at = Date.parse('2026-03-01T09:00:00Z')
  t.equal(uuidTime(derivedIdAt(at, 'a')).getTime(), at)
  t.equal(derivedIdAt(at, 'a'), derivedIdAt(at, 'a'))
  t.not(derivedIdAt(at, 'a'), derivedIdAt(at, 'b'))
  t.end()
})

t.test('an id carries the millisecond of its making', (t) => {
  const before = Date.now()
  const time = uuidTime(newId()).getTime()
  t.ok(time >= before && time <= Date.now())
  t.equal(uuidTime('017F22E2-79B0-7CC3-98C4-DC0C0C07398F').toISOString(), '2022-02-22T19:22:22.000Z')
  t.end()
})

t.test('what carries no time is refused', (t) => {
  for (const text of [
    '',
    'x',
    '11111111-1111-1111-1111-111111111111',
    'f47ac10b-58cc-4372-a567-0e02b2c3d479',
  ]) {
    t.throws(() => uuidTime(text), RangeError)
  }
  t.end()
})

t.test('only the 8-4-4-4-12 form is a UUID', (t) => {
  t.ok(isUuid('11111111-1111-1111-1111-111111111111'))
  t.ok(isUuid('F47AC10B-58CC-4372-A567-0E02B2C3D479'))
  for (const text of [
    '',
    '11111111111111111111111111111111',
    '{11111111-1111-1111-1111-111111111111}',
    '11111111-1111-1111-1111-11111111111g',
    ' 11111111-1111-1111-1111-111111111111',
    '11111111-1111-1111-1111-111111111111\n',
  ]) {
    t.notOk(isUuid(text), JSON.stringify(text))
  }
  t.end()
})
