import t from 'tap'
import { read, retry } from '#test/modules/execution/support.ts'
import { until as waitUntil } from '#test/infra/app-on.ts'
import { feedSettled } from '#test/modules/event/support.ts'
import {
  flowOf,
  MINUTE_MS,
  outcomes,
  post,
  registerMailer,
  startReceiver,
  startWorld,
  step,
} from '../support.ts'

const world = await startWorld(t)

t.test(
  'a failed call waits as a row that becomes due, longer each time, and repeats under its key',
  async (t) => {
    const shop = await world.shop()
    const receiver = await startReceiver(t)
    receiver.answer(503)
    const flow = await shop.publish(flowOf({ call: post(receiver, '/a', 'end', { retries: 3 }) }))
    await shop.send('order.created', {})
    const pauses: number[] = []
    for (let attempt = 1; attempt <= 3; attempt++) {
      await shop.run()
      const [execution] = await shop.executions(flow)
      t.match(execution, { status: 'waiting', reason: 'retry', step_count: 0, lease_until: null })
      t.equal(receiver.received.length, attempt)
      pauses.push(Number(execution?.due_at) - shop.now().getTime())
      await shop.run()
      t.equal(receiver.received.length, attempt, 'nothing before it is due')
      shop.pass(2_000 * 2 ** (attempt - 1))
    }
    for (const [index, pause] of pauses.entries()) {
      const base = 1_000 * 2 ** index
      t.ok(pause > 0.8 * base - 500 && pause <= 1.2 * base, `pause ${pause} of about ${base}`)
    }
    receiver.answer(200)
    await shop.run()
    const [execution] = await shop.executions(flow)
    t.match(execution, { status: 'completed', reason: 'done' })
    t.strictSame(
      receiver.received.map(({ headers }) => headers['idempotency-key']),
      Array.from({ length: 4 }, () => `${execution?.id ?? ''}:call`),
    )
    const [call] = await shop.steps(execution?.id ?? '')
    t.match(call, { status: 'succeeded', attempts: 4 })
    const [done] = (await read(shop, execution?.id ?? '')).steps
    t.match(
      done?.attempt_log.map(({ number, status, error }) => [number, status, error?.code ?? null]),
      [
        [1, 'failed', 'http_5xx'],
        [2, 'failed', 'http_5xx'],
        [3, 'failed', 'http_5xx'],
        [4, 'succeeded', null],
      ],
    )
    t.equal(done?.attempt_log[2]?.next_at === null, false)
    t.equal(done?.attempt_log[3]?.next_at, null)
  },
)

t.test(
  'what waits for its next attempt tells those before, and a step that is tried once has none',
  async (t) => {
    const shop = await world.shop()
    const receiver = await startReceiver(t)
    receiver.answer((request, response) => response.writeHead(request.path === '/a' ? 200 : 503).end())
    const flow = await shop.publish(
      flowOf({
        first: post(receiver, '/a', 'call', { retries: 20 }),
        call: post(receiver, '/b', 'last', { retries: 11, error: 'last' }),
        last: post(receiver, '/a', 'end', { retries: 20 }),
      }),
    )
    await shop.send('order.created', {})
    await shop.run()
    const [execution] = await shop.executions(flow)
    const detail = async () => read(shop, execution?.id ?? '')
    const waiting = (await detail()).waiting_for[0]
    t.match(waiting, {
      step_id: 'call',
      reason: 'retry',
      attempt_log: [{ number: 1, status: 'failed', error: { code: 'http_5xx' }, next_at: waiting?.until }],
    })
    for (let attempt = 1; attempt <= 11; attempt++) {
      shop.pass(20 * MINUTE_MS)
      await shop.run()
    }
    const { status, steps } = await detail()
    t.equal(status, 'completed')
    t.same(
      steps.map(({ step_id, attempts, attempt_log }) => [step_id, attempts, attempt_log.length]),
      [
        ['first', 1, 0],
        ['call', 12, 10],
        ['last', 1, 0],
      ],
    )
    t.match(steps[1]?.attempt_log.at(-1), { number: 12, status: 'failed', next_at: null })

    const retried = await retry(shop, execution?.id ?? '', { from: 'last' })
    t.match((await read(shop, retried.id)).steps[1], { step_id: 'call', attempt_log: [{ number: 3 }] })
  },
)

