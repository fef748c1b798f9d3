import t from 'tap'
import { KeyCache } from '#infra/auth/key-cache.ts'

const LIVE = { name: 'live' }

/** A source of keys that counts how often it is asked. */
function source(known: Record<string, object>) {
  const asked: string[] = []
  return {
    asked,
    load: (hash: string) => async () => {
      asked.push(hash)
      return known[hash] ?? null
    },
  }
}

t.test('a live key is looked up once while its answer stands', async (t) => {
  const cache = new KeyCache({ ttlMs: 60_000, maxEntries: 10 })
  const { asked, load } = source({ live: LIVE })
  t.equal(await cache.get('live', load('live')), LIVE)
  t.equal(await cache.get('live', load('live')), LIVE)
  t.same(asked, ['live'])
})

t.test('an unknown key is looked up once while its answer stands', async (t) => {
  const cache = new KeyCache({ ttlMs: 60_000, maxEntries: 10 })
  const { asked, load } = source({})
  t.equal(await cache.get('none', load('none')), null)
  t.equal(await cache.get('none', load('none')), null)
  t.same(asked, ['none'])
})

t.test('an answer that no longer stands is looked up again', async (t) => {
  const cache = new KeyCache({ ttlMs: 0, maxEntries: 10 })
  const { asked, load } = source({ live: LIVE })
  await cache.get('live', load('live'))
  await cache.get('live', load('live'))
  t.same(asked, ['live', 'live'])
})

t.test('invented keys never drive a live one out, and take bounded room', async (t) => {
  const cache = new KeyCache({ ttlMs: 60_000, maxEntries: 10 })
  const { asked, load } = source({ live: LIVE })
  await cache.get('live', load('live'))
  for (let i = 0; i < 1_000; i++) await cache.get(`invented-${i}`, load(`invented-${i}`))
  await cache.get('live', load('live'))
  t.equal(asked.filter((hash) => hash === 'live').length, 1)
  t.same(cache.size, { live: 1, unknown: 10 })
})

t.test('when it is full of live keys the oldest answer goes', async (t) => {
  const cache = new KeyCache({ ttlMs: 60_000, maxEntries: 2 })
  const { asked, load } = source({ a: { n: 1 }, b: { n: 2 }, c: { n: 3 } })
  for (const hash of ['a', 'b', 'c', 'c', 'b', 'a']) await cache.get(hash, load(hash))
  t.same(asked, ['a', 'b', 'c', 'a'])
})

t.test('requests that come together share one look-up', async (t) => {
  const cache = new KeyCache({ ttlMs: 60_000, maxEntries: 10 })
  const { asked, load } = source({ live: LIVE })
  const answers = await Promise.all(Array.from({ length: 50 }, () => cache.get('live', load('live'))))
  t.ok(answers.every((key) => key === LIVE))
  t.same(asked, ['live'])
})

t.test('an answer that was on its way when the cache was cleared is not remembered', async (t) => {
  const cache = new KeyCache<object>({ ttlMs: 60_000, maxEntries: 10 })
  const slow = Promise.withResolvers<object | null>()
  const first = cache.get('key', () => slow.promise)
  cache.clear()
  const afterRevocation = cache.get('key', async () => null)
  t.equal(await afterRevocation, null, 'a request after the clearing asks anew')
  slow.resolve(LIVE)
  t.equal(await first, LIVE)
  t.equal(await cache.get('key', async () => LIVE), null, 'the later answer stands')
})

t.test('a failed look-up is told to all who wait for it and not remembered', async (t) => {
  const cache = new KeyCache<object>({ ttlMs: 60_000, maxEntries: 10 })
  const fail = async () => Promise.reject(new Error('away'))
  const answers = await Promise.allSettled([cache.get('key', fail), cache.get('key', fail)])
  t.same(
    answers.map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  t.equal(await cache.get('key', async () => LIVE), LIVE)
})
