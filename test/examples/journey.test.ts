import t, { type Test } from 'tap'
import { Webhook } from 'standardwebhooks'
import type { RegistryAction } from '#modules/registry/index.ts'
import { startApp, type Tenant, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { startMailbox } from './mailbox.ts'
import { startPlugin } from './mailer-plugin.ts'
import { idOf, PLATFORM_TOKEN, type Shop, startShop } from './shop.ts'
import { eventually } from '#test/support/deliveries.ts'

interface Place {
  url: string
  tenant: Tenant
  shop: Shop
  actions: readonly RegistryAction[]
  /** As the platform's backend would ask. */
  dispatch(body: object): Promise<DispatchAnswer>
}

interface DispatchAnswer {
  results: { action_type: string; success: boolean; replayed: boolean; data?: Record<string, unknown> }[]
  summary: { total: number; succeeded: number; failed: number }
}

/** The service and the platform, each with the other's address. */
async function startPlace(t: Test): Promise<Place> {
  const shop = await startShop(t, crypto.randomUUID())
  const service = await startApp(t, {
    env: { ROLES: 'api,worker', PLATFORM_URL: shop.platform.url, PLATFORM_TOKEN },
  })
  const url = await service.app.listen({ host: '127.0.0.1', port: 0 })
  shop.platform.sendEventsTo({ url, key: TEST_PLATFORM_KEY })
  const tenant = { ...service.tenant(), id: shop.tenantId }
  const headers = {
    authorization: `Bearer ${TEST_PLATFORM_KEY}`,
    'x-tenant-id': shop.tenantId,
    'content-type': 'application/json',
  }
  const post: Tenant['post'] = (path, body) =>
    service.app.inject({ method: 'POST', url: path, headers, payload: JSON.stringify(body ?? {}) })
  return {
    url,
    tenant: { ...tenant, post },
    shop,
    actions: service.app.registry.platformActions,
    dispatch: async (body) => {
      const response = await fetch(`${url}/api/plugins/events/automation`, {
        method: 'POST',
        headers,
        body: JSON.stringify(body),
      })
      t.equal(response.status, 200)
      return (await response.json()) as DispatchAnswer
    },
  }
}

t.test('a customer in the platform, a mail in the mailbox, an event at the subscriber', async (t) => {
  const place = await startPlace(t)
  const mailbox = await startMailbox(t)
  const key = (
    await place.tenant.post('/api/keys', { kind: 'tenant', name: 'plugins', role: 'editor' })
  ).json<{
    key: string
  }>()
  const { plugin, log } = await startPlugin(t, {
    smtpUrl: mailbox.url,
    automationUrl: place.url,
    automationKey: key.key,
  })
  await plugin.registered
  const crm = await startReceiver(t)
  const { secret } = (
    await place.tenant.post('/api/plugins', {
      name: 'CRM',
      webhook_url: crm.url,
      events: ['customer.created'],
    })
  ).json<{ secret: string }>()
  const plugins = await fetch(`${place.url}/api/plugins/email-marketing`, {
    headers: { authorization: `Bearer ${key.key}` },
  })
  const { id: plugin_id } = (await plugins.json()) as { id: string }

  const refreshed = await place.tenant.post('/api/plugins/email-marketing/capabilities/refresh')
  t.match(refreshed.json(), {
    added: { triggers: ['email_sent'], conditions: ['customer_subscribed'] },
    capabilities: { health: 'healthy', version: '1.0.0' },
  })

  const request = {
    flow_execution_id: 'flow_123',
    events: [
      { action_type: 'create_customer', payload: { email: 'ada@example.com', name: 'Ada' } },
      {
        action_type: 'send_welcome_email',
        plugin_id,
        payload: { to: 'ada@example.com', name: 'Ada', template: 'welcome' },
      },
    ],
  }
  const first = await place.dispatch(request)
  t.match(first, {
    results: [
      { action_type: 'create_customer', success: true, replayed: false, data: { email: 'ada@example.com' } },
      { action_type: 'send_welcome_email', success: true, replayed: false, data: { to: 'ada@example.com' } },
    ],
    summary: { total: 2, succeeded: 2, failed: 0 },
  })

  const { body } = await place.shop.call('GET', '/api/customers')
  const [customer] = body['data'] as Record<string, unknown>[]
  t.match(customer, {
    customer_id: first.results[0]?.data?.['customer_id'],
    email: 'ada@example.com',
    name: 'Ada',
  })
  const [mail] = await mailbox.waitFor(1)
  t.equal(mail?.subject, 'Welcome, Ada!')
  t.match(mail?.to, [{ address: 'ada@example.com' }])
  t.equal(mail?.messageId, first.results[1]?.data?.['message_id'])

  const [delivery] = await crm.waitFor(1)
  const delivered = new Webhook(secret).verify(
    delivery?.body ?? '',
    delivery?.headers as Record<string, string>,
  )
  t.match(delivered, { event: 'customer.created', tenant_id: place.shop.tenantId, data: customer })
  await eventually('the plugin to see the customer', () =>
    log.some(({ msg, customer: id }) => msg === 'a new customer' && id === customer?.['customer_id'])
      ? true
      : null,
  )

  const again = await place.dispatch(request)
  t.same(
    again.results.map(({ success, replayed }) => ({ success, replayed })),
    [
      { success: true, replayed: true },
      { success: true, replayed: true },
    ],
  )
  t.equal(mailbox.mails.length, 1)
  t.equal(((await place.shop.call('GET', '/api/customers')).body['data'] as unknown[]).length, 1)
})

t.test('the platform does every action of the registry, with every field that it declares', async (t) => {
  const place = await startPlace(t)
  const results = new Map<string, Record<string, unknown>>()
  const made = (action: string): string => idOf(results.get(action) ?? {})
  const run = async (action_type: string, payload: object): Promise<void> => {
    const action = place.actions.find((each) => [each.action_type, ...each.aliases].includes(action_type))
    const fields = Object.keys(action?.input_schema?.properties ?? {})
    t.same(Object.keys(payload).sort(), fields.sort(), `${action_type} is asked with every field`)
    const answer = await place.dispatch({ events: [{ action_type, payload }] })
    t.match(answer, { summary: { succeeded: 1 } }, `${action_type}: ${JSON.stringify(answer.results)}`)
    results.set(action_type, answer.results[0]?.data ?? {})
  }
  const product = {
    name: 'Linen apron',
    price: '39.90',
    description: 'Washed',
    sku: 'APR-1',
    currency: 'EUR',
    stock: 12,
    status: 'active',
    images: ['https://example.com/apron.jpg'],
    tags: ['kitchen'],
    collections: ['linen'],
  }
  const customer = {
    email: 'ada@example.com',
    name: 'Ada',
    phone: '+351912345678',
    accepts_marketing: true,
    tags: ['vip'],
  }
  const lead = await place.shop.call('POST', '/api/leads', { name: 'Miguel' })
  await run('update_lead', {
    id: idOf(lead.body),
    name: 'Miguel',
    email: 'miguel@example.com',
    phone: '+351934567890',
    source: 'website',
    status: 'contacted',
    assigned_to: 'rita',
    last_contacted: '2026-03-07T09:00:00Z',
  })
  await run('create_product', product)
  await run('update_product', { ...product, id: made('create_product'), price: 34.9 })
  await run('create_customer', customer)
  await run('update_customer', { ...customer, id: made('create_customer'), name: 'Ada L.' })
  await run('create_order', {
    customer_id: made('create_customer'),
    items: [{ product_id: made('create_product'), quantity: 2 }],
  })
  await run('update_order_status', {
    id: made('create_order'),
    status: 'paid',
    payment: { method: 'card', reference: 'pay_1' },
    shipment: { carrier: 'DHL' },
    cancelled_by: 'nobody',
    reason: 'none',
  })
  await run('send_email', {
    to: 'ada@example.com',
    subject: 'Hello',
    text: 'Hello',
    html: '<p>Hello</p>',
    body: 'Hello',
    template: 'welcome_email',
    variables: { name: 'Ada' },
  })
  await run('send_sms', { to: '+351912345678', message: 'Hello' })
  const notice = {
    title: 'New customer',
    message: 'Ada',
    channel: 'slack',
    user_id: 7,
    level: 'info',
    data: { a: 1 },
  }
  await run('create_notification', notice)
  await run('send_notification', notice)
  await run('create_task', {
    title: 'Call Ada',
    description: 'Ask how she is',
    due_date: '2026-03-05T10:00:00Z',
    priority: 'high',
    assignee: 'sam',
  })
  await run('assign_task', { id: made('create_task'), assignee: 42 })
  await run('delete_product', { id: made('create_product') })

  const names = place.actions.flatMap(({ action_type, aliases }) => [action_type, ...aliases])
  t.same([...results.keys()].sort(), names.sort(), 'no action is left out')
  t.match(results.get('update_product'), { price: 34.9 })
  t.match(results.get('update_lead'), { status: 'contacted', last_contacted: '2026-03-07T09:00:00Z' })
  t.match(results.get('create_order'), { total: 69.8, status: 'pending' })
  t.match(results.get('assign_task'), { assignee: '42' })
  const kept = (await place.shop.call('GET', '/api/notifications')).body['data'] as { channel: string }[]
  t.same(
    kept.map(({ channel }) => channel),
    ['slack', 'slack', 'sms', 'email'],
  )
})

t.test("what the platform refuses is the action's result, with its own words", async (t) => {
  const place = await startPlace(t)
  await place.dispatch({
    events: [{ action_type: 'create_customer', payload: { email: 'ada@example.com' } }],
  })
  const answer = await place.dispatch({
    events: [
      { action_type: 'create_customer', payload: { email: 'ADA@example.com' } },
      { action_type: 'update_product', payload: { id: 'prod_none', name: 'Apron' } },
      { action_type: 'create_task', payload: { title: 'Call Ada' } },
    ],
  })
  t.match(answer, {
    results: [
      {
        success: false,
        response_status: 409,
        error: { code: 'email_taken', message: /Another customer has this email/ },
      },
      { success: false, response_status: 404, error: { code: 'not_found', message: /no such product/ } },
      { success: true },
    ],
    summary: { total: 3, succeeded: 1, failed: 2 },
  })
  t.notMatch(JSON.stringify(answer), PLATFORM_TOKEN)
})
