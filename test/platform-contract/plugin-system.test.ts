import t from 'tap'
import { Webhook } from 'standardwebhooks'
import { CATALOGUE } from '#modules/event/catalogue/index.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { expectStatus, inBothShops, newestEvent, startContract, vector } from './support.ts'

const place = await startContract(t)

t.test('a plugin is registered, read, changed and deleted as printed', (t) =>
  inBothShops(t, place, async (t, { tenant }) => {
    const sent = vector('plugin-system.register')
    const registered = await tenant.post('/api/plugins', sent)
    expectStatus(t, registered, 201)
    const { config, ...shown } = sent
    t.match(registered.json(), { ...shown, status: 'active', secret: /^whsec_/ })
    t.match(registered.json(), {
      config: { sync_frequency: (config as { sync_frequency: string }).sync_frequency },
    })

    const list = await tenant.get('/api/plugins')
    expectStatus(t, list, 200)
    t.match(list.json(), { data: [{ slug: 'my-analytics' }] })
    expectStatus(t, await tenant.get('/api/plugins/my-analytics'), 200)

    const change = vector('plugin-system.update')
    const changed = await tenant.put('/api/plugins/my-analytics', change)
    expectStatus(t, changed, 200)
    t.match(changed.json(), { slug: 'my-analytics', ...change })

    expectStatus(t, await tenant.delete('/api/plugins/my-analytics'), 204)
    expectStatus(t, await tenant.get('/api/plugins/my-analytics'), 404)
  }),
)

t.test('the test plugin is registered, tested, sent events and listed as printed', (t) =>
  inBothShops(t, place, async (t, shop, strict) => {
    const receiver = await startReceiver(t)
    const registered = await shop.tenant.post('/api/plugins', vector('plugin-system.test-plugin'))
    expectStatus(t, registered, 201)
    const { secret } = registered.json<{ secret: string }>()
    const unreachable = await shop.tenant.post('/api/plugins/test-plugin/test')
    expectStatus(t, unreachable, 200)
    t.match(unreachable.json(), { delivered: false, error_class: 'dns_error' })

    expectStatus(t, await shop.tenant.patch('/api/plugins/test-plugin', { webhook_url: receiver.url }), 200)
    const tested = await shop.tenant.post('/api/plugins/test-plugin/test')
    expectStatus(t, tested, 200)
    t.match(tested.json(), { delivered: true, response_status: 204 })

    const product = vector('plugin-system.product')
    const created = await shop.ask('POST', '/api/products', product)
    t.match(created, product)
    const processed = await shop.tenant.post('/api/plugins/events')
    expectStatus(t, processed, 200)
    const [, delivery] = await receiver.waitFor(2)
    const body = new Webhook(secret).verify(
      delivery?.body ?? '',
      delivery?.headers as Record<string, string>,
    ) as { event: string; tenant_id: string; timestamp: string; data: Record<string, unknown> }
    t.strictSame(Object.keys(body), ['event', 'tenant_id', 'timestamp', 'data'])
    t.match(body, { event: 'product.created', tenant_id: shop.tenant.id, data: product })
    t.type(body.data['product_id'], 'string')
    t.equal((await newestEvent(shop, 'product.created'))?.schema_problems ?? null, null, String(strict))

    const log = await shop.tenant.get('/api/plugins/events?limit=50')
    expectStatus(t, log, 200)
    const rows = log.json<{ data: { event: string; status: string }[] }>().data
    t.match(
      rows.filter(({ event }) => event === 'product.created'),
      [{ event: 'product.created', plugin: 'test-plugin', status: 'sent' }],
    )
    expectStatus(t, await shop.tenant.get('/api/plugins/events?limit=20'), 200)
    for (const status of ['pending', 'sent', 'failed', 'retry']) {
      expectStatus(t, await shop.tenant.get(`/api/plugins/events?status=${status}`), 200)
    }
  }),
)

t.test('a product.created as printed matches its schema and is delivered to the byte', (t) =>
  inBothShops(t, place, async (t, shop) => {
    const receiver = await startReceiver(t)
    const registration = { ...vector('plugin-system.test-plugin'), webhook_url: receiver.url }
    expectStatus(t, await shop.tenant.post('/api/plugins', registration), 201)
    const event = { ...vector('plugin-system.delivery'), tenant_id: shop.tenant.id }
    const accepted = await shop.tenant.post('/api/events', event)
    expectStatus(t, accepted, 202)
    t.equal(accepted.json<{ schema_problems?: unknown }>().schema_problems ?? null, null)
    await shop.tenant.post('/api/plugins/events')
    const [delivery] = await receiver.waitFor(1)
    t.equal(
      delivery?.body,
      JSON.stringify({ ...vector('plugin-system.delivery'), tenant_id: shop.tenant.id }),
    )
  }),
)

t.test('every event that the document names is in the catalogue', async (t) => {
  const named = {
    product: ['created', 'updated', 'deleted'],
    order: ['created', 'paid', 'shipped', 'delivered', 'cancelled'],
    customer: ['created', 'updated'],
    inventory: ['low', 'out', 'updated'],
  }
  for (const [subject, happenings] of Object.entries(named)) {
    for (const happening of happenings) t.ok(CATALOGUE.has(`${subject}.${happening}`), happening)
  }
})
