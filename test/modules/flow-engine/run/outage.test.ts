import t from 'tap'
import { startReceiver } from '#test/support/receiver.ts'
import { FLOWS } from '#test/modules/flow/support.ts'
import {
  flowOf,
  HOUR_MS,
  MINUTE_MS,
  outcomes,
  post,
  registerMailer,
  settings,
  type Shop,
  wait,
  startWorld,
  step,
} from '../support.ts'

const platform = await startReceiver(t)
const world = await startWorld(t, {
  PLATFORM_URL: platform.url,
  PLATFORM_TOKEN: 'token',
  FLOW_MAX_STARTS_PER_MINUTE: '10000',
})

const PATIENT = { max_retries: 3, patience_ms: 12 * HOUR_MS, base_ms: 1_000, cap_ms: 15 * MINUTE_MS }

/** The platform as the report met it: every call is answered 503, or each is done. */
function setPlatform(isUp: boolean): void {
  platform.answer((_received, response) =>
    isUp ? response.end('{"id":"task_1"}') : response.writeHead(503).end('{"error":"down"}'),
  )
}

async function taskFlow(shop: Shop, rest: Record<string, unknown> = {}): Promise<string> {
  const flow = {
    name: 'Pack orders',
    status: 'active',
    trigger: { type: 'event', event_types: ['order.created'] },
    steps: [
      { id: 'task', type: 'action', action_type: 'create_task', input: { title: '{{trigger.order_id}}' } },
    ],
    ...rest,
  }
  const made = await shop.tenant.post(FLOWS, flow)
  if (made.statusCode !== 201) throw new Error(made.body)
  return made.json<{ id: string }>().id
}

const titleOf = ({ body }: { body: string }): number => Number((JSON.parse(body) as { title: string }).title)

t.test('an outage of the platform under a stream of orders loses none and needs nobody', async (t) => {
  const shop = await world.shop()
  // As the platform's builder writes it: the count of the settings is no end to patience.
  const flow = await taskFlow(shop, { settings: { retry_count: 3, retry_delay: 1_000 } })
  setPlatform(false)
  platform.received.length = 0
  const orders = 3_000
  for (let order = 0; order < orders; order++) {
    await shop.send('order.created', { order_id: order })
    // Five minutes of 10 orders a second, a hundred at a time.
    if (order % 100 === 99) {
      await shop.run()
      shop.pass(10_000)
    }
  }
  const during = await shop.executions(flow)
  t.equal(during.length, orders)
  t.ok(during.every(({ status, reason }) => status === 'waiting' && reason === 'retry'))
  t.ok(platform.received.length < 60, `${platform.received.length} calls reached a platform that is down`)

  setPlatform(true)
  platform.received.length = 0
  // The breaker of the connector goes by the process's own clock.
  const deadline = Date.now() + 60_000
  while ((await shop.executions(flow)).some(({ status }) => status === 'waiting') && Date.now() < deadline) {
    shop.pass(500)
    await shop.run()
  }
  const after = await shop.executions(flow)
  t.ok(after.every(({ status, reason }) => status === 'completed' && reason === 'done'))
  const done = platform.received.map(titleOf)
  t.equal(done.length, orders, 'each once')
  t.equal(new Set(done).size, orders)
  t.equal(done[0], 0, 'the oldest order was the one that tried')
  // Those under way at once may overtake each other on their connections, and no more than that.
  const inHand = 256
  t.ok(
    done.every((order, place) => Math.abs(order - place) < inHand),
    'in the order in which they came',
  )
  // By chance it would be a thousand.
  const moved = done.reduce((sum, order, place) => sum + Math.abs(order - place), 0) / orders
  t.comment(`moved by ${moved}`)
  t.ok(moved < 50, `each is ${moved} places away from its own`)
  t.strictSame(
    done.slice(0, 3).sort((a, b) => a - b),
    [0, 1, 2],
  )
  const read = await shop.tenant.get(`${FLOWS}/${flow}`)
  t.match(read.json(), { status: 'active', consecutive_failures: 0, off_since: null })
})