t.test('an item of a loop that waits for its next attempt is told beside those that run', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const release = Promise.withResolvers<null>()
  receiver.answer((request, response) => {
    if (request.body.includes('bad')) response.writeHead(503).end()
    else void release.promise.then(() => response.writeHead(200).end())
  })
  const flow = await shop.publish(
    flowOf({
      each: step({
        type: 'for_each',
        config: { list: ['bad', 'good'], max_items: 2, concurrency: 2, body: 'call' },
        next: { done: 'end' },
      }),
      call: post(receiver, '/a', 'end', { retries: 3, loop: 'each', body: '{{item}}' }),
    }),
  )
  await shop.send('order.created', {})
  const running = shop.run()
  await receiver.waitFor(2)
  const detail = await waitUntil(
    async () => {
      const [execution] = await shop.executions(flow)
      return read(shop, execution?.id ?? '')
    },
    ({ waiting_for }) => waiting_for.length > 0,
  )
  t.match(detail, {
    status: 'running',
    at: [{ step_id: 'call', iteration: '1', attempt: 1 }],
    waiting_for: [{ step_id: 'call', iteration: '0', reason: 'retry', attempt_log: [{ number: 1 }] }],
  })
  release.resolve(null)
  await running
})

t.test('Retry-After wins over the pause of the policy', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  receiver.answer((_received, response) => response.writeHead(429, { 'retry-after': '120' }).end())
  const flow = await shop.publish(flowOf({ call: post(receiver, '/a', 'end', { retries: 3 }) }))
  await shop.send('order.created', {})
  await shop.run()
  const [execution] = await shop.executions(flow)
  const pause = Number(execution?.due_at) - shop.now().getTime()
  t.ok(pause > MINUTE_MS && pause <= 2 * MINUTE_MS, `${pause} ms`)
})

t.test('a call that is refused for good is not repeated', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  receiver.answer(422)
  const flow = await shop.publish(flowOf({ call: post(receiver, '/a', 'end', { retries: 3 }) }))
  await shop.send('order.created', {})
  await shop.run()
  t.match(await shop.executions(flow), [{ status: 'failed', handled: false, error: { step_id: 'call' } }])
  t.equal(receiver.received.length, 1)
})

t.test(
  'an action that is repeated sends the very same text, now and outputs of steps included',
  async (t) => {
    const shop = await world.shop()
    const receiver = await startReceiver(t)
    const plugin_id = await registerMailer(shop, receiver)
    receiver.answer((received, response) => {
      if (received.path === '/first') response.end('{"zulu":1,"a":{"longer":2,"b":3}}')
      else response.writeHead(receiver.received.length < 4 ? 503 : 200).end('{}')
    })
    const flow = await shop.publish(
      flowOf({
        first: post(receiver, '/first', 'mail'),
        mail: step({
          type: 'action',
          config: {
            action_type: 'send_welcome_email',
            plugin_id,
            input: { to: '{{now}}', template: 'x', all: '{{steps.first.output.body}}' },
          },
          next: { success: 'end' },
          retry: { max_retries: 3, base_ms: 1_000, cap_ms: MINUTE_MS },
          timeout_ms: 5_000,
        }),
      }),
    )
    await shop.send('order.created', {})
    for (let pass = 0; pass < 4; pass++) {
      await shop.run()
      shop.pass(10_000)
    }
    t.strictSame(outcomes(await shop.executions(flow)), ['completed/done'])
    const payloads = receiver.received
      .filter(({ path }) => path === '/hook')
      .map(({ body }) => JSON.stringify((JSON.parse(body) as { payload: unknown }).payload))
    t.equal(payloads.length, 3)
    t.equal(new Set(payloads).size, 1, String(payloads[0]))
  },
)

t.test('an action that its plugin accepts goes on when the plugin completes it', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const plugin_id = await registerMailer(shop, receiver)
  receiver.answer(202)
  const flow = await shop.publish(
    flowOf({
      mail: step({
        type: 'action',
        config: { action_type: 'send_welcome_email', plugin_id, input: { to: 'a', template: 'x' } },
        next: { success: 'end' },
        retry: { max_retries: 3, base_ms: 1_000, cap_ms: MINUTE_MS },
        timeout_ms: 5_000,
      }),
    }),
  )
  await shop.send('order.created', {})
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['waiting/completion'])
  shop.pass(3_000)
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['waiting/completion'])
  const [call] = receiver.received
  const { invocation_id } = JSON.parse(call?.body ?? '{}') as { invocation_id: string }
  const completed = await world.app.inject({
    method: 'POST',
    url: `/api/actions/${invocation_id}/complete`,
    headers: { 'x-completion-token': String(call?.headers['x-completion-token']) },
    payload: { success: true, data: { delivered: 1 } },
  })
  t.equal(completed.statusCode, 200, completed.body)
  shop.pass(10_000)
  await shop.run()
  const [execution] = await shop.executions(flow)
  t.match(execution, { status: 'completed' })
  t.match(await shop.steps(execution?.id ?? ''), [{ status: 'succeeded', output: { delivered: 1 } }])
  t.equal(receiver.received.length, 1)
})

