import t from 'tap'
import { type SnapshotContent, TenantSnapshot } from '#modules/event/intake/snapshot.ts'
import { SnapshotCache } from '#modules/event/intake/snapshot-cache.ts'

const NO_PLUGINS: SnapshotContent = {
  version: 1,
  strict: false,
  hasFlows: false,
  types: [],
  seen: [],
  plugins: [],
}

function counting(weights: Record<string, number>) {
  const loads: string[] = []
  const cache = new SnapshotCache(async (tenantId) => {
    loads.push(tenantId)
    const seen = Array.from({ length: weights[tenantId] ?? 0 }, (_, index) => `type.${index}`)
    return new TenantSnapshot({ ...NO_PLUGINS, seen })
  })
  return { cache, loads }
}

t.test('the tenant that was unused for longest is forgotten when all together weigh too much', async (t) => {
  const { cache, loads } = counting({ a: 40_000, b: 40_000, c: 40_000 })
  for (const tenantId of ['a', 'b', 'a', 'c', 'a', 'b']) await cache.get(tenantId)
  t.same(loads, ['a', 'b', 'c', 'b'])
})

t.test('a tenant that weighs more than all may is still remembered, alone', async (t) => {
  const { cache, loads } = counting({ small: 10, large: 150_000 })
  for (const tenantId of ['small', 'large', 'large', 'small']) await cache.get(tenantId)
  t.same(loads, ['small', 'large', 'small'])
})
