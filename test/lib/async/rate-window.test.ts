import t from 'tap'
import { RateWindow } from '#lib/async/rate-window.ts'

t.test('a key has its calls in a window, and all of them again in the next', async (t) => {
  const window = new RateWindow({ limit: 2, windowMs: 10_000, maxKeys: 10 })
  t.same(
    [0, 1, 2].map((now) => window.take('a', { now })),
    [null, null, 10],
  )
  t.equal(window.take('b', { now: 2 }), null)
  t.equal(window.take('a', { now: 9_999.5 }), 1)
  t.equal(window.exhausted('a', { now: 9_999.5 }), 1)
  t.equal(window.exhausted('a', { now: 10_000 }), null)
  t.equal(window.counted('a', 9_999.5), 2)
  t.equal(window.counted('a', 10_000), 0)
  t.same(
    [10_000, 10_001, 10_002].map((now) => window.take('a', { now })),
    [null, null, 10],
  )
})

t.test('it remembers so many keys, and forgets what has ended first', async (t) => {
  const window = new RateWindow({ limit: 1, windowMs: 100, maxKeys: 3 })
  for (const [now, key] of ['a', 'b', 'c', 'd'].entries()) window.take(key, { now })
  t.equal(window.counted('a', 4), 0)
  t.ok(['b', 'c', 'd'].every((key) => window.counted(key, 4) === 1))
  window.take('b', { now: 150 })
  window.take('e', { now: 151 })
  window.take('f', { now: 152 })
  t.ok(['b', 'e', 'f'].every((key) => window.counted(key, 152) === 1))
})

t.test('a call may count as many, by a limit of its own', (t) => {
  const window = new RateWindow({ windowMs: 10_000, maxKeys: 10 })
  t.equal(
    window.take('a', { count: 5, limit: 3, now: 0 }),
    null,
    'the last one below the limit goes on as a whole',
  )
  t.equal(window.counted('a', 0), 5)
  t.equal(window.take('a', { count: 1, limit: 3, now: 0 }), 10)
  t.equal(window.take('a', { count: 1, limit: 6, now: 0 }), null)
  t.equal(window.take('b', { limit: 0, now: 0 }), 10, 'none at all')
  t.equal(window.take('b', { now: 0 }), null, 'no limit')
  t.end()
})
