import t from 'tap'
import { hasShare } from '#lib/async/share.ts'
import { Capacity, TenantCapacity } from '#modules/webhook-delivery/lanes/capacity.ts'
import type { LaneClass } from '#modules/webhook-delivery/lanes/lane.ts'

t.test('a class may fill its share, less what it and the worse ones have', (t) => {
  const capacity = new Capacity(100)
  t.strictSame(
    (['proven', 'unproven', 'slow', 'failing'] as const).map((each) => capacity.free(each)),
    [100, 80, 60, 40],
  )
  capacity.take('slow', 60)
  t.equal(capacity.free('slow'), 0)
  t.equal(capacity.free('unproven'), 20)
  t.equal(capacity.free('proven'), 40)
  capacity.take('failing', 10)
  t.equal(capacity.free('proven'), 30)
  t.equal(capacity.free('failing'), 30, 'slow ones are better')
  t.end()
})

t.test('a tenant gets most of the places while it is alone, and never the last ones', (t) => {
  const capacity = new TenantCapacity(1024)
  const fill = (tenant: string, laneClass: LaneClass = 'proven'): number => {
    let count = 0
    for (; capacity.hasPlace(tenant, laneClass); count++) capacity.take(tenant, laneClass)
    return count
  }
  const [first, second, third] = [fill('a'), fill('b'), fill('c')]
  t.equal(first, 820)
  t.ok(second > 160 && third > 30, `${second} and ${third} were left`)
  for (let count = 0; count < 820; count++) capacity.leave('a', 'proven')
  t.ok(fill('c') > 600, 'its share has grown')
  t.ok(hasShare(0, 1), 'one place is for whoever comes first')
  t.notOk(hasShare(0, 0))
  t.end()
})

t.test("a tenant's worse endpoints leave capacity for its better ones", (t) => {
  const capacity = new TenantCapacity(100)
  let unproven = 0
  for (; capacity.hasPlace('a', 'unproven'); unproven++) capacity.take('a', 'unproven')
  t.equal(unproven, 64)
  t.ok(capacity.hasPlace('a', 'proven'))
  t.ok(capacity.hasPlace('b', 'unproven'))
  t.end()
})
