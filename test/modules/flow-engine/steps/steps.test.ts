import t from 'tap'
import {
  flowOf,
  outcomes,
  post,
  registerMailer,
  startReceiver,
  startWorld,
  step,
  wait,
  HOUR_MS,
} from '../support.ts'

const world = await startWorld(t)

t.test('a condition and two actions run in order, each call under its own Idempotency-Key', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const plugin_id = await registerMailer(shop, receiver)
  receiver.answer((_received, response) => response.end('{"sent":true}'))
  const retry = { max_retries: 3, base_ms: 1_000, cap_ms: 900_000 }
  const action = (to: string, next: string) =>
    step({
      type: 'action',
      config: {
        action_type: 'send_welcome_email',
        plugin_id,
        input: { to, template: 'welcome', at: '{{now}}' },
      },
      next: { success: next },
      retry,
      timeout_ms: 5_000,
    })
  const flow = await shop.publish(
    flowOf({
      check: step({
        type: 'condition',
        config: { condition: { field: 'trigger.total', operator: 'gt', value: 100 } },
        next: { true: 'first', false: 'end' },
      }),
      first: action('{{trigger.email}}', 'second'),
      second: action('{{steps.first.output.sent | json}}', 'end'),
    }),
  )
  await shop.send('order.created', { total: 150, email: 'ann@example.com' })
  await shop.run()
  const [execution] = await shop.executions(flow)
  t.match(execution, { status: 'completed', reason: 'done', due_at: null, lease_until: null, version: 1 })
  const { id } = execution as { id: string }
  const calls = receiver.received.filter(({ path }) => path === '/hook')
  t.strictSame(
    calls.map(({ headers }) => headers['idempotency-key']),
    [`${id}:first`, `${id}:second`],
  )
  t.strictSame(
    calls.map(({ body }) => (JSON.parse(body) as { payload: { to: string } }).payload.to),
    ['ann@example.com', 'true'],
  )
  const steps = await shop.steps(id)
  t.strictSame(
    steps.map(({ number, step_id, status, port, attempts }) => [number, step_id, status, port, attempts]),
    [
      [0, 'check', 'succeeded', 'true', 1],
      [1, 'first', 'succeeded', 'success', 1],
      [2, 'second', 'succeeded', 'success', 1],
    ],
  )
  t.match(steps[1], { input: { to: 'ann@example.com' }, output: { sent: true } })
})

t.test('the log’s times follow one another: a call’s time is not that of the step after it', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  receiver.answer((_received, response) => {
    shop.pass(HOUR_MS)
    response.end()
  })
  const flow = await shop.publish(
    flowOf({
      check: step({
        type: 'condition',
        config: { condition: { field: 'trigger.vip', operator: 'is_true' } },
        next: { true: 'first', false: 'end' },
      }),
      first: post(receiver, '/a', 'second'),
      second: post(receiver, '/b', 'end', { body: '{{now}}' }),
    }),
  )
  await shop.send('order.created', { vip: true })
  const before = shop.now().getTime()
  await shop.run()
  const [execution] = await shop.executions(flow)
  const steps = await shop.steps(execution?.id ?? '')
  t.strictSame(
    steps.map(({ duration_ms }) => Math.round(duration_ms / HOUR_MS)),
    [0, 1, 1],
  )
  t.strictSame(
    steps.map(({ started_at }) => Math.round((started_at.getTime() - before) / HOUR_MS)),
    [0, 0, 1],
  )
  const sentAt = Date.parse(receiver.received[1]?.body ?? '')
  t.equal(Math.round((sentAt - before) / HOUR_MS), 1)
})

t.test('a condition knows what the event says of a field’s earlier value', async (t) => {
  const shop = await world.shop()
  const condition = (field: string, yes: string) =>
    step({
      type: 'condition',
      config: { condition: { field, operator: 'changed_to', value: 'won' } },
      next: { true: yes, false: 'end' },
    })
  const flow = await shop.publish(
    flowOf({
      trigger: condition('trigger.status', 'event'),
      event: condition('event.data.status', 'end'),
    }),
  )
  await shop.send('order.created', { status: 'won', previous_status: 'new' })
  await shop.send('order.created', { status: 'won', previous_status: 'won' })
  await shop.run()
  const counts = (await shop.executions(flow)).map(({ step_count }) => step_count)
  t.strictSame(counts.sort(), [1, 2])
})

t.test('a condition that is not met and leads to the end completes as filtered', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const check = (no: string) =>
    step({
      type: 'condition',
      config: { condition: { field: 'trigger.vip', operator: 'is_true' } },
      next: { true: 'call', false: no },
    })
  const ended = await shop.publish(flowOf({ check: check('end'), call: post(receiver, '/a', 'end') }))
  const later = await shop.publish(
    flowOf({ check: check('later'), later: wait(HOUR_MS, 'end'), call: post(receiver, '/b', 'end') }),
  )
  await shop.send('order.created', { vip: false })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(ended)), ['completed/filtered'])
  t.strictSame(outcomes(await shop.executions(later)), ['waiting/delay'])
  shop.pass(HOUR_MS)
  await shop.run()
  t.strictSame(outcomes(await shop.executions(later)), ['completed/done'], 'something was done after it')
  t.equal(receiver.received.length, 0)
})

t.test('switch, set and stop decide by what came before them', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(
    flowOf(
      {
        size: step({
          type: 'switch',
          config: {
            cases: [
              {
                name: 'large',
                condition: { field: 'trigger.total', operator: 'gte', value: '{{variables.limit}}' },
              },
            ],
          },
          next: { large: 'note', default: 'end' },
        }),
        note: step({
          type: 'set',
          config: {
            variables: { text: 'order {{trigger.order_id}}', double: '{{trigger.total | times: 2}}' },
          },
          next: { next: 'halt' },
        }),
        halt: step({
          type: 'stop',
          config: { outcome: 'stopped', reason: '{{variables.text}}: {{variables.double}}' },
          next: {},
        }),
      },
      { variables: { limit: 100 } },
    ),
  )
  await shop.send('order.created', { order_id: 7, total: 100 })
  await shop.send('order.created', { order_id: 8, total: 99 })
  await shop.run()
  const [large, small] = await shop.executions(flow)
  t.match(large, { status: 'completed', reason: 'stopped' })
  t.match(small, { status: 'completed', reason: 'done' })
  const steps = await shop.steps(large?.id ?? '')
  t.equal(steps.at(-1)?.note, 'order 7: 200')
})

t.test('what Postgres does not store in a text does not fail an execution', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  receiver.answer((_received, response) => response.end('plain \0 text'))
  const flow = await shop.publish(flowOf({ call: post(receiver, '/a', 'end') }))
  await shop.send('order.created', {})
  await shop.run()
  const [execution] = await shop.executions(flow)
  t.match(execution, { status: 'completed' })
  const [call] = await shop.steps(execution?.id ?? '')
  t.strictSame(call?.output, { status: 200, body: 'plain \ufffd text' })
})

t.test(
  'an execution of a flow that cannot be run fails for good instead of being taken for ever',
  async (t) => {
    const shop = await world.shop()
    const flow = await shop.publish(flowOf({ first: wait(HOUR_MS, 'nowhere') }))
    await shop.send('order.created', {})
    await shop.run()
    shop.pass(HOUR_MS)
    await shop.run()
    const [execution] = await shop.executions(flow)
    t.match(execution, {
      status: 'failed',
      reason: 'internal_error',
      error: { code: 'internal_error' },
      due_at: null,
    })
  },
)
