import t from 'tap'
import type { CanonicalStep } from '#lib/flow/types.ts'
import {
  flowOf,
  HOUR_MS,
  MINUTE_MS,
  outcomes,
  post,
  startReceiver,
  startWorld,
  step,
  wait,
} from '../support.ts'

const world = await startWorld(t)

function each(
  rest: { max_items?: number; concurrency?: number; body?: string; done?: string } = {},
): CanonicalStep {
  const { max_items = 100, concurrency = 3, body = 'call', done = 'end' } = rest
  return step({
    type: 'for_each',
    config: { list: '{{trigger.items}}', body, max_items, concurrency },
    next: { done },
  })
}

t.test('a loop runs its body for each item, so many at a time, and goes on when all are done', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  let open = 0
  let most = 0
  receiver.answer((_received, response) => {
    most = Math.max(most, ++open)
    setImmediate(() => {
      open--
      response.end('{"ok":1}')
    })
  })
  const flow = await shop.publish(
    flowOf({
      loop: each({ done: 'after' }),
      call: post(receiver, '/item', 'again', { loop: 'loop', body: '{{item}}' }),
      again: post(receiver, '/again', 'end', { loop: 'loop', body: { ok: '{{steps.call.output.body.ok}}' } }),
      after: post(receiver, '/after', 'end', { body: '{{steps.loop.output}}' }),
    }),
  )
  const items = Array.from({ length: 20 }, (_, n) => ({ n }))
  await shop.send('order.created', { items })
  await shop.run()
  const [execution] = await shop.executions(flow)
  t.match(execution, { status: 'completed', reason: 'done', step_count: 42 })
  const calls = receiver.received.filter(({ path }) => path === '/item')
  t.strictSame(
    calls.map(({ body }) => (JSON.parse(body) as { n: number }).n).sort((a, b) => a - b),
    items.map(({ n }) => n),
  )
  t.strictSame(
    new Set(calls.map(({ headers }) => headers['idempotency-key'])),
    new Set(items.map(({ n }) => `${execution?.id ?? ''}:call:${n}`)),
  )
  t.ok(most <= 3 && most > 1, `${most} at a time`)
  t.match(JSON.parse(receiver.received.at(-1)?.body ?? ''), { count: 20, succeeded: 20, failed: 0 })
})

t.test('an empty list is done at once, a longer one than allowed is an error', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const flow = await shop.publish(
    flowOf({ loop: each({ max_items: 2 }), call: post(receiver, '/item', 'end', { loop: 'loop' }) }),
  )
  for (const items of [[], [1, 2, 3], 'none']) await shop.send('order.created', { items })
  await shop.run()
  t.match(await shop.executions(flow), [
    { status: 'completed' },
    { status: 'failed', error: { code: 'too_many_items' } },
    { status: 'failed', error: { code: 'not_a_list' } },
  ])
  t.equal(receiver.received.length, 0)
})

t.test('items wait and retry on their own', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  let failed = false
  receiver.answer(({ body }, response) => {
    const fails = body === '2' && !failed
    if (fails) failed = true
    response.writeHead(fails ? 503 : 200).end()
  })
  const flow = await shop.publish(
    flowOf({
      loop: each({ concurrency: 2, body: 'which' }),
      which: step({
        type: 'condition',
        config: { condition: { field: 'item', operator: 'equals', value: 1 } },
        next: { true: 'later', false: 'call' },
        loop: 'loop',
      }),
      later: wait(HOUR_MS, 'call', 'loop'),
      call: post(receiver, '/item', 'end', { loop: 'loop', body: '{{item | json}}', retries: 2 }),
    }),
  )
  await shop.send('order.created', { items: [1, 2, 3, 4] })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['waiting/delay'])
  t.equal(receiver.received.length, 1)
  shop.pass(MINUTE_MS)
  await shop.run()
  t.strictSame(
    receiver.received.map(({ body }) => body),
    ['2', '2', '3', '4'],
    'the place of an item that has ended is the next one’s',
  )
  shop.pass(HOUR_MS)
  await shop.run()
  const [execution] = await shop.executions(flow)
  t.match(execution, { status: 'completed', reason: 'done' })
  const steps = await shop.steps(execution?.id ?? '')
  t.match(
    steps.filter(({ step_id }) => step_id === 'call').map(({ iteration, attempts }) => [iteration, attempts]),
    [
      ['1', 2],
      ['2', 1],
      ['3', 1],
      ['0', 1],
    ],
  )
})

t.test('an item’s error ends the loop, once the calls that are under way have come back', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const held: (() => void)[] = []
  receiver.answer(({ path, body }, response) => {
    if (path === '/log') response.end()
    else if (body === '1') held.push(() => response.end('{"late":true}'))
    else response.writeHead(400).end()
  })
  const call = post(receiver, '/item', 'end', { loop: 'loop', body: '{{item | json}}' })
  const handled = await shop.publish(
    flowOf({ loop: each({ concurrency: 2 }), call, log: post(receiver, '/log', 'end', { handler: true }) }),
  )
  const plain = await shop.publish(flowOf({ loop: each({ concurrency: 2 }), call }))
  await shop.send('order.created', { items: [1, 2, 3] })
  const run = shop.run()
  await receiver.waitFor(5)
  for (const answer of held) answer()
  await run
  const [withHandler] = await shop.executions(handled)
  t.match(withHandler, { status: 'failed', handled: true })
  const [without] = await shop.executions(plain)
  t.match(without, { status: 'failed', handled: false, error: { step_id: 'call' } })
  for (const execution of [withHandler, without]) {
    const steps = await shop.steps(execution?.id ?? '')
    t.ok(
      steps.some(({ iteration, status }) => iteration === '0' && status === 'succeeded'),
      'what was done stands in the log',
    )
    t.notOk(
      steps.some(({ iteration }) => iteration === '2'),
      'no further item was started',
    )
  }
})

