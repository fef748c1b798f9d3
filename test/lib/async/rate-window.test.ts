import t from 'tap'
import { RateWindow } from '#lib/async/rate-window.ts'

t.test('a key has its calls in a window, and all of them again in the next', async (t) => {
  const window = new RateWindow({ limit: 2, windowMs: 10_000, maxKeys: 10 })
  t.same(
    [0, 1, 2].map((now) => window.take('a', now)),
    [null, null, 10],
  )
  t.equal(window.take('b', 2), null)
  t.equal(window.take('a', 9_999.5), 1)
  t.equal(window.exhausted('a', 9_999.5), 1)
  t.equal(window.exhausted('a', 10_000), null)
  t.notOk(window.has('a', 10_000))
  t.same(
    [10_000, 10_001, 10_002].map((now) => window.take('a', now)),
    [null, null, 10],
  )
})

t.test('it remembers so many keys, and forgets what has ended first', async (t) => {
  const window = new RateWindow({ limit: 1, windowMs: 100, maxKeys: 3 })
  for (const [now, key] of ['a', 'b', 'c', 'd'].entries()) window.take(key, now)
  t.notOk(window.has('a', 4))
  t.ok(['b', 'c', 'd'].every((key) => window.has(key, 4)))
  window.take('b', 150)
  window.take('e', 151)
  window.take('f', 152)
  t.ok(['b', 'e', 'f'].every((key) => window.has(key, 152)))
})
