import { pino } from 'pino'
import t from 'tap'
import { hasShare } from '#lib/async/share.ts'
import {
  Capacity,
  mostOfOne,
  placesForPlugin,
  TenantCapacity,
} from '#modules/webhook-delivery/lanes/capacity.ts'
import type { LaneClass } from '#modules/webhook-delivery/lanes/lane.ts'
import { appOn } from '#test/infra/app-on.ts'
import { createTestDatabase } from '#test/support/database.ts'

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

t.test('characters of bodies are shared out like places, many at a time', (t) => {
  const capacity = new TenantCapacity(1_000)
  const fill = (tenant: string): number => {
    let count = 0
    for (; capacity.hasPlace(tenant, 'unproven'); count++) capacity.take(tenant, 'unproven', 90)
    return count
  }
  t.equal(fill('a'), 8, 'of 800 it has four fifths, and the last one in whole')
  t.ok(capacity.hasPlace('b', 'unproven'))
  t.ok(capacity.hasPlace('a', 'proven'))
  t.end()
})

t.test('a worker has places for a plugin that is alone, and says how many it takes', (t) => {
  const most = (places: number, laneClass: LaneClass): number => {
    const capacity = new TenantCapacity(places)
    let count = 0
    for (; capacity.hasPlace('a', laneClass); count++) capacity.take('a', laneClass)
    return count
  }
  for (const places of [1, 3, 100, 1_024, 2_083]) {
    for (const laneClass of ['proven', 'slow'] as const)
      t.equal(mostOfOne(places, laneClass), most(places, laneClass), `${laneClass} of ${places}`)
  }
  t.ok(mostOfOne(1_024, 'slow') >= 256, 'by default the ceiling is what a plugin gets')
  for (const attempts of [1, 7, 256, 1_000]) {
    const enough = most(placesForPlugin(attempts), 'slow')
    t.ok(enough >= attempts && enough <= attempts + 2, `${enough} for ${attempts}`)
  }
  t.end()
})

t.test('a worker that has too few places for what the operator allows a plugin says so', async (t) => {
  const { url } = await createTestDatabase(t)
  const warningsOf = async (env: Record<string, string>): Promise<unknown[]> => {
    const warnings: unknown[] = []
    const log = {
      write: (line: string) => {
        const entry = JSON.parse(line) as { msg: string }
        if (entry.msg.startsWith('MAX_IN_FLIGHT is too low')) warnings.push(entry)
      },
    }
    const app = await appOn(t, url, { env, logger: pino({ level: 'warn' }, log) })
    await app.close()
    return warnings
  }
  t.strictSame(await warningsOf({ ROLES: 'worker' }), [])
  t.strictSame(await warningsOf({ ROLES: 'api', MAX_IN_FLIGHT_CEILING: '1000' }), [])
  t.match(await warningsOf({ ROLES: 'worker', MAX_IN_FLIGHT_CEILING: '1000' }), [
    { max_in_flight: 1024, ceiling: 1000, slow: 492, fast: 820, msg: /it takes 2084, or a lower ceiling$/ },
  ])
  const enough = { MAX_IN_FLIGHT_CEILING: '1000', MAX_IN_FLIGHT: '2084' }
  t.strictSame(await warningsOf({ ROLES: 'worker', ...enough }), [])
})
