import t from 'tap'
import { isUuid, newId, uuidTime } from '../../src/lib/ids.ts'

t.test('ids minted in a later millisecond sort later', (t) => {
  const ids = [newId()]
  while (ids.length < 5) {
    const id = newId()
    if (uuidTime(id) > uuidTime(ids.at(-1) ?? '')) ids.push(id)
  }
  t.same([...ids].sort(), ids)
  t.ok(ids.every(isUuid))
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
