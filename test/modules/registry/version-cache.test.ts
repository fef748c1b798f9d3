import t from 'tap'
import { type Snapshot, VersionCache } from '#modules/registry/version-cache.ts'

interface Sketch extends Snapshot {
  of: number
}

/** A source whose version and content are these variables. */
function source(maxWeight = 100) {
  const state = { version: 1, content: 1, looks: 0, loads: 0, stale: [] as (number | undefined)[] }
  let gate: Promise<void> = Promise.resolve()
  const cache = new VersionCache<Sketch>({
    readVersion: async () => {
      state.looks++
      return state.version
    },
    load: async (_tenantId, stale) => {
      state.loads++
      state.stale.push(stale?.of)
      const { content } = state
      await gate
      return { of: content, weight: 10 }
    },
    maxWeight,
  })
  return { state, cache, hold: (until: Promise<void>) => (gate = until) }
}

t.test('questions of one tick share a look at the version, later ones look again', async (t) => {
  const { state, cache } = source()
  await Promise.all(Array.from({ length: 100 }, () => cache.get('a')))
  t.same([state.looks, state.loads], [1, 1])
  await Promise.all(Array.from({ length: 100 }, () => cache.get('a')))
  t.same([state.looks, state.loads], [2, 1])
})

t.test('a change that was there before the question is in the answer', async (t) => {
  const { state, cache } = source()
  t.equal((await cache.get('a')).of, 1)
  Object.assign(state, { version: 2, content: 2 })
  t.equal((await cache.get('a')).of, 2)
  t.same(state.stale, [undefined, 1], 'what it replaces is at hand')
})

t.test('who asks after a change is not given what was being read before it', async (t) => {
  const { state, cache, hold } = source()
  let open: () => void = () => undefined
  void hold(new Promise((resolve) => (open = resolve)))
  const early = cache.get('a')
  while (state.loads === 0) await Promise.resolve()
  Object.assign(state, { version: 2, content: 2 })
  const late = cache.get('a')
  while (state.loads === 1) await Promise.resolve()
  open()
  t.equal((await late).of, 2)
  t.equal((await early).of, 1)
  t.equal((await cache.get('a')).of, 2, 'the later snapshot stays, whichever was there first')
  t.equal(state.loads, 2)
})

t.test('a failure is only of those who met it', async (t) => {
  const { state, cache, hold } = source()
  void hold(Promise.reject(new Error('away')))
  await t.rejects(cache.get('a'), { message: 'away' })
  void hold(Promise.resolve())
  t.equal((await cache.get('a')).of, 1)
  t.equal(state.loads, 2)
})

t.test('the longest unused goes when all weigh too much, never the one that is asked for', async (t) => {
  const { state, cache } = source(25)
  for (const tenant of ['a', 'b', 'a', 'c']) await cache.get(tenant)
  t.equal(state.loads, 3)
  await cache.get('a')
  t.equal(state.loads, 3)
  await cache.get('b')
  t.equal(state.loads, 4)
  const small = source(5)
  await small.cache.get('a')
  await small.cache.get('a')
  t.equal(small.state.loads, 1)
})

t.test('a tenant that weighs more than all may is still remembered, alone', async (t) => {
  const loads: string[] = []
  const cache = new VersionCache({
    readVersion: async () => 1,
    load: async (tenantId: string) => {
      loads.push(tenantId)
      return { weight: tenantId === 'large' ? 1_000 : 10 }
    },
    maxWeight: 100,
  })
  for (const tenantId of ['small', 'large', 'large', 'small']) await cache.get(tenantId)
  t.same(loads, ['small', 'large', 'small'])
})
