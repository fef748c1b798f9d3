import t from 'tap'
import { expectStatus, inBothShops, newestEvent, startContract, vector } from './support.ts'

const place = await startContract(t)
const NAMES: Record<string, string> = { products: 'product_id', notifications: 'notification_id' }

/** The webhook as printed, for this shop: tenants are UUIDs here (docs/adr/0011). */
function webhookFor(tenantId: string): Record<string, unknown> {
  return { ...vector('simplified-architecture.webhook'), tenant_id: tenantId }
}

t.test('the webhook of the platform is taken as printed', (t) =>
  inBothShops(t, place, async (t, shop) => {
    const sent = webhookFor(shop.tenant.id)
    const answer = await shop.tenant.post('/plugins/automation/webhook', sent)
    expectStatus(t, answer, 202)
    t.match(answer.json(), { event: 'customer.created', duplicate: false })
    await shop.settle()
    const event = await newestEvent(shop, 'customer.created')
    t.strictSame(event?.data, sent['payload'])
    t.equal(event?.schema_problems ?? null, null)
  }),
)

t.test('a tenant that is no UUID is refused by name', async (t) => {
  const shop = await place.open()
  const answer = await shop.tenant.post(
    '/plugins/automation/webhook',
    vector('simplified-architecture.webhook'),
  )
  expectStatus(t, answer, 400)
  t.match(answer.json(), { errors: [{ pointer: '/tenant_id' }] })
})

for (const path of ['/api/events/automation', '/api/plugins/events/automation']) {
  t.test(`actions of the platform are dispatched as printed to ${path}`, (t) =>
    inBothShops(t, place, async (t, shop) => {
      const sent = vector('simplified-architecture.dispatch')
      const answer = await shop.tenant.post(path, sent)
      expectStatus(t, answer, 200)
      const [product] = sent['events'] as { payload: object }[]
      t.match(answer.json(), {
        flow_execution_id: 'exec_456',
        results: [
          { action_type: 'create_product', success: true, data: product?.payload },
          { action_type: 'send_notification', success: true, data: { channel: 'slack' } },
        ],
      })
      for (const [table, name] of Object.entries(NAMES)) {
        const rows = await shop.rows(table)
        t.equal(rows.length, 1, table)
        t.type(rows[0]?.[name], 'string', name)
      }
    }),
  )
}

t.test('each action that the document lists is there under its path', async (t) => {
  const shop = await place.open()
  const answer = await shop.tenant.get('/api/plugins/actions?source=platform')
  expectStatus(t, answer, 200)
  const found = answer.json<{ data: { action_type: string; path: string }[] }>().data
  const paths = new Map(found.map(({ action_type, path }) => [action_type, path]))
  for (const [action, path] of Object.entries(vector('simplified-architecture.actions'))) {
    t.equal(paths.get(action), path, action)
  }
})

t.test('the flow as printed is created active, and welcomes the customer of the printed webhook', (t) =>
  inBothShops(t, place, async (t, shop) => {
    const created = await shop.tenant.post('/api/automation/flows', vector('simplified-architecture.flow'))
    expectStatus(t, created, 201)
    const flow = created.json<{ id: string }>()
    t.match(flow, { name: 'Welcome New Customer', status: 'active' })
    expectStatus(t, await shop.tenant.post('/plugins/automation/webhook', webhookFor(shop.tenant.id)), 202)
    await shop.settle()
    t.strictSame(await shop.outcomes(flow.id), ['completed/done'])
    t.match(await shop.sent(), [
      { channel: 'email', recipient: 'john@example.com', subject: 'Welcome John Doe!' },
    ])
    t.match(await shop.rows('tasks'), [{ title: 'Follow up with John Doe' }])
  }),
)
