import t from 'tap'
import {
  type Busy,
  type CallSlot,
  type LimitSettings,
  PluginLimit,
} from '#modules/webhook-delivery/limits/plugin-limit.ts'

/** Long enough for whatever the test does meanwhile. */
const PATIENT_MS = 60_000
const alone = (): boolean => false

function limitOf(settings: Partial<Omit<LimitSettings, 'revision'>> = {}) {
  let now = 1_000
  const limit = new PluginLimit({ maxInFlight: 2, ratePerSecond: null, revision: 1, ...settings }, () => now)
  return {
    limit,
    pass: (ms: number) => {
      now += ms
    },
    call: (waitMs = PATIENT_MS, borrow = alone) => limit.beginCall(waitMs, null, borrow),
  }
}

type Begun = ReturnType<PluginLimit['beginCall']>

function slotOf(begun: Begun): CallSlot {
  if (begun instanceof Promise || 'reason' in begun) throw new Error('it has not begun')
  return begun
}

function busyOf(begun: Begun): Busy {
  if (begun instanceof Promise || !('reason' in begun)) throw new Error('it is not busy')
  return begun
}

function waitingOf(begun: Begun): Promise<CallSlot> {
  if (!(begun instanceof Promise)) throw new Error('it does not wait')
  return begun.then(slotOf)
}

t.test('deliveries and calls together are no more than max_in_flight', async (t) => {
  const { limit, call } = limitOf()
  const lane = {}
  let woken = 0
  const wake = (): number => ++woken
  t.equal(limit.beginDelivery(lane, wake), 0)
  const slot = slotOf(call())
  t.equal(limit.beginDelivery(lane, wake), 'full')
  const waiting = waitingOf(call())
  t.equal(limit.waitingCalls, 1)
  // The delivery's turn: the call was the last to begin. Its lane has nothing to send any more, and the call goes on.
  slot.end(null)
  t.equal(woken, 1)
  const second = await waiting
  t.equal(limit.beginDelivery(lane, wake), 'full')
  second.end(null)
  limit.endDelivery(5)
  t.equal(limit.beginDelivery(lane, wake), 0)
  limit.endDelivery(5)
  t.ok(limit.isIdle)
})

t.test('calls come in turn, and neither they nor deliveries shut the other out', async (t) => {
  const { limit, call } = limitOf({ maxInFlight: 1 })
  const order: string[] = []
  const lane = {}
  const deliver = (): void => {
    if (limit.beginDelivery(lane, deliver) === 0) order.push('delivery')
  }
  const first = slotOf(call())
  deliver()
  const calls = [1, 2, 3].map((n) =>
    waitingOf(call()).then((slot) => {
      order.push(`call ${n}`)
      return slot
    }),
  )
  first.end(null)
  for (const waiting of calls) {
    t.equal(order.at(-1), 'delivery')
    limit.endDelivery(1)
    const slot = await waiting
    // There is always another one.
    deliver()
    slot.end(null)
  }
  t.strictSame(order, ['delivery', 'call 1', 'delivery', 'call 2', 'delivery', 'call 3', 'delivery'])
})

t.test('a call that would wait for too long behind others is told so at once', async (t) => {
  const { limit, call, pass } = limitOf({ maxInFlight: 2 })
  for (let n = 0; n < 20; n++) {
    const slot = slotOf(call())
    pass(4_000)
    slot.end(null)
  }
  slotOf(call())
  slotOf(call())
  // The first has its turn beside deliveries, however long they take.
  const waiting = call(1_500)
  t.strictSame(busyOf(call(3_500)), { reason: 'in_flight', retryAfterMs: 4_000 })
  const second = call(4_500)
  t.equal(limit.waitingCalls, 2)
  limit.close()
  for (const each of [waiting, second]) t.match(await each, { reason: 'in_flight' })
})

t.test('no more than some calls wait', async (t) => {
  const { limit, call } = limitOf({ maxInFlight: 1 })
  slotOf(call())
  const waiting: Begun[] = []
  for (let n = 0; n < 256; n++) waiting.push(call())
  t.match(busyOf(call()), { reason: 'in_flight' })
  limit.close()
  for (const each of waiting) t.match(await each, { reason: 'in_flight' })
})

t.test('under a rate limit calls and deliveries that wait take turns', async (t) => {
  const limit = new PluginLimit({ maxInFlight: 10, ratePerSecond: 50, revision: 1 })
  const begun: string[] = []
  const lane = {}
  let timer: NodeJS.Timeout | undefined
  // As a worker does it: what has to wait tries again after that.
  const deliver = (): void => {
    if (begun.length >= 40) return
    const waitMs = limit.beginDelivery(lane, deliver)
    if (waitMs === 'full') return
    if (waitMs > 0) {
      timer = setTimeout(deliver, waitMs)
      return
    }
    begun.push('delivery')
    limit.endDelivery(1)
    deliver()
  }
  const callOn = async (): Promise<void> => {
    while (begun.length < 40) {
      const slot = await limit.beginCall(PATIENT_MS, null, alone)
      if ('reason' in slot) throw new Error('it is busy')
      begun.push('call')
      slot.end(null)
    }
  }
  deliver()
  await Promise.all([callOn(), callOn(), callOn()])
  clearTimeout(timer)
  limit.close()
  const delivered = begun.filter((each) => each === 'delivery').length
  t.ok(delivered >= 15 && delivered <= 25, `${delivered} deliveries of ${begun.length}`)
})

