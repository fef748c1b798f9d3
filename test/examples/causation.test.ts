import t, { type Test } from 'tap'
import { startApp, type TestApp, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { flowOf, publishFlow, step } from '#test/modules/flow-engine/support.ts'
import { ensureCursor } from '#modules/flow-engine/index.ts'
import { MAX_CAUSATION_DEPTH } from '#modules/event/index.ts'
import { idOf, PLATFORM_TOKEN, type Shop, startShop } from './shop.ts'
import { eventually } from '#test/support/deliveries.ts'

interface Place {
  service: TestApp
  shop: Shop
  /** A flow that answers an event with a platform action, whose payload has the event's id as `field`. */
  answer: (event: string, action_type: string, id: string, field: string) => Promise<string>
}

async function startPlace(t: Test): Promise<Place> {
  const shop = await startShop(t, crypto.randomUUID())
  const service = await startApp(t, {
    env: { ROLES: 'api,worker', PLATFORM_URL: shop.platform.url, PLATFORM_TOKEN },
  })
  const url = await service.app.listen({ host: '127.0.0.1', port: 0 })
  shop.platform.sendEventsTo({ url, key: TEST_PLATFORM_KEY })
  await service.db.insertInto('tenants').values({ id: shop.tenantId }).execute()
  // Before the first event: so that intake tells the matcher of each one.
  await ensureCursor(service.db, shop.tenantId)
  const answer: Place['answer'] = (event, action_type, id, field) =>
    publishFlow(
      service.db,
      shop.tenantId,
      flowOf(
        {
          change: step({
            type: 'action',
            config: { action_type, plugin_id: 'platform', input: { id, [field]: 'after {{event.id}}' } },
            next: { success: 'end' },
          }),
        },
        {
          triggers: [{ id: 'trigger_1', type: 'event', event_types: [event], filter: null, plugin_id: null }],
        },
      ),
    )
  return { service, shop, answer }
}

async function newCustomer(shop: Shop): Promise<string> {
  const { body } = await shop.call('POST', '/api/customers', { email: 'ada@example.com', name: 'Ada' })
  return idOf(body)
}

/** Once the chain has been cut: its executions in their order. */
function chainOf({ db }: TestApp, tenantId: string) {
  return eventually('an execution that does not start', async () => {
    const executions = await db
      .selectFrom('automation_executions')
      .select(['flow_id', 'status', 'reason', 'causation_depth', 'event_id'])
      .where('tenant_id', '=', tenantId)
      .orderBy('causation_depth')
      .execute()
    const isCut = executions.some(({ status }) => status === 'skipped')
    return isCut && executions.every(({ status }) => status === 'completed' || status === 'skipped')
      ? executions
      : null
  })
}

function flowsOf({ db }: TestApp, tenantId: string) {
  return db
    .selectFrom('automation_flows')
    .select(['id', 'status', 'status_reason'])
    .where('tenant_id', '=', tenantId)
    .execute()
}

t.test('two flows that trigger each other by way of the platform come to an end', async (t) => {
  const { service, shop, answer } = await startPlace(t)
  const customer = await newCustomer(shop)
  const { body: lamp } = await shop.call('POST', '/api/products', { name: 'Lamp', price: 39 })
  const product = idOf(lamp)
  const first = await answer('product.updated', 'update_customer', customer, 'name')
  const second = await answer('customer.updated', 'update_product', product, 'name')
  await shop.call('PUT', `/api/products/${product}`, { name: 'A brighter lamp' })

  const chain = await chainOf(service, shop.tenantId)
  t.strictSame(
    chain.map((each) => [each.flow_id, each.causation_depth, each.status, each.reason]),
    Array.from({ length: MAX_CAUSATION_DEPTH + 2 }, (_, depth) => [
      depth % 2 === 0 ? first : second,
      depth,
      ...(depth <= MAX_CAUSATION_DEPTH ? ['completed', 'done'] : ['skipped', 'causation_depth']),
    ]),
  )
  const events = await service.db
    .selectFrom('events')
    .select(['id', 'causation_id', 'causation_depth'])
    .where('tenant_id', '=', shop.tenantId)
    .where('event', 'in', ['product.updated', 'customer.updated'])
    .orderBy('causation_depth')
    .execute()
  t.strictSame(
    events.map(({ causation_id }) => causation_id),
    [null, ...events.slice(0, -1).map(({ id }) => id)],
    'each event names the one that caused it',
  )
})

t.test('a flow that triggers itself is paused, and says why', async (t) => {
  const { service, shop, answer } = await startPlace(t)
  const customer = await newCustomer(shop)
  const flow = await answer('customer.updated', 'update_customer', customer, 'name')
  const other = await answer('order.paid', 'update_customer', customer, 'name')
  await shop.call('PUT', `/api/customers/${customer}`, { name: 'Ada Lovelace' })

  const chain = await chainOf(service, shop.tenantId)
  t.match(chain.at(-1), {
    status: 'skipped',
    reason: 'causation_depth',
    causation_depth: MAX_CAUSATION_DEPTH + 1,
  })
  const flows = new Map((await flowsOf(service, shop.tenantId)).map(({ id, ...rest }) => [id, rest]))
  t.strictSame(flows.get(flow), { status: 'paused', status_reason: 'self_triggering' })
  t.strictSame(flows.get(other), { status: 'active', status_reason: null })
})
