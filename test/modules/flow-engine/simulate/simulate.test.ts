import t from 'tap'
import type { CanonicalStep } from '#lib/flow/types.ts'
import { path, simulateUnchanged, stop, waitPaid } from './support.ts'
import {
  DAY_MS,
  flowOf,
  HOUR_MS,
  post,
  registerMailer,
  startReceiver,
  startWorld,
  step,
  wait,
} from '../support.ts'

const world = await startWorld(t)

t.test('every type of step says what it would do, and none does it', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const plugin_id = await registerMailer(shop, receiver)
  const sent = receiver.received.length
  const isLarge = { field: 'trigger.total', operator: 'gte', value: 100 }
  const simulation = await simulateUnchanged(
    t,
    world,
    shop,
    flowOf({
      large: step({
        type: 'condition',
        config: { condition: isLarge },
        next: { true: 'which', false: 'end' },
      }),
      which: step({
        type: 'switch',
        config: { cases: [{ name: 'vip', condition: isLarge }] },
        next: { vip: 'note', default: 'end' },
      }),
      note: step({ type: 'set', config: { variables: { to: '{{trigger.email}}' } }, next: { next: 'mail' } }),
      mail: step({
        type: 'action',
        config: { action_type: 'send_welcome_email', plugin_id, input: { to: '{{variables.to}}' } },
        next: { success: 'later' },
      }),
      later: wait(2 * DAY_MS, 'call'),
      call: post(receiver, '/orders/{{trigger.order_id}}', 'paid', { body: { at: '{{now}}' } }),
      paid: waitPaid('end', 'each'),
      each: step({
        type: 'for_each',
        config: { list: '{{trigger.lines}}', body: 'line', max_items: 10, concurrency: 1 },
        next: { done: 'over' },
      }),
      line: post(receiver, '/line', 'end', { body: '{{item.sku}}', loop: 'each' }),
      over: stop('for {{variables.to}}'),
    }),
    { data: { order_id: 7, total: 120, email: 'a@b.c', lines: [{ sku: 'x' }, { sku: 'y' }] } },
  )
  t.match(simulation, {
    start: { would_start: true, reason: null, trigger: 'trigger_1' },
    end: { status: 'completed', reason: 'stopped', error: null, finished_at: '2030-01-04T12:00:00.000Z' },
    variables: { to: 'a@b.c' },
    limit: null,
  })
  t.strictSame(path(simulation), [
    'large true',
    'which vip',
    'note next',
    'mail success',
    'later next',
    'call success',
    'paid timeout',
    'line:0 success',
    'line:1 success',
    'each done',
    'over simulated',
  ])
  t.ok(simulation.steps.every(({ status }) => status === 'simulated'))
  const [, , , mail, later, call, paid, first, second] = simulation.steps
  t.match(mail, {
    input: { to: 'a@b.c' },
    would: { kind: 'action', action_type: 'send_welcome_email', plugin_id },
  })
  t.match(later, {
    would: { kind: 'wait', until: '2030-01-03T12:00:00.000Z', events: [] },
    started_at: '2030-01-01T12:00:00.000Z',
    finished_at: '2030-01-03T12:00:00.000Z',
  })
  t.match(call, {
    input: { method: 'POST', url: `${receiver.url}/orders/7`, body: { at: '2030-01-03T12:00:00.000Z' } },
    would: { kind: 'http', method: 'POST', url: `${receiver.url}/orders/7` },
  })
  t.match(paid, {
    would: {
      until: '2030-01-04T12:00:00.000Z',
      events: [{ event: 'order.paid', match: { order_id: 7 }, filtered: false }],
    },
    note: 'no event was given',
  })
  t.match([first?.input, second?.input], [{ body: 'x' }, { body: 'y' }])
  t.match(simulation.steps.at(-1), { note: 'for a@b.c' })
  t.equal(receiver.received.length, sent, 'nobody was called')
})