t.test(
  'one that has waited as long as it may comes again later, and leaves its turn to the next',
  async (t) => {
    const { limit, call } = limitOf({ maxInFlight: 1 })
    const slot = slotOf(call())
    const impatient = await call(1)
    t.strictSame(impatient, { reason: 'in_flight', retryAfterMs: 1_000 })
    const patient = waitingOf(call())
    t.equal(limit.waitingCalls, 1)
    slot.end(null)
    ;(await patient).end(null)
    t.equal(limit.waitingCalls, 0)
  },
)

t.test('the rate holds for deliveries and calls together', async (t) => {
  const { limit, call, pass } = limitOf({ maxInFlight: 1_000, ratePerSecond: 20 })
  let delivered = 0
  let called = 0
  for (let ms = 0; ms < 10_000; ms += 10) {
    pass(10)
    const isDelivery = (ms / 10) % 7 < 3
    if (isDelivery && limit.beginDelivery({}, alone) === 0) delivered++
    if (!isDelivery && busyOrSlot(call(0)) === 'slot') called++
  }
  const begun = delivered + called
  // A tenth of a second's at once, and twenty a second.
  t.ok(begun >= 198 && begun <= 202, `${begun} of 200 in ten seconds`)
  t.ok(delivered > 0 && called > 0, `${delivered} deliveries, ${called} calls`)
})

function busyOrSlot(begun: Begun): 'busy' | 'slot' {
  if (begun instanceof Promise) throw new Error('it waits')
  return 'reason' in begun ? 'busy' : 'slot'
}

t.test('less than one a second is a rate, too, and what another process has left of it counts', async (t) => {
  const { limit, call, pass } = limitOf({ ratePerSecond: 0.5 })
  limit.restoreTokens(0, 1_000)
  t.equal(limit.beginDelivery({}, alone), 1_000)
  t.strictSame(busyOf(call(900)), { reason: 'rate', retryAfterMs: 1_000 })
  pass(1_000)
  slotOf(call())
  t.equal(limit.beginDelivery({}, alone), 2_000)
})

t.test('Retry-After of a call has everything wait, and that of a delivery has calls wait', async (t) => {
  const { limit, call, pass } = limitOf()
  slotOf(call()).end(5_000)
  t.equal(limit.beginDelivery({}, alone), 5_000)
  t.strictSame(busyOf(call(4_000)), { reason: 'retry_after', retryAfterMs: 5_000 })
  pass(5_000)
  t.equal(limit.beginDelivery({}, alone), 0)
  limit.holdCalls(3_600_000)
  t.strictSame(busyOf(call(10_000)), { reason: 'retry_after', retryAfterMs: 60_000 }, 'no more than a minute')
  t.equal(limit.beginDelivery({}, alone), 0, 'its lane is held by itself')
  limit.endDelivery(1)
  limit.endDelivery(1)
  t.notOk(limit.isIdle)
  limit.resume()
  slotOf(call()).end(null)
  t.ok(limit.isIdle)
})

t.test('a call goes on within a request that its plugin answers, once for each', async (t) => {
  const { limit, call } = limitOf({ maxInFlight: 1 })
  const outer = slotOf(call())
  const inner = slotOf(call(0, () => limit.lend(null)))
  const innermost = slotOf(call(0, () => limit.lend(null)))
  t.equal(busyOrSlot(await Promise.resolve(call(0, alone))), 'busy')
  for (const slot of [innermost, inner]) {
    limit.giveBackLent()
    slot.end(null)
  }
  t.notOk(limit.isIdle)
  outer.end(null)
  t.ok(limit.isIdle)
  t.notOk(limit.lend(null), 'nothing is under way')
})

t.test('a call to another plugin borrows only from who was called by that one', async (t) => {
  const { limit } = limitOf({ maxInFlight: 9 })
  const outer = slotOf(limit.beginCall(0, 'one', alone))
  t.notOk(limit.lend('two'))
  t.ok(limit.lend('one'))
  t.notOk(limit.lend('one'), 'once for each')
  limit.giveBackLent()
  outer.end(null)
  t.notOk(limit.lend('one'))
})

t.test('a limit that is used without a rate has none to make up for later', async (t) => {
  const { limit, call } = limitOf({ maxInFlight: 1 })
  slotOf(call())
  for (let n = 0; n < 5; n++) slotOf(call(0, () => true))
  limit.follow({ maxInFlight: 9, ratePerSecond: 1, revision: 2 })
  t.equal(busyOrSlot(call(0)), 'slot')
})

t.test('settings that change and shares that others take count at once', async (t) => {
  const { limit, call } = limitOf({ maxInFlight: 1 })
  const slots = [slotOf(call())]
  const waiting = [call(), call(), call()].map(waitingOf)
  limit.follow({ maxInFlight: 3, ratePerSecond: null, revision: 2 })
  // A lane that was taken before goes by what it knows.
  limit.follow({ maxInFlight: 1, ratePerSecond: null, revision: 1 })
  slots.push(...(await Promise.all(waiting.slice(0, 2))))
  t.equal(limit.waitingCalls, 1)
  limit.shareOut({ inFlight: () => 1, rate: (rate) => rate })
  for (const slot of slots.slice(1)) slot.end(null)
  t.equal(limit.waitingCalls, 1, 'one is under way, as many as its share is')
  slots[0]?.end(null)
  ;(await waiting[2])?.end(null)
  limit.shareOut(null)
  t.strictSame([call(0), call(0), call(0)].map(busyOrSlot), ['slot', 'slot', 'slot'])
})

t.test('no call waits when the process stops', async (t) => {
  const { limit, call } = limitOf({ maxInFlight: 1 })
  slotOf(call())
  const waiting = call()
  limit.close()
  t.match(await waiting, { reason: 'in_flight' })
  t.match(busyOf(call()), { reason: 'in_flight' })
})