t.test('what comes while others wait for the same call waits behind them, without calling', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  receiver.answer(503)
  // Later than five runs take on a machine that is busy.
  const call = {
    ...post(receiver, '/a', 'end', { body: '{{trigger.n}}' }),
    retry: { ...PATIENT, base_ms: 5_000 },
  }
  const flow = await shop.publish(flowOf({ call }))
  const other = await startReceiver(t)
  const second = { ...post(other, '/a', 'end'), retry: PATIENT }
  const elsewhere = await shop.publish(flowOf({ call: second }))
  for (let n = 0; n < 5; n++) {
    await shop.send('order.created', { n })
    await shop.run()
  }
  t.equal(receiver.received.length, 1)
  t.equal(other.received.length, 5, 'another address is not held up')
  t.strictSame(outcomes(await shop.executions(elsewhere)), Array(5).fill('completed/done'))
  shop.pass(10_000)
  await shop.run()
  t.strictSame(
    receiver.received.map(({ body }) => body),
    ['0', '0'],
    'the first one tries again',
  )
  receiver.answer(200)
  shop.pass(MINUTE_MS)
  await shop.run()
  t.strictSame(receiver.received.slice(2).map(({ body }) => body)[0], '0')
  t.strictSame(
    receiver.received
      .slice(2)
      .map(({ body }) => body)
      .sort(),
    ['0', '1', '2', '3', '4'],
  )
  t.strictSame(outcomes(await shop.executions(flow)), Array(5).fill('completed/done'))
})

t.test('who waits first may be cancelled, or refused for good: the others go on', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  receiver.answer(503)
  const call = { ...post(receiver, '/a', 'end', { body: '{{trigger.n}}' }), retry: PATIENT }
  const flow = await shop.publish(flowOf({ call }))
  for (let n = 0; n < 4; n++) await shop.send('order.created', { n })
  await shop.run()
  const [first] = await shop.executions(flow)
  await world.app.flowEngine.cancel(shop.tenant.id, [first?.id ?? ''], 'test')
  receiver.answer(({ body }, response) => response.writeHead(body === '1' ? 422 : 200).end())
  for (let pass = 0; pass < 3; pass++) {
    shop.pass(5 * MINUTE_MS)
    await shop.run()
  }
  t.strictSame(outcomes(await shop.executions(flow)), [
    'cancelled/test',
    'failed',
    'completed/done',
    'completed/done',
  ])
})

t.test('a call that fails by itself again and again keeps the others waiting only for a while', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  receiver.answer(({ body }, response) => response.writeHead(body === '0' ? 503 : 200).end())
  const call = { ...post(receiver, '/a', 'end', { body: '{{trigger.n}}' }), retry: PATIENT }
  const flow = await shop.publish(flowOf({ call }))
  await shop.send('order.created', { n: 0 })
  await shop.run()
  await shop.send('order.created', { n: 1 })
  for (let pass = 0; pass < 30; pass++) {
    await shop.run()
    shop.pass(72_000)
  }
  t.strictSame(outcomes(await shop.executions(flow)), ['waiting/retry', 'completed/done'])
})

t.test('patience ends, and then the step fails as its flow says', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  receiver.answer(503)
  const patience = { ...PATIENT, patience_ms: HOUR_MS }
  const call = { ...post(receiver, '/a', 'end', { error: 'instead' }), retry: patience }
  const flow = await shop.publish(flowOf({ call, instead: post(receiver, '/instead', 'end') }))
  for (let n = 0; n < 3; n++) await shop.send('order.created', {})
  await shop.run()
  receiver.answer(({ path }, response) => response.writeHead(path === '/a' ? 503 : 200).end())
  shop.pass(HOUR_MS - MINUTE_MS)
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), Array(3).fill('waiting/retry'))
  // The count of the policy holds for those, too, that have waited behind others all the time.
  for (let pass = 0; pass < 4; pass++) {
    shop.pass(2 * MINUTE_MS)
    await shop.run()
  }
  t.strictSame(outcomes(await shop.executions(flow)), Array(3).fill('completed/done'))
  t.equal(receiver.received.filter(({ path }) => path === '/instead').length, 3)
})

t.test('a paused plugin holds steps back until it is resumed', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const plugin_id = await registerMailer(shop, receiver)
  const mail = step({
    type: 'action',
    config: { action_type: 'send_welcome_email', plugin_id, input: { to: 'a', template: 'x' } },
    next: { success: 'end' },
    retry: PATIENT,
  })
  const flow = await shop.publish(flowOf({ mail }))
  t.equal((await shop.tenant.post('/api/plugins/mailer/pause')).statusCode, 200)
  for (let n = 0; n < 25; n++) await shop.send('order.created', { n })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), Array(25).fill('waiting/retry'))
  t.equal((await shop.tenant.post('/api/plugins/mailer/resume')).statusCode, 200)
  shop.pass(2 * MINUTE_MS)
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), Array(25).fill('completed/done'))
  t.equal(receiver.received.length, 25)
})