t.test('what was cut off and given back at once is not called again once it was accepted', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const plugin_id = await registerMailer(shop, receiver)
  receiver.answer(202)
  const mail = step({
    type: 'action',
    config: { action_type: 'send_welcome_email', plugin_id, input: { to: 'a', template: 'x' } },
    next: { success: 'end' },
  })
  const flow = await shop.publish(flowOf({ mail }))
  await shop.send('order.created', {})
  await feedSettled({ db: shop.db })
  await shop.match()
  const [before] = await shop.executions(flow)
  await shop.engine().drain()
  t.strictSame(outcomes(await shop.executions(flow)), ['waiting/completion'])
  // As a process leaves it that dies between the plugin's answer and the boundary.
  await shop.db
    .updateTable('automation_executions')
    .set({ status: 'running', reason: null, state: JSON.stringify(before?.state), due_at: new Date(0) })
    .where('id', '=', before?.id ?? '')
    .execute()
  const stopping = world.app.flowEngine.createEngine(() => shop.now())
  stopping.start()
  await stopping.stop()
  t.strictSame(outcomes(await shop.executions(flow)), ['queued'])
  await shop.engine().drain()
  t.strictSame(outcomes(await shop.executions(flow)), ['waiting/completion'])
  t.equal(receiver.received.length, 1)
})

t.test('an error takes the step’s error port, and what follows sees it', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  receiver.answer(({ path }, response) => response.writeHead(path === '/bad' ? 400 : 200).end())
  const flow = await shop.publish(
    flowOf({
      bad: post(receiver, '/bad', 'end', { error: 'good' }),
      good: post(receiver, '/good', 'end', { body: { code: '{{steps.bad.output.error.code}}' } }),
    }),
  )
  await shop.send('order.created', {})
  await shop.run()
  const [execution] = await shop.executions(flow)
  t.match(execution, { status: 'completed', reason: 'done', error: null })
  const [bad] = await shop.steps(execution?.id ?? '')
  t.match(bad, { status: 'failed', port: 'error' })
  t.match(JSON.parse(receiver.received[1]?.body ?? ''), { code: /\w/ })
})

t.test('an error without a port enters the handlers and ends failed and handled', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  receiver.answer(({ path }, response) => response.writeHead(path === '/bad' ? 400 : 200).end())
  const body = { step: '{{execution.error.step_id}}' }
  const flow = await shop.publish(
    flowOf({
      bad: post(receiver, '/bad', 'end'),
      log: post(receiver, '/log', 'end', { handler: true, body }),
    }),
  )
  await shop.send('order.created', {})
  await shop.run()
  t.match(await shop.executions(flow), [
    { status: 'failed', handled: true, reason: 'handled', error: { step_id: 'bad' } },
  ])
  t.strictSame(JSON.parse(receiver.received[1]?.body ?? ''), { step: 'bad' })
})

t.test('an error inside a handler enters no handler again', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  receiver.answer(400)
  const flow = await shop.publish(
    flowOf({
      bad: post(receiver, '/bad', 'end'),
      log: post(receiver, '/log', 'end', { handler: true }),
    }),
  )
  await shop.send('order.created', {})
  await shop.run()
  t.match(await shop.executions(flow), [
    { status: 'failed', handled: false, reason: 'handler_failed', error: { step_id: 'bad' } },
  ])
  t.strictSame(
    receiver.received.map(({ path }) => path),
    ['/bad', '/log'],
  )
})

t.test('a handler that an error port leads to knows the error, and is not entered by its own', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  receiver.answer(400)
  const flow = await shop.publish(
    flowOf({
      bad: post(receiver, '/bad', 'end', { error: 'log' }),
      log: post(receiver, '/log', 'end', { handler: true, body: '{{execution.error.step_id}}' }),
    }),
  )
  await shop.send('order.created', {})
  await shop.run()
  t.match(await shop.executions(flow), [
    { status: 'failed', handled: false, reason: 'handler_failed', error: { step_id: 'log' } },
  ])
  t.strictSame(
    receiver.received.map(({ path, body }) => [path, body]),
    [
      ['/bad', ''],
      ['/log', 'bad'],
    ],
  )
})

t.test('a template without its value is an error of its step', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const flow = await shop.publish(
    flowOf({ call: post(receiver, '/a', 'end', { body: { to: '{{trigger.email}}' }, retries: 3 }) }),
  )
  await shop.send('order.created', {})
  await shop.run()
  t.match(await shop.executions(flow), [{ status: 'failed', error: { code: 'template_error' } }])
  t.equal(receiver.received.length, 0)
})
