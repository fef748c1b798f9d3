import t from 'tap'
import type { CallSlot } from '#modules/webhook-delivery/limits/plugin-limit.ts'
import { PluginLimits } from '#modules/webhook-delivery/limits/plugin-limits.ts'

/** Processes that hear each other, by a clock of their own. */
function processesOf(count: number) {
  let now = 0
  const all: PluginLimits[] = []
  const said: string[] = []
  const publish = (_channel: string, ids: Iterable<string>): void => {
    const named = [...ids]
    said.push(...named)
    for (const each of all) each.heard(named)
  }
  for (let n = 0; n < count; n++) all.push(new PluginLimits({ publish }, () => now))
  return {
    all,
    said,
    pass: (ms: number) => {
      now += ms
      for (const each of all) each.sweep()
    },
  }
}

const target = (maxInFlight: number, ratePerSecond: number | null = null) => ({
  pluginId: 'p',
  revision: 1,
  maxInFlight,
  ratePerSecond,
})

/** Begins as many calls as it may. */
function fill(limits: PluginLimits, maxInFlight: number): { end(): void; count: number } {
  const slots: CallSlot[] = []
  for (;;) {
    const begun = limits.beginCall(target(maxInFlight), { waitMs: 0, by: null })
    if (begun instanceof Promise || 'reason' in begun) break
    slots.push(begun)
  }
  return { count: slots.length, end: () => slots.splice(0).forEach((slot) => slot.end(null)) }
}

t.test('processes that call a plugin share its limits, whoever came first', async (t) => {
  for (const [max, parts] of [
    [5, [2, 2, 1]],
    [3, [1, 1, 1]],
    [12, [4, 4, 4]],
    [1, [1, 1, 1]],
  ] as const) {
    const { all } = processesOf(3)
    t.equal(fill(all[0] as PluginLimits, max).count, max, 'all of it while nobody else calls')
    for (const each of all) fill(each, max).end()
    const last = processesOf(3)
    const first = last.all.map((each) => fill(each, max))
    for (const filled of first) filled.end()
    const counts = last.all.map((each) => fill(each, max).count)
    t.strictSame(counts.sort().reverse(), parts, `of ${max}`)
  }
})

t.test('who has not called for long leaves its part to the others', async (t) => {
  const { all, pass } = processesOf(2)
  const [one, two] = all as [PluginLimits, PluginLimits]
  for (const each of all) fill(each, 4).end()
  const lasting = fill(one, 4)
  t.equal(lasting.count, 2)
  pass(6_000)
  fill(two, 4).end()
  pass(6_000)
  const filled = fill(two, 4)
  t.equal(filled.count, 2, 'the other has calls under way, which it says')
  for (const each of [filled, lasting]) each.end()
  pass(12_000)
  t.equal(fill(two, 4).count, 4)
})

t.test('it is said every few seconds only, and not at all by who only delivers', async (t) => {
  const { all, said, pass } = processesOf(2)
  const [one, two] = all as [PluginLimits, PluginLimits]
  two.of(target(4)).beginDelivery({}, () => undefined)
  t.equal(said.length, 0)
  for (let n = 0; n < 100; n++) fill(one, 4).end()
  t.equal(said.length, 2, 'who delivers to it answers who calls it')
  pass(4_000)
  fill(one, 4).end()
  t.equal(said.length, 2)
  pass(2_000)
  fill(one, 4).end()
  t.equal(said.length, 4, 'both again: one calls, the other still delivers')
})

t.test('what a plugin asks of one, the others hear', async (t) => {
  const { all } = processesOf(2)
  const [one, two] = all as [PluginLimits, PluginLimits]
  fill(two, 4).end()
  const slot = one.beginCall(target(4), { waitMs: 0, by: null })
  if (slot instanceof Promise || 'reason' in slot) throw new Error('it has not begun')
  slot.end(30_000)
  const busy = { reason: 'retry_after', retryAfterMs: 30_000 }
  for (const each of all) t.strictSame(each.beginCall(target(4), { waitMs: 0, by: null }), busy)
  t.equal(
    two.of(target(4)).beginDelivery({}, () => undefined),
    30_000,
    'deliveries wait, too',
  )
  two.changed(['p'])
  t.equal(fill(two, 4).count, 2)
})
