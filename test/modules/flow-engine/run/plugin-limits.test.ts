import t from 'tap'
import { eventually } from '#test/support/deliveries.ts'
import { startApp, type Tenant, type TestApp } from '#test/support/app.ts'
import { type Receiver, startReceiver } from '#test/support/receiver.ts'
import { FLOWS } from '#test/modules/flow/support.ts'

const service = await startApp(t, {
  env: { ROLES: 'api,worker', FLOW_MAX_STARTS_PER_MINUTE: '10000' },
})

/** A shop with a flow that calls an action of a plugin for each order. */
async function shopWith(
  receiver: Receiver,
  { settings = {}, step = {} }: { settings?: object; step?: object },
): Promise<{ shop: Tenant; flowId: string }> {
  const shop = service.tenant()
  const plugin = { name: 'worker', slug: 'worker', webhook_url: `${receiver.url}/hook`, ...settings }
  t.equal((await shop.post('/api/plugins', { ...plugin, events: [] })).statusCode, 201)
  const action = { action_type: 'work', title: 'Work', description: 'Works', category: 'email' }
  const given = await shop.post('/api/plugins/worker/register-actions', { actions: [action] })
  t.equal(given.statusCode, 200, given.body)
  const made = await shop.post(FLOWS, {
    name: 'Work',
    status: 'active',
    trigger: { type: 'event', event_types: ['order.created'] },
    steps: [{ id: 'work', type: 'action', plugin_id: 'worker', action_type: 'work', input: {}, ...step }],
  })
  t.equal(made.statusCode, 201, made.body)
  return { shop, flowId: made.json<{ id: string }>().id }
}

async function order(shop: Tenant, count: number): Promise<void> {
  const events = Array.from({ length: count }, (_, n) => ({ event: 'order.created', data: { order_id: n } }))
  t.equal((await shop.post('/api/events', { events })).statusCode, 202)
}

/** Waits until all executions have ended. @returns how many ended how */
async function ended({ db }: TestApp, flowId: string, count: number): Promise<Record<string, number>> {
  const rows = await eventually(
    'all have ended',
    async () => {
      const all = await db
        .selectFrom('automation_executions')
        .select(['status', 'reason'])
        .where('flow_id', '=', flowId)
        .execute()
      return all.length === count && all.every(({ status }) => status === 'completed' || status === 'failed')
        ? all
        : null
    },
    240_000,
  )
  const counts: Record<string, number> = {}
  for (const { status } of rows) counts[status] = (counts[status] ?? 0) + 1
  return counts
}

t.test('a burst of executions calls a plugin no more than it allows at once, and each once', async (t) => {
  const receiver = await startReceiver(t)
  let underWay = 0
  let most = 0
  receiver.answer((_received, response) => {
    most = Math.max(most, ++underWay)
    setTimeout(() => {
      underWay--
      response.end('{}')
    }, 10)
  })
  const orders = 600
  const { shop, flowId } = await shopWith(receiver, {})
  await order(shop, orders)
  t.strictSame(await ended(service, flowId, orders), { completed: orders })
  t.equal(most, 4)
  t.equal(receiver.received.length, orders)
  t.equal(new Set(receiver.received.map(({ headers }) => headers['idempotency-key'])).size, orders)
})

t.test('those that wait longer for a slow plugin wait as rows, without a failed attempt', async (t) => {
  const receiver = await startReceiver(t)
  receiver.answer((_received, response) => void setTimeout(() => response.end('{}'), 300))
  const orders = 60
  const { shop, flowId } = await shopWith(receiver, {
    settings: { max_in_flight: 2 },
    // One attempt: to wait for its turn is none.
    step: { retry: { max_retries: 0 } },
  })
  await order(shop, orders)
  await eventually('some wait as rows', async () => {
    const waiting = await service.db
      .selectFrom('automation_executions')
      .select('id')
      .where('flow_id', '=', flowId)
      .where('status', '=', 'waiting')
      .where('reason', '=', 'retry')
      .execute()
    return waiting.length > 10
  })
  t.strictSame(await ended(service, flowId, orders), { completed: orders })
  t.equal(receiver.received.length, orders)
  const steps = await service.db
    .selectFrom('automation_steps as s')
    .innerJoin('automation_executions as e', 'e.id', 's.execution_id')
    .select(['s.attempts'])
    .where('e.flow_id', '=', flowId)
    .execute()
  t.ok(steps.every(({ attempts }) => attempts === 1))
})

t.test('a plugin that answers 429 honestly gets each execution through', async (t) => {
  const receiver = await startReceiver(t)
  const perSecond: number[] = []
  let refused = 0
  receiver.answer((_received, response) => {
    const second = Math.floor(performance.now() / 1_000)
    perSecond[second] = (perSecond[second] ?? 0) + 1
    if (perSecond[second] <= 50) return response.end('{}')
    refused++
    return response.writeHead(429, { 'retry-after': '1' }).end('{}')
  })
  const orders = 400
  const { shop, flowId } = await shopWith(receiver, { settings: { max_in_flight: 16 } })
  await order(shop, orders)
  t.strictSame(await ended(service, flowId, orders), { completed: orders })
  t.equal(receiver.received.length, orders + refused)
  t.ok(refused < orders / 2, `${refused} calls were refused for ${orders} executions`)
})
