import t from 'tap'
import { feedSettled } from '#test/modules/event/support.ts'
import {
  DAY_MS,
  flowOf,
  outcomes,
  post,
  settings,
  startReceiver,
  startWorld,
  step,
  wait,
} from '../support.ts'

const world = await startWorld(t)
const ORDER_ID = { order_id: '{{trigger.order_id}}' }

t.test('an event that came before a delay ended, but is matched later, still cancels', async (t) => {
  const receiver = await startReceiver(t)
  const shop = await world.shop()
  const cancel_on = [{ event: 'order.paid', match: ORDER_ID, filter: null }]
  await shop.publish(
    flowOf(
      { pause: wait(DAY_MS, 'remind'), remind: post(receiver, '/remind', 'end') },
      { settings: settings({ enrolment: { cancel_on } }) },
    ),
  )
  await shop.send('order.created', { order_id: 'paid' })
  await shop.send('order.created', { order_id: 'open' })
  await shop.run()
  await shop.send('order.paid', { order_id: 'paid' })
  await feedSettled(shop)
  shop.pass(2 * DAY_MS)
  t.equal(await shop.engine().drain(), 0, 'the clock alone wakes nobody')
  t.same(outcomes(await shop.executions()), ['waiting/delay', 'waiting/delay'])
  await shop.run()
  t.same(outcomes(await shop.executions()), ['cancelled/cancel_on', 'completed/done'])
  t.equal(receiver.received.length, 1)
})

t.test('a wait is not over while an event that came before its timeout has not been matched', async (t) => {
  const shop = await world.shop()
  await shop.publish(
    flowOf({
      payment: step({
        type: 'wait_event',
        config: {
          any: [{ event: 'order.paid', match: ORDER_ID, filter: null }],
          timeout_ms: DAY_MS,
          look_back_ms: 0,
        },
        next: { received: 'paid', timeout: 'unpaid' },
      }),
      paid: step({ type: 'stop', config: { outcome: 'stopped', reason: 'paid' }, next: {} }),
      unpaid: step({ type: 'stop', config: { outcome: 'stopped', reason: 'unpaid' }, next: {} }),
    }),
  )
  await shop.send('order.created', { order_id: '1' })
  await shop.run()
  await shop.send('order.paid', { order_id: '1' })
  await feedSettled(shop)
  shop.pass(2 * DAY_MS)
  await shop.engine().drain()
  await shop.run()
  const [execution] = await shop.executions()
  const steps = await shop.steps(execution?.id ?? '')
  t.same(
    steps.map(({ step_id, port }) => [step_id, port]),
    [
      ['payment', 'received'],
      ['paid', null],
    ],
  )
})

t.test('what has just been started waits for no event', async (t) => {
  const shop = await world.shop()
  await shop.publish(
    flowOf({ done: step({ type: 'stop', config: { outcome: 'done', reason: null }, next: {} }) }),
  )
  await shop.send('order.created', { order_id: '1' })
  await feedSettled(shop)
  await shop.match()
  await shop.send('order.paid', { order_id: '1' })
  await shop.engine().drain()
  t.same(outcomes(await shop.executions()), ['completed/done'])
})
