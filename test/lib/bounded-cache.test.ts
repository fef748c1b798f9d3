import t from 'tap'
import { boundedCache } from '#lib/bounded-cache.ts'

t.test('a cache forgets what was used longest ago once it is full', async (t) => {
  const cache = boundedCache<number>(3)
  for (const [value, key] of ['a', 'b', 'c'].entries()) cache.set(key, value)
  t.equal(cache.get('a'), 0)
  cache.set('d', 3)
  t.strictSame([...cache.keys()].sort(), ['a', 'c', 'd'])
  cache.set('d', 4)
  t.strictSame([...cache.keys()].sort(), ['a', 'c', 'd'], 'a new value takes no other place')
  t.equal(cache.get('d'), 4)
  cache.clear()
  t.equal(cache.size, 0)
})

t.test('an entry is gone after its time', async (t) => {
  const cache = boundedCache<number>(3, 1)
  const kept = boundedCache<number>(3)
  cache.set('a', 1)
  kept.set('a', 1)
  const end = performance.now() + 10
  while (performance.now() < end);
  t.equal(cache.get('a'), undefined)
  t.equal(kept.get('a'), 1)
})

t.test('memory is taken as it fills: no array is as long as the limit', async (t) => {
  const cache = boundedCache<number>(Number.MAX_SAFE_INTEGER)
  cache.set('a', 1)
  t.equal(cache.get('a'), 1)
})
