import t from 'tap'
import { newId } from '#lib/ids.ts'
import type { Destination } from '#modules/webhook-delivery/destinations/destination.ts'
import type { DeliveryTarget } from '#modules/webhook-delivery/destinations/targets.ts'
import type { Job } from '#modules/webhook-delivery/lanes/backlog.ts'
import { Lane } from '#modules/webhook-delivery/lanes/lane.ts'
import { PluginLimit } from '#modules/webhook-delivery/limits/plugin-limit.ts'
import type { LaneClaim } from '#modules/webhook-delivery/lanes/repository.ts'

const destination: Destination = {
  request: '{}',
  send: () => Promise.reject(new Error('nothing is sent here')),
  mayBeOutage: () => true,
}

function takeLane(fields: Partial<DeliveryTarget> = {}): Lane {
  const target: DeliveryTarget = {
    pluginId: newId(),
    tenantId: newId(),
    slug: 'shop',
    revision: 1,
    active: true,
    url: 'https://plugin.example/',
    baseUrl: 'https://plugin.example/',
    headers: {},
    clientCertificate: null,
    secretId: null,
    keys: [],
    retrySchedule: [],
    timeoutMs: 1_000,
    ratePerSecond: null,
    maxInFlight: 4,
    ordered: false,
    coalesces: false,
    ...fields,
  }
  const claim: LaneClaim = {
    plugin_id: target.pluginId,
    tenant_id: target.tenantId,
    lease_token: 1,
    health_version: 1,
    breaker_state: 'closed',
    breaker_opens: 0,
    held_before: false,
    consecutive_failures: 0,
    failing_for_ms: null,
    failing_attempts: 0,
    failing_announced: false,
    disabling_announced: false,
    last_error_class: null,
    proven: true,
    rate_tokens: null,
    rate_age_ms: null,
    skip_before: null,
    unsubscribed_at: null,
    secret_unreadable: false,
    revision: 1,
  }
  return new Lane(claim, target, destination, () => new PluginLimit(target), 0, 30_000)
}

function job(bulk: boolean, body = '{}'): Job {
  const facts = { event: 'order.created', attemptCount: 0, roundFailures: 0, causationDepth: 0 }
  return {
    deliveryId: newId(),
    eventId: newId(),
    publisher: 'platform',
    ...facts,
    body,
    payload: null,
    bulk,
    followed: false,
    coalesceKey: null,
  }
}

t.test('a state is never taken back by one that says less', async (t) => {
  const lane = takeLane()
  t.ok(lane.isOpen)
  lane.close()
  t.equal(lane.state, 'closing')
  lane.lose()
  lane.close()
  t.equal(lane.state, 'lost')
  lane.handOver()
  lane.lose()
  t.equal(lane.state, 'handing_over')
  t.notOk(lane.signal.aborted)
  lane.abandon()
  lane.handOver()
  t.equal(lane.state, 'abandoned')
  t.ok(lane.signal.aborted, 'what is under way is cut off')
})

t.test('closing gives up what no attempt has begun for, and only that', async (t) => {
  const lane = takeLane()
  const begun = job(false)
  for (const each of [begun, job(false), job(true)]) lane.enqueue(each)
  t.equal(lane.begin(), begun)
  lane.close()
  t.notOk(lane.canStart())
  t.strictSame([...lane.inHand.keys()], [begun.deliveryId])
  t.equal(lane.bodyChars, 2)
  lane.ended()
  lane.done(begun.deliveryId, 0)
  t.ok(lane.empty)
})

t.test('live goes before bulk, and takes capacity of its own class', async (t) => {
  const lane = takeLane()
  const [bulk, live] = [job(true), job(false)]
  lane.enqueue(bulk)
  t.equal(lane.nextClass, 'unproven')
  lane.enqueue(live)
  t.equal(lane.nextClass, 'proven')
  t.equal(lane.begin(), live)
  t.equal(lane.begin(), bulk)
})