t.test('a simulation takes the steps that the execution takes', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  receiver.answer(({ path }, response) => {
    if (path === '/two') response.writeHead(400).end()
    else response.end(`{"path":"${path}"}`)
  })
  const flow = flowOf(
    {
      each: step({
        type: 'for_each',
        config: { list: '{{trigger.names}}', body: 'call', max_items: 10, concurrency: 2 },
        next: { done: 'last' },
      }),
      call: post(receiver, '/{{item}}', 'pause', { error: 'seen', loop: 'each' }),
      pause: wait(HOUR_MS, 'end', 'each'),
      seen: step({
        type: 'set',
        config: { variables: { why: '{{steps.call.output.error.code}}' } },
        next: { next: 'end' },
        loop: 'each',
      }),
      last: post(receiver, '/two', 'end', { body: { missing: '{{trigger.nothing | default: "-"}}' } }),
      handler: post(receiver, '/handler', 'end', { handler: true, body: '{{execution.error.code}}' }),
    },
    { variables: { why: null } },
  )
  const id = await shop.publish(flow)
  const data = { names: ['one', 'two', 'three'] }
  await shop.send('order.created', data)
  await shop.run()
  shop.pass(HOUR_MS)
  await shop.run()
  shop.pass(HOUR_MS)
  await shop.run()
  const [execution] = await shop.executions(id)
  const steps = await shop.steps(execution?.id ?? '')
  const calls = receiver.received.length

  const mocks = Object.fromEntries(
    steps
      .filter(({ type }) => type === 'http')
      .map(({ step_id, iteration, output, error }) => [
        iteration === '' ? step_id : `${step_id}:${iteration}`,
        error === null ? { output } : { error: error },
      ]),
  )
  const simulation = await simulateUnchanged(t, world, shop, flow, { data, mocks })
  const told = (step: { step_id: string; iteration: string }) => `${step.step_id}:${step.iteration}`
  const compared = (all: readonly (typeof steps)[number][] | typeof simulation.steps) =>
    all
      .map((each) => ({
        step: told(each),
        port: each.port,
        failed: each.status === 'failed',
        input: each.input,
        output: each.step_id === 'pause' ? null : each.output,
        error: each.error,
      }))
      .sort((a, b) => (a.step < b.step ? -1 : 1))
  t.strictSame(compared(simulation.steps), compared(steps))
  t.match(simulation.end, { status: 'failed', reason: 'handled', handled: true, error: execution?.error })
  t.match(execution, { status: 'failed', reason: 'handled', handled: true })
  t.strictSame(simulation.unused_mocks, [])
  t.equal(receiver.received.length, calls)
})

t.test(
  'an output is the one that was given, else made up from the action’s schema, else empty',
  async (t) => {
    const shop = await world.shop()
    const act = (next: string): CanonicalStep =>
      step({
        type: 'action',
        config: { action_type: `do_${next}`, plugin_id: 'platform', input: {} },
        next: { success: next },
      })
    const { steps, variables, unused_mocks } = await simulateUnchanged(
      t,
      world,
      shop,
      flowOf({
        given: act('sampled'),
        sampled: act('empty'),
        empty: act('keep'),
        keep: step({
          type: 'set',
          config: {
            variables: { a: '{{steps.given.output.id}}', b: '{{steps.sampled.output.url}}' },
          },
          next: { next: 'end' },
        }),
      }),
      {
        mocks: { given: { output: { id: 'made' } }, absent: { output: 1 }, empty: { event: { data: {} } } },
        outputSchemaOf: (action) =>
          action === 'do_empty'
            ? { type: 'object', properties: { url: { type: 'string', format: 'uri' } } }
            : null,
      },
    )
    t.strictSame(
      steps.slice(0, 3).map(({ output }) => output),
      [{ id: 'made' }, { url: 'https://example.com/' }, {}],
    )
    t.strictSame(variables, { a: 'made', b: 'https://example.com/' })
    t.strictSame(unused_mocks, ['absent', 'empty'])
  },
)

t.test('a message is written by its template, and shows what would be sent', async (t) => {
  const shop = await world.shop()
  const text = (id: string) => ({ to: `{{steps.${id}.output.to}}`, text: `{{steps.${id}.output.body}}` })
  const message = (id: string, next: string): CanonicalStep =>
    step({
      type: 'message',
      config: {
        channel: 'sms',
        to: '{{trigger.phone}}',
        subject: null,
        body: 'Hello {{trigger.name}}',
        ai: { prompt: 'Greet {{trigger.name}}', model: null, max_tokens: 100 },
        send_with: { action_type: 'send_sms', plugin_id: 'platform', input: text(id) },
      },
      next: { success: next },
    })
  const { steps } = await simulateUnchanged(
    t,
    world,
    shop,
    flowOf({ first: message('first', 'second'), second: message('second', 'end') }),
    {
      data: { phone: '+491701234567', name: 'Ann' },
      mocks: { second: { output: { body: 'Dear Ann', source: 'ai' } } },
    },
  )
  t.match(steps, [
    {
      input: { to: '+491701234567', text: 'Hello Ann' },
      output: { message_id: null, channel: 'sms', body: 'Hello Ann', source: 'template', result: {} },
      would: { kind: 'message', channel: 'sms', to: '+491701234567', asks_ai: true, action_type: 'send_sms' },
      note: /no AI was asked/,
    },
    { output: { channel: 'sms', to: '+491701234567', body: 'Dear Ann', source: 'ai' } },
  ])
})
