import t from 'tap'
import { DAY_MS, flowOf, outcomes, post, settings, startReceiver, wait, startWorld } from '../support.ts'
import { waitsLeft } from '../wait/support.ts'

const world = await startWorld(t)

t.test('a follow-up is not sent after the lead replied', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const match = { lead_id: '{{trigger.lead_id}}' }
  const flow = await shop.publish(
    flowOf(
      { later: wait(3 * DAY_MS, 'call'), call: post(receiver, '/follow-up', 'end') },
      {
        settings: settings({
          enrolment: { cancel_on: [{ event: 'message.received', match, filter: null }] },
        }),
      },
    ),
  )
  await shop.send('order.created', { lead_id: 'ann' })
  await shop.send('order.created', { lead_id: 'bob' })
  await shop.run()
  await shop.send('message.received', { lead_id: 'ann' })
  await shop.run()
  shop.pass(3 * DAY_MS)
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['cancelled/cancel_on', 'completed/done'])
  t.equal(receiver.received.length, 1)
  t.equal(await waitsLeft(shop), 0)
})

t.test(
  'an event that starts nothing but cancels is seen in the batch of the event that started',
  async (t) => {
    const shop = await world.shop()
    const match = { booking: '{{trigger.booking}}' }
    const flow = await shop.publish(
      flowOf(
        { later: wait(DAY_MS, 'end') },
        {
          settings: settings({
            enrolment: { cancel_on: [{ event: 'booking.cancelled', match, filter: null }] },
          }),
        },
      ),
    )
    await shop.send('order.created', { booking: 1 })
    await shop.send('booking.cancelled', { booking: 1 })
    await shop.run()
    t.strictSame(outcomes(await shop.executions(flow)), ['cancelled/cancel_on'])
  },
)

t.test('an execution that is cancelled during a call ends at its next boundary', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const match = { booking: '{{trigger.booking}}' }
  receiver.answer((_received, response) => {
    void shop
      .send('booking.cancelled', { booking: 1 })
      .then(() => shop.match())
      .then(() => response.end())
  })
  const cancel_on = [{ event: 'booking.cancelled', match, filter: null }]
  const ends = [
    flowOf(
      { call: post(receiver, '/a', 'second'), second: post(receiver, '/second', 'end') },
      { settings: settings({ enrolment: { cancel_on } }) },
    ),
    flowOf(
      { call: post(receiver, '/b', 'later'), later: wait(DAY_MS, 'end') },
      {
        settings: settings({ enrolment: { cancel_on } }),
      },
    ),
  ]
  for (const flow of ends) {
    const id = await shop.publish(flow)
    await shop.send('order.created', { booking: 1 })
    await shop.run()
    const [execution] = await shop.executions(id)
    t.match(execution, { status: 'cancelled', reason: 'cancel_on', due_at: null })
    t.match(await shop.steps(execution?.id ?? ''), [{ step_id: 'call', status: 'succeeded' }])
  }
  t.notOk(receiver.received.some(({ path }) => path === '/second'))
})