t.test('what a live delivery waits for goes live, also while it waits itself', async (t) => {
  const lane = takeLane()
  const [first, second, live] = [job(true), job(true), job(false)]
  lane.enqueue(first)
  t.ok(lane.enqueueBehind(second, first.deliveryId))
  lane.promote(second.deliveryId)
  lane.promote(first.deliveryId)
  t.equal(lane.bulkChars, 0)
  t.ok(lane.enqueueBehind(live, second.deliveryId))
  for (const each of [first, second, live]) {
    t.equal(lane.nextClass, 'proven')
    t.equal(lane.begin(), each)
    lane.ended()
    lane.done(each.deliveryId, 0, true)
  }
  t.ok(lane.empty)
  t.equal(lane.bodyChars, 0)
})

t.test('bodies in hand are bounded, and are enough for all that may be under way', async (t) => {
  const take = (maxInFlight: number, bulk: boolean): number => {
    const lane = takeLane({ maxInFlight })
    const body = 'x'.repeat(60 * 1024)
    let count = 0
    for (; !(bulk ? lane.bulkFull : lane.full); count++) lane.enqueue(job(bulk, body))
    return count
  }
  t.equal(take(4, false), Math.ceil((4 * 1024) / 60))
  t.ok(take(256, false) >= 256)
  t.equal(take(1_000, false), Math.ceil((16 * 1024) / 60), 'and not without end')
  t.equal(take(256, true), Math.ceil((8 * 1024) / 60), 'half of it for replays')
})

t.test('while many wait behind what can begin no more is looked for', async (t) => {
  const lane = takeLane()
  const first = Array.from({ length: 40 }, () => job(false))
  for (let found = 16; found <= 256; found *= 2) lane.live.fetched(found, lane.live.beginFetch())
  for (const each of first) lane.enqueue(each)
  t.ok(lane.wantsLive(), 'nothing waits behind them')
  for (const head of first) {
    for (let depth = 0, last = head; depth < 15; depth++) {
      const next = job(false)
      t.ok(lane.enqueueBehind(next, last.deliveryId))
      last = next
    }
  }
  t.notOk(lane.wantsLive(), '600 wait, and 40 can begin')
  for (let begun = 0; begun < 37; begun++) lane.begin()
  t.ok(lane.wantsLive(), 'fewer can begin than the plugin takes at once')
})

t.test(
  'with enough in hand, live and bulk together, nothing more is looked for where newer ones replace',
  async (t) => {
    const lane = takeLane({ coalesces: true })
    for (let count = 0; count < 15; count++) lane.enqueue(job(true))
    t.equal(lane.coalescedFree, 1)
    t.ok(lane.wantsLive())
    lane.enqueue(job(false))
    lane.hint()
    t.equal(lane.coalescedFree, 0)
    t.notOk(lane.wantsFetch(), 'a look could take nothing in hand')
    lane.begin()
    t.ok(lane.wantsLive(), 'one is under way, and there is a place')
  },
)

t.test('a rest from looking ends by itself', async (t) => {
  const lane = takeLane({ coalesces: true })
  const { promise, resolve } = Promise.withResolvers<null>()
  lane.restLooking(() => resolve(null))
  lane.hint()
  t.notOk(lane.wantsFetch())
  await promise
  t.ok(lane.wantsFetch())
})

t.test('bulk that fills its share of memory leaves capacity for live', async (t) => {
  const lane = takeLane()
  for (let count = 0; count < 3; count++) lane.enqueue(job(true, 'x'.repeat(1024 * 1024)))
  t.ok(lane.bulkFull)
  t.notOk(lane.full)
  t.ok(lane.wantsLive())
  t.notOk(lane.wantsBulk())
})

t.test('a hint during a fetch is not lost with its answer', async (t) => {
  const { live } = takeLane()
  const asked = live.beginFetch()
  live.hint()
  live.fetched(0, asked)
  t.ok(live.mayHaveMore)
  live.fetched(0, live.beginFetch())
  t.notOk(live.mayHaveMore)
  live.fetched(live.fetchSize, live.beginFetch())
  t.ok(live.mayHaveMore, 'a full answer may have left some')
})
