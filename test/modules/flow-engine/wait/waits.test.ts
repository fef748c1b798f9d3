import t from 'tap'
import { flowOf, HOUR_MS, outcomes, post, settings, startReceiver, step, startWorld } from '../support.ts'
import { lastStep, waitEvent, waitsLeft } from './support.ts'

const world = await startWorld(t)

t.test('an event that meets the wait ends it, others do not', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ paid: waitEvent({}) }))
  await shop.send('order.created', { order_id: 1 })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['waiting/event'])
  await shop.send('order.paid', { order_id: 2 })
  await shop.send('order.paid', {})
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['waiting/event'])
  const paid = await shop.send('order.paid', { order_id: 1 })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['completed/done'])
  t.match(await lastStep(shop, flow), { port: 'received', output: { event: { id: paid }, alternative: 0 } })
  t.equal(await waitsLeft(shop), 0)
})

t.test('a filter is tested on the event that arrives, with values of the flow', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(
    flowOf({
      limit: step({
        type: 'set',
        config: { variables: { limit: '{{trigger.total}}' } },
        next: { next: 'paid' },
      }),
      paid: waitEvent({
        any: [
          {
            event: 'order.paid',
            match: {},
            filter: { field: 'event.data.total', operator: 'gte', value: '{{variables.limit}}' },
          },
        ],
      }),
    }),
  )
  await shop.send('order.created', { total: 10 })
  await shop.run()
  await shop.send('order.paid', { total: 9 })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['waiting/event'])
  await shop.send('order.paid', { total: 10 })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['completed/done'])
})

t.test('what waits says why its filter could not be tested with an event, whenever that came', async (t) => {
  const shop = await world.shop()
  const filter = { field: 'event.data.total', operator: 'gte' as const, value: 100 }
  const any = [{ event: 'order.paid', match: { order_id: '{{trigger.order_id}}' }, filter }]
  const cancel_on = [{ ...any[0], event: 'order.cancelled' }] as never
  const enrolment = settings({ enrolment: { cancel_on } })
  await shop.publish(flowOf({ paid: waitEvent({ any, look_back_ms: HOUR_MS }) }, { settings: enrolment }))
  const early = await shop.send('order.paid', { order_id: 1, total: 'many' })
  await shop.run()
  await shop.send('order.created', { order_id: 1 })
  await shop.run()
  const [{ id } = { id: '' }] = await shop.executions()
  const passedOver = async (): Promise<unknown> =>
    (await shop.tenant.get(`/api/automation/executions/${id}`)).json<{ passed_over: unknown }>().passed_over
  const told = { iteration: '', reason: 'filter_mismatch', message: /event\.data\.total/ }
  t.match(await passedOver(), [{ ...told, event: 'order.paid', event_id: early }])
  await shop.send('order.paid', { order_id: 1, total: 99 })
  await shop.send('order.paid', { order_id: 1, total: 'more' })
  const late = await shop.send('order.cancelled', { order_id: 1, total: true })
  await shop.run()
  t.match(
    await passedOver(),
    [
      { ...told, event: 'order.cancelled', event_id: late },
      { ...told, event: 'order.paid', event_id: early },
    ],
    'once for one reason',
  )
  await shop.send('order.paid', { order_id: 1, total: 100 })
  await shop.run()
  t.strictSame(outcomes(await shop.executions()), ['completed/done'])
})

