import t from 'tap'
import type { Thread } from '#modules/flow-engine/run/state.ts'
import { outcomes, type Shop } from '../support.ts'
import { ANN, MAIL, messages, startMessaging } from './support.ts'

t.setTimeout(120_000)
const { platform, world, sent } = await startMessaging(t)

const NIGHT = '2027-03-28T00:30:00Z'

async function openShop(definition: object) {
  const shop = await world.shop()
  const quiet_hours = { from: '21:00', to: '08:00' }
  const changed = await shop.tenant.patch('/api/tenant', { time_zone: 'Europe/Lisbon', quiet_hours })
  if (changed.statusCode !== 200) throw new Error(changed.body)
  const trigger = { type: 'event', event_types: ['order.created'] }
  const flow = { name: 'Thanks', status: 'active', trigger, ...definition }
  const answer = await shop.tenant.post('/api/automation/flows', flow)
  if (answer.statusCode !== 201) throw new Error(answer.body)
  const { id } = answer.json<{ id: string }>()
  return { shop, id }
}

t.test(
  'a message that respects quiet hours is held back, says until when, and then goes out once',
  async (t) => {
    const { shop, id } = await openShop({
      steps: [{ ...MAIL, body: 'It was {{now | date: "%H:%M"}}', respect_quiet_hours: true }],
    })
    shop.moveTo(NIGHT)
    await shop.send('order.created', ANN)
    await shop.run()
    t.same(sent(), [])
    const [execution] = await shop.executions(id)
    t.match(execution, { status: 'waiting', reason: 'hours' })
    const detail = (await shop.tenant.get(`/api/automation/executions/${execution?.id ?? ''}`)).json<{
      waiting_for: object[]
    }>()
    t.match(detail.waiting_for, [{ step_id: 'mail', reason: 'hours', until: '2027-03-28T07:00:00.000Z' }])
    t.same(await messages(shop), [], 'nothing is written of it yet')
    shop.moveTo('2027-03-28T06:59:00Z')
    await shop.run()
    t.same(sent(), [], 'not before, though the clocks went on')
    shop.moveTo('2027-03-28T07:00:01Z')
    await shop.run()
    t.match(sent(), [{ path: '/api/notifications/email', body: { body: 'It was 00:30' } }])
    t.match(await shop.executions(id), [{ status: 'completed' }])
  },
)

t.test('a send window holds all messages of a flow back, and those that are urgent have none', async (t) => {
  const send_window = { from: '09:00', to: '18:00', weekdays: ['MON', 'TUE', 'WED', 'THU', 'FRI'] }
  const { shop, id } = await openShop({ steps: [MAIL], settings: { send_window } })
  shop.moveTo(NIGHT)
  await shop.send('order.created', ANN)
  await shop.run()
  t.same(sent(), [])
  shop.moveTo('2027-03-28T12:00:00Z')
  await shop.run()
  t.same(sent(), [], 'on Sunday')
  shop.moveTo('2027-03-29T08:00:01Z')
  await shop.run()
  t.equal(sent().length, 1)
  t.match(await shop.executions(id), [{ status: 'completed' }])
  const urgent = await openShop({ steps: [MAIL] })
  urgent.shop.moveTo(NIGHT)
  await urgent.shop.send('order.created', ANN)
  await urgent.shop.run()
  t.equal(sent().length, 2)
})

t.test('hours that change while a message waits count when it comes to be sent', async (t) => {
  const { shop } = await openShop({ steps: [{ ...MAIL, respect_quiet_hours: true }] })
  shop.moveTo(NIGHT)
  await shop.send('order.created', ANN)
  await shop.run()
  await shop.tenant.patch('/api/tenant', { quiet_hours: { from: '21:00', to: '10:00' } })
  shop.moveTo('2027-03-28T07:00:01Z')
  await shop.run()
  t.same(sent(), [])
  shop.moveTo('2027-03-28T09:00:01Z')
  await shop.run()
  t.equal(sent().length, 1)
})

/** Goes to a time and runs what is due then. @returns what has become of the executions */
async function runAt(shop: Shop, time: string): Promise<string[]> {
  shop.moveTo(time)
  await shop.run()
  return outcomes(await shop.executions())
}

t.test('hours use up no patience, and what was used before them counts on', async (t) => {
  const patience = { retry_count: 0, patience: '2 hours' }
  const mail = { ...MAIL, respect_quiet_hours: true }
  const { shop } = await openShop({ steps: [mail], settings: patience })
  platform.answer(503)
  shop.moveTo(NIGHT)
  await shop.send('order.created', ANN)
  await shop.run()
  t.strictSame(await runAt(shop, '2027-03-28T07:00:01Z'), ['waiting/retry'])
  t.strictSame(await runAt(shop, '2027-03-28T08:55:00Z'), ['waiting/retry'])
  t.strictSame(await runAt(shop, '2027-03-28T09:05:00Z'), ['failed'])

  const { shop: other } = await openShop({ steps: [mail], settings: patience })
  other.moveTo('2027-03-28T19:30:00Z')
  await other.send('order.created', ANN)
  await other.run()
  t.strictSame(await runAt(other, '2027-03-28T20:00:01Z'), ['waiting/hours'])
  t.strictSame(await runAt(other, '2027-03-29T07:00:01Z'), ['waiting/retry'])
  t.strictSame(await runAt(other, '2027-03-29T08:25:00Z'), ['waiting/retry'])
  t.strictSame(await runAt(other, '2027-03-29T08:35:00Z'), ['failed'], 'half an hour was used before')
})

