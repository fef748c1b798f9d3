import t from 'tap'
import type { Enrolment } from '#lib/flow/types.ts'
import { feedSettled } from '#test/modules/event/support.ts'
import {
  DAY_MS,
  flowOf,
  HOUR_MS,
  MINUTE_MS,
  outcomes,
  post,
  settings,
  type Shop,
  startReceiver,
  startWorld,
  wait,
} from '../support.ts'

const world = await startWorld(t)

async function flowRow(shop: Shop, id: string) {
  return shop.db.selectFrom('automation_flows').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
}

t.test(
  'a flow that starts itself without handing causation on is paused, and a busy one is not',
  async (t) => {
    const shop = await world.shop()
    const busy = await world.shop()
    const receiver = await startReceiver(t)
    const call = post(receiver, '/a', 'end')
    const changed = {
      id: 'x',
      type: 'event' as const,
      event_types: ['loyalty.changed'],
      filter: null,
      plugin_id: null,
    }
    const rest = { triggers: [changed] }
    const loop = await shop.publish(flowOf({ loop: post(receiver, '/loop', 'end') }, rest))
    const telling = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }, rest))
    const key = '{{trigger.currency}}'
    const all = await busy.publish(enrolledCall(call, { key, while_active: 'allow' }))
    const daily = await busy.publish(
      enrolledCall(call, { key, while_active: 'allow', reenter_after_ms: DAY_MS }),
    )
    // Another process that matches the same shop's events, in turns with the first.
    const other = world.app.flowEngine.createMatcher()
    let round = 0
    receiver.answer(({ path }, response) => {
      if (path !== '/loop') return void response.writeHead(204).end()
      void shop
        .send('loyalty.changed', { customer_id: 7, points: round })
        .then(() => response.writeHead(204).end())
    })
    await shop.send('loyalty.changed', { customer_id: 7, points: 0 })
    let sent = 0
    while ((await flowRow(shop, loop)).status === 'active') {
      await busy.send('order.created', { order_id: sent++, currency: 'EUR' })
      await feedSettled({ db: shop.db })
      if (round++ % 2 === 0) await other.pass([shop.tenant.id], shop.now())
      await Promise.all([shop.run(), busy.run()])
    }
    t.match(await flowRow(shop, loop), { status: 'paused', status_reason: 'self_triggering' })
    t.equal((await flowRow(shop, telling)).status, 'active', 'who causes nothing is not suspected')
    t.equal((await flowRow(busy, all)).status, 'active', 'orders come, whatever the flow does')
    t.equal((await flowRow(busy, daily)).status, 'active', 'what starts nothing is no repetition')
    busy.pass(MINUTE_MS)
    await busy.run()
    t.strictSame(countOf(outcomes(await busy.executions(all))), { 'completed/done': sent })
    t.strictSame(countOf(outcomes(await busy.executions(daily))), {
      'completed/done': 1,
      'skipped/reentered_too_soon': sent - 1,
    })
  },
)

t.test('many events at once come of somebody else', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const flow = await shop.publish(flowOf({ call: post(receiver, '/a', 'end') }))
  await Promise.all(Array.from({ length: 150 }, () => shop.send('order.created', { order_id: 7 })))
  await shop.run()
  t.equal((await flowRow(shop, flow)).status, 'active')
  t.strictSame(countOf(outcomes(await shop.executions(flow))), { 'completed/done': 150 })
})

function enrolledCall(
  call: ReturnType<typeof post>,
  enrolment: Partial<Enrolment>,
): ReturnType<typeof flowOf> {
  return flowOf({ call }, { settings: settings({ enrolment }) })
}

function countOf(texts: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const text of texts) counts[text] = (counts[text] ?? 0) + 1
  return counts
}