t.test(
  'what waits tells an event that it misses by spelling alone, whichever of them is spelled so',
  async (t) => {
    const shop = await world.shop()
    const any = [{ event: 'order.paid', match: { order_id: '{{trigger.order_id}}' }, filter: null }]
    const cancel_on = [{ ...any[0], event: 'order.cancelled' }] as never
    const enrolment = settings({ enrolment: { cancel_on } })
    await shop.publish(flowOf({ paid: waitEvent({ any, look_back_ms: HOUR_MS }) }, { settings: enrolment }))
    const passedOver = async (id: string) =>
      (await shop.tenant.get(`/api/automation/executions/${id}`)).json<{ passed_over: unknown[] }>()
        .passed_over
    const told = { iteration: '', reason: 'near_miss' }
    for (const [ours, theirs, message] of [
      ['A-42', 'a-42 ', 'its order_id is "a-42 "'],
      ['b-42', 'B-42', 'its order_id is "B-42"'],
      ['042', 42, 'its order_id is "42"'],
      [' C 1', 'c  1', 'its order_id is "c  1"'],
    ] as const) {
      const early = await shop.send('order.paid', { order_id: theirs })
      await shop.run()
      await shop.send('order.created', { order_id: ours })
      await shop.run()
      const { id = '' } = (await shop.executions()).at(-1) ?? {}
      const first = {
        ...told,
        event: 'order.paid',
        message: new RegExp(`^${message}: what is waited for differs`),
      }
      t.match(await passedOver(id), [{ ...first, event_id: early }], `${ours}, before`)
      const late = await shop.send('order.cancelled', { order_id: theirs })
      await shop.send('order.paid', { order_id: 'another' })
      await shop.run()
      t.match(
        await passedOver(id),
        [
          { ...first, event: 'order.cancelled', event_id: late },
          { ...first, event_id: early },
        ],
        `${ours}, while it waits`,
      )
      t.strictSame(outcomes(await shop.executions()).at(-1), 'waiting/event')
      await shop.send('order.paid', { order_id: ours })
      await shop.run()
      t.strictSame(outcomes(await shop.executions()).at(-1), 'completed/done')
    }
    await shop.send('order.created', { order_id: 42 })
    await shop.run()
    const { id = '' } = (await shop.executions()).at(-1) ?? {}
    await shop.send('order.paid', { order_id: '43' })
    await shop.run()
    t.strictSame(await passedOver(id), [], 'another id is none')
    await shop.send('order.paid', { order_id: '42' })
    await shop.run()
    t.strictSame(outcomes(await shop.executions()).at(-1), 'completed/done', 'a type is no spelling')
  },
)

t.test('a wait that nothing meets times out', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ paid: waitEvent({ timeout_ms: HOUR_MS }) }))
  await shop.send('order.created', { order_id: 1 })
  await shop.run()
  shop.pass(HOUR_MS - 60_000)
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['waiting/event'])
  shop.pass(60_000)
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['completed/done'])
  t.match(await lastStep(shop, flow), { port: 'timeout', output: null })
  await shop.send('order.paid', { order_id: 1 })
  await shop.run()
  t.equal(await waitsLeft(shop), 0)
})

t.test('look_back covers what came before the step, and only so far', async (t) => {
  const shop = await world.shop()
  const far = await shop.publish(flowOf({ paid: waitEvent({ look_back_ms: HOUR_MS }) }))
  const near = await shop.publish(flowOf({ paid: waitEvent({}) }))
  const paid = await shop.send('order.paid', { order_id: 1 })
  await shop.match()
  await shop.send('order.created', { order_id: 1 })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(far)), ['completed/done'])
  t.match(await lastStep(shop, far), { output: { event: { id: paid } } })
  t.strictSame(outcomes(await shop.executions(near)), ['waiting/event'])
})

t.test('one event does not end two waits of an execution', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(
    flowOf({
      first: waitEvent({ look_back_ms: HOUR_MS }, { received: 'second' }),
      second: waitEvent({ look_back_ms: HOUR_MS }),
    }),
  )
  await shop.send('order.created', { order_id: 1 })
  await shop.send('order.paid', { order_id: 1 })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['waiting/event'])
  const second = await shop.send('order.paid', { order_id: 1 })
  await shop.run()
  t.match(await lastStep(shop, flow), { step_id: 'second', output: { event: { id: second } } })
})

t.test('a worker that dies between the event and its step takes the event up again', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const flow = await shop.publish(
    flowOf({ paid: waitEvent({}, { received: 'call' }), call: post(receiver, '/a', 'end') }),
  )
  await shop.send('order.created', { order_id: 1 })
  await shop.run()
  await shop.send('order.paid', { order_id: 1 })
  await shop.match()
  const [execution] = await shop.executions(flow)
  // Taken by a worker that got no further.
  await shop.db
    .updateTable('automation_executions')
    .set((eb) => ({ status: 'running', lease_token: eb('lease_token', '+', 1), reason: null }))
    .where('id', '=', execution?.id ?? '')
    .execute()
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['completed/done'])
  t.match(await shop.steps(execution?.id ?? ''), [{ port: 'received' }, { step_id: 'call' }])
})