t.test('who waits for an opening holds nobody up who may call', async (t) => {
  const { shop } = await openShop({ steps: [{ ...MAIL, respect_quiet_hours: true }] })
  platform.answer(503)
  shop.moveTo('2027-03-28T19:55:00Z')
  await shop.send('order.created', ANN)
  await shop.run()
  const trigger = { type: 'event', event_types: ['order.paid'] }
  const urgent = { name: 'Urgent', status: 'active', trigger, steps: [MAIL] }
  t.equal((await shop.tenant.post('/api/automation/flows', urgent)).statusCode, 201)
  await shop.send('order.paid', ANN)
  await shop.run()
  t.strictSame(outcomes(await shop.executions()), ['waiting/retry', 'waiting/retry'])
  t.equal(sent().length, 1, 'the second one waits behind the first')
  platform.answer((_received, response) => response.end('{"id":"n_1"}'))
  t.strictSame(await runAt(shop, '2027-03-28T20:00:30Z'), ['waiting/hours', 'completed/done'])
  t.strictSame(await runAt(shop, '2027-03-29T07:00:01Z'), ['completed/done', 'completed/done'])
})

t.test('who comes to wait for an opening releases nobody while the other side is away', async (t) => {
  const { shop } = await openShop({ steps: [{ ...MAIL, respect_quiet_hours: true }] })
  const trigger = { type: 'event', event_types: ['order.paid'] }
  const urgent = { name: 'Urgent', status: 'active', trigger, steps: [MAIL] }
  const made = await shop.tenant.post('/api/automation/flows', urgent)
  const { id } = made.json<{ id: string }>()
  platform.answer(503)
  shop.moveTo('2027-03-28T19:59:30Z')
  await shop.send('order.created', ANN)
  await shop.run()
  for (let n = 0; n < 5; n++) await shop.send('order.paid', ANN)
  await shop.run()
  // Before they look by themselves.
  shop.moveTo('2027-03-28T20:00:01Z')
  await shop.run()
  const waiting = await shop.executions(id)
  t.strictSame(outcomes(waiting), Array(5).fill('waiting/retry'))
  t.ok(
    waiting.every(({ held_by }) => held_by !== null),
    'none is released',
  )
  const [first = 0, ...others] = waiting.map(({ state }) => (state['main'] as Thread).failures)
  t.ok(first > 0, 'the next one tries')
  t.strictSame(others, [0, 0, 0, 0], 'and the others wait behind it')
})

t.test('a message that may never be sent fails its step', async (t) => {
  const { shop, id } = await openShop({
    steps: [{ ...MAIL, respect_quiet_hours: true }],
    settings: { send_window: { from: '22:00', to: '23:00' } },
  })
  await shop.send('order.created', ANN)
  await shop.run()
  const [execution] = await shop.executions(id)
  t.match(execution, { status: 'failed', error: { code: 'send_window_closed' } })
})

t.test('a trigger’s filter and a wait’s read times in the shop’s zone', async (t) => {
  const { shop, id } = await openShop({
    trigger: {
      type: 'event',
      event_types: ['order.created'],
      filter: { field: 'at', operator: 'before', value: '2027-07-01T12:00:00' },
    },
    steps: [
      {
        id: 'wait',
        type: 'wait_event',
        event: 'order.paid',
        match: 'trigger.order_id',
        filter: { field: 'event.data.at', operator: 'before', value: '2027-07-01T12:00:00' },
        timeout: '1 day',
        on_received: 'mail',
        on_timeout: 'end',
      },
      MAIL,
    ],
  })
  for (const at of ['2027-07-01T11:30:00Z', '2027-07-01T10:30:00Z']) {
    await shop.send('order.created', { ...ANN, order_id: 'o1', at })
  }
  await shop.run()
  t.match(await shop.executions(id), [{ status: 'waiting' }], '11:30 in UTC is 12:30 in Lisbon')
  t.equal((await shop.executions(id)).length, 1)
  await shop.send('order.paid', { order_id: 'o1', at: '2027-07-01T11:30:00Z' })
  await shop.run()
  t.same(sent(), [])
  await shop.send('order.paid', { order_id: 'o1', at: '2027-07-01T11:30:00' })
  await shop.run()
  t.equal(sent().length, 1)
})