t.test('a worker that dies in a loop repeats none of the items that are done', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const flow = await shop.publish(
    flowOf({
      loop: each({ concurrency: 4 }),
      call: post(receiver, '/item', 'end', { loop: 'loop', body: '{{item | json}}' }),
    }),
  )
  const items = Array.from({ length: 40 }, (_, n) => n)
  await shop.send('order.created', { items })
  await shop.match()
  // Another worker takes it over in the middle: writes of the first one after that do not count.
  let taken = false
  receiver.answer((_received, response) => {
    if (taken || receiver.received.length < 20) {
      response.end()
      return
    }
    taken = true
    void shop.db
      .updateTable('automation_executions')
      .set((eb) => ({ lease_token: eb('lease_token', '+', 1), due_at: shop.now() }))
      .where('flow_id', '=', flow)
      .execute()
      .then(() => response.end())
  })
  await shop.run()
  const [execution] = await shop.executions(flow)
  t.match(execution, { status: 'completed', reason: 'done', step_count: 41 })
  const steps = await shop.steps(execution?.id ?? '')
  t.equal(steps.length, 41)
  const done = steps.filter(({ step_id }) => step_id === 'call').map(({ iteration }) => iteration)
  t.equal(new Set(done).size, 40, 'every item stands once in the log')
  const counts = new Map<string, number>()
  for (const { body } of receiver.received) counts.set(body, (counts.get(body) ?? 0) + 1)
  t.ok(receiver.received.length <= 44, `${receiver.received.length - 40} calls were under way and repeated`)
  t.ok([...counts.values()].every((count) => count <= 2))
})

t.test('collect keeps a value of each item, and variables set inside are kept with it', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  receiver.answer(({ body }, response) => response.end(body))
  const loop = each({ body: 'name', done: 'after', concurrency: 2 })
  const config = { ...loop.config, collect: { sku: '{{item.sku}}', price: '{{steps.call.output.body}}' } }
  const flow = await shop.publish(
    flowOf({
      loop: { ...loop, config } as CanonicalStep,
      name: step({
        type: 'set',
        config: { variables: { label: 'L{{item.sku}}' } },
        next: { next: 'call' },
        loop: 'loop',
      }),
      call: post(receiver, '/price', 'pause', { loop: 'loop', body: '{{item.price}}' }),
      // Between two holds: the kept values are on the disk, not in memory.
      pause: wait(HOUR_MS, 'end', 'loop'),
      after: post(receiver, '/after', 'end', { body: '{{steps.loop.output}}' }),
    }),
  )
  await shop.send('order.created', { items: [1, 2, 3].map((n) => ({ sku: `s${n}`, price: n })) })
  for (let pass = 0; pass < 3; pass++) {
    await shop.run()
    shop.pass(HOUR_MS)
  }
  const [execution] = await shop.executions(flow)
  t.match(execution, { status: 'completed' })
  const after = receiver.received.find(({ path }) => path === '/after')
  t.strictSame(JSON.parse(after?.body ?? ''), {
    count: 3,
    succeeded: 3,
    failed: 0,
    results: [1, 2, 3].map((n) => ({
      index: n - 1,
      status: 'succeeded',
      value: { sku: `s${n}`, price: n },
      variables: { label: `Ls${n}` },
    })),
  })
})

t.test('a loop that goes on tells which items failed, and why', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  receiver.answer(({ path, body }, response) => {
    const fails = path === '/item' && Number(body) % 2 === 1
    response.writeHead(fails ? 422 : 200).end(fails ? '{"error":"odd"}' : '{}')
  })
  const loop = each({ done: 'after' })
  const flow = await shop.publish(
    flowOf({
      loop: { ...loop, config: { ...loop.config, continues: true } } as CanonicalStep,
      call: post(receiver, '/item', 'end', { loop: 'loop', body: '{{item}}' }),
      after: post(receiver, '/after', 'end', { body: '{{steps.loop.output}}' }),
    }),
  )
  await shop.send('order.created', { items: [0, 1, 2, 3] })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['completed/done'])
  const after = receiver.received.find(({ path }) => path === '/after')
  const error = { code: 'http_4xx', message: 'odd' }
  t.strictSame(JSON.parse(after?.body ?? ''), {
    count: 4,
    succeeded: 2,
    failed: 2,
    results: [
      { index: 0, status: 'succeeded' },
      { index: 1, status: 'failed', error },
      { index: 2, status: 'succeeded' },
      { index: 3, status: 'failed', error },
    ],
  })
  await shop.send('order.created', { items: Array.from({ length: 60 }, () => 1) })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)).at(-1), 'completed/done')
})

t.test('what a loop gives is bounded: values that are too large together are left out', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const loop = each({ body: 'stop', done: 'after', concurrency: 20 })
  const flow = await shop.publish(
    flowOf({
      loop: {
        ...loop,
        config: { ...loop.config, body: 'name', collect: '{{trigger.text}}' },
      } as CanonicalStep,
      name: step({ type: 'set', config: { variables: {} }, next: {}, loop: 'loop' }),
      after: post(receiver, '/after', 'end', { body: '{{steps.loop.output}}' }),
    }),
  )
  await shop.send('order.created', { items: Array(40).fill(1), text: 'x'.repeat(10_000) })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['completed/done'])
  t.match(JSON.parse(receiver.received[0]?.body ?? ''), {
    count: 40,
    truncated: true,
    results: [{ index: 0, status: 'succeeded', value: undefined }],
  })
})