t.test('honest 429s cost no execution', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  let left = 0
  receiver.answer((_received, response) => {
    if (left-- > 0) response.writeHead(200).end()
    else response.writeHead(429, { 'retry-after': '30' }).end()
  })
  const call = { ...post(receiver, '/a', 'end'), retry: PATIENT }
  const flow = await shop.publish(flowOf({ call }))
  for (let n = 0; n < 60; n++) await shop.send('order.created', { n })
  const isOver = async (): Promise<boolean> =>
    (await shop.executions(flow)).every(({ status }) => status === 'completed')
  for (let window = 0; window < 40; window++) {
    left = 4
    await shop.run()
    if (await isOver()) break
    shop.pass(31_000)
  }
  t.strictSame(outcomes(await shop.executions(flow)), Array(60).fill('completed/done'))
})

for (const answer of [500, 'hang'] as const) {
  t.test(
    `a host that answers ${answer} to several in a row is away, and order is kept behind it`,
    async (t) => {
      const shop = await world.shop()
      const receiver = await startReceiver(t)
      receiver.answer((_received, response) => {
        if (answer === 500) response.writeHead(500).end()
      })
      const retry = { ...PATIENT, max_retries: 1, patience_ms: HOUR_MS }
      const timeout_ms = answer === 500 ? 5_000 : 1_000
      const call = { ...post(receiver, '/a', 'end', { body: '{{trigger.n}}' }), retry, timeout_ms }
      const flow = await shop.publish(flowOf({ call }))
      const orders = 30
      for (let n = 0; n < orders; n++) {
        await shop.send('order.created', { n })
        await shop.run()
        shop.pass(10_000)
      }
      const during = await shop.executions(flow)
      t.ok(during.every(({ status, reason }) => status === 'waiting' && reason === 'retry'))
      const fromFifth = receiver.received.findIndex(({ body }) => body === '4')
      const triers = new Set(receiver.received.slice(fromFifth + 1).map(({ body }) => Number(body)))
      t.ok(
        [...triers].every((n) => n < 5),
        `only those that met it try again: ${[...triers].join(', ')}`,
      )
      receiver.received.length = 0
      receiver.answer(200)
      for (let round = 0; round < 60; round++) {
        shop.pass(30_000)
        await shop.run()
      }
      t.strictSame([...new Set(outcomes(await shop.executions(flow)))], ['completed/done'])
      // A machine that is busy may answer one too late: then it is asked again.
      const done = [...new Set(receiver.received.map(({ body }) => Number(body)))]
      t.equal(done.length, orders)
      const late = done.filter((n) => n >= 5)
      t.ok(
        late.every((n, place) => Math.abs(n - 5 - place) < 4),
        `in the order of their events: ${done.join(' ')}`,
      )
    },
  )
}

t.test('a request that a host always answers by 500 keeps no others waiting', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  receiver.answer(({ body }, response) => void response.writeHead(Number(body) % 2 === 0 ? 500 : 200).end())
  const call = { ...post(receiver, '/a', 'end', { body: '{{trigger.n}}' }), retry: PATIENT }
  const flow = await shop.publish(flowOf({ call }))
  for (let n = 0; n < 20; n++) {
    await shop.send('order.created', { n })
    await shop.run()
  }
  const ended = (await shop.executions(flow)).filter(({ status }) => status === 'completed')
  t.equal(ended.length, 10)
})

t.test('failures of the other side are no fault of the flow, whatever they are', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const once = { max_retries: 0, patience_ms: 0, base_ms: 1_000, cap_ms: MINUTE_MS }
  const call = { ...post(receiver, '/a', 'end'), retry: once, timeout_ms: 100 }
  const flow = await shop.publish(flowOf({ call }, { settings: settings({ lifetime_ms: HOUR_MS }) }))
  const answers = [500, 503, 429, 408, 'hang', 'reset'] as const
  receiver.answer((_received, response) => {
    const answer = answers[receiver.received.length % answers.length]
    if (answer === 'reset') response.destroy()
    else if (typeof answer === 'number') response.writeHead(answer).end()
  })
  for (let n = 0; n < 24; n++) await shop.send('order.created', { n })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), Array(24).fill('failed'))
  const read = await shop.tenant.get(`${FLOWS}/${flow}`)
  t.match(read.json(), { status: 'active', consecutive_failures: 0 })
})

t.test('a lifetime that ends is no fault of the flow either', async (t) => {
  const shop = await world.shop()
  const later = wait(2 * HOUR_MS, 'end')
  const flow = await shop.publish(flowOf({ later }, { settings: settings({ lifetime_ms: HOUR_MS }) }))
  for (let n = 0; n < 24; n++) await shop.send('order.created', { n })
  await shop.run()
  shop.pass(HOUR_MS + MINUTE_MS)
  await shop.run()
  t.ok((await shop.executions(flow)).every(({ status }) => status === 'timed_out'))
  const read = await shop.tenant.get(`${FLOWS}/${flow}`)
  t.match(read.json(), { status: 'active', consecutive_failures: 0 })
})
