import t from 'tap'
import { LastItems } from '#lib/last-items.ts'

t.test('keeps the last ones, the oldest first', (t) => {
  const items = new LastItems<number>(3)
  t.same(items.list(), [])
  for (let n = 1; n <= 2; n++) items.add(n)
  t.same(items.list(), [1, 2])
  for (let n = 3; n <= 8; n++) items.add(n)
  t.same(items.list(), [6, 7, 8])
  t.end()
})

t.test('takes up new ones where others were forgotten', (t) => {
  const items = new LastItems<number>(3)
  for (let n = 1; n <= 5; n++) items.add(n)
  items.filter((n) => n !== 4)
  t.same(items.list(), [3, 5])
  for (let n = 6; n <= 7; n++) items.add(n)
  t.same(items.list(), [5, 6, 7])
  t.end()
})
