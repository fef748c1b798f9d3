import t from 'tap'
import { startApp } from '#test/support/app.ts'
import { FLOW, PLUGIN_JSON, SIMPLE_FLOW } from '#test/support/printed.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { bodyOf, created, runnerOf } from '../support.ts'

const platform = await startReceiver(t)
const service = await startApp(t, { env: { PLATFORM_URL: platform.url } })
const run = runnerOf(service)

t.test('the printed flow runs as printed, with the printed plugin', async (t) => {
  const shop = service.tenant()
  const email = await startReceiver(t)
  const others = await startReceiver(t)
  const send = (data: object) => shop.post('/api/events', { event: 'customer.created', data })
  for (const [slug, { url }] of [
    ['email-marketing', email],
    ['crm-plugin', others],
    ['logging-plugin', others],
  ] as const) {
    bodyOf(await shop.post('/api/plugins', { slug, name: slug, webhook_url: `${url}/hook` }), 201)
  }
  bodyOf(await shop.put('/api/plugins/email-marketing/manifest', PLUGIN_JSON))
  for (const [slug, actionType] of [
    ['crm-plugin', 'create_contact'],
    ['logging-plugin', 'log_error'],
  ]) {
    const actions = [{ action_type: actionType, title: actionType, endpoint: `/${actionType}` }]
    bodyOf(await shop.post(`/api/plugins/${slug}/register-actions`, { actions }))
  }

  const flow = await created(shop, FLOW)
  t.match(flow, { status: 'active', published_version: 1, definition: FLOW })
  t.match(
    flow.problems.filter(({ code }) => code === 'field_from_trigger'),
    [{ severity: 'warning', step_id: 'action_1', pointer: '/steps/1/config' }],
  )
  const customer = { customer_id: 'cust_123', email: 'john@example.com', name: 'John Doe' }
  const known = { ...customer, customer_name: 'John' }
  bodyOf(await send({ ...known, location: { country: 'US' } }), 202)
  bodyOf(await send({ ...known, location: { country: 'PT' } }), 202)
  await run(shop)
  t.match(email.received, [{ method: 'POST', path: '/api/actions/send-welcome' }])
  t.match(JSON.parse(String(email.received[0]?.body)), {
    action_type: 'send_welcome_email',
    payload: {
      email: 'john@example.com',
      template: 'welcome_template',
      variables: { customer_name: 'John' },
    },
  })
  t.strictSame(
    others.received.map(({ path, body }) => [path, (JSON.parse(body) as { payload: object }).payload]),
    [['/create_contact', { source: 'website_signup' }]],
  )

  email.answer(500)
  bodyOf(await send({ ...customer, location: { country: 'US' } }), 202)
  await run(shop)
  t.equal(others.received[1]?.path, '/log_error', 'without the name that the flow reads')
})

t.test('the printed simple flow runs as printed', async (t) => {
  const shop = service.tenant()
  const flow = await created(shop, SIMPLE_FLOW)
  t.match(flow, { status: 'active', problems: [], definition: SIMPLE_FLOW })
  const data = { customer_id: 'cust_123', email: 'john@example.com', name: 'John Doe' }
  bodyOf(
    await shop.post('/plugins/automation/webhook', {
      event_type: 'customer.created',
      payload: data,
      tenant_id: shop.id,
    }),
    202,
  )
  await run(shop)
  t.match(
    platform.received.map(({ method, path, body }) => [method, path, JSON.parse(body) as unknown]),
    [
      [
        'POST',
        '/api/notifications/email',
        { to: 'john@example.com', subject: 'Welcome John Doe!', template: 'welcome_email' },
      ],
      ['POST', '/api/tasks', { title: 'Follow up with John Doe', due_date: /^\d{4}-/ }],
    ],
  )
})
