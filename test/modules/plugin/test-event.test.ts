import t from 'tap'
import { verifyWebhook, parseSecret } from '#lib/secrets/signature.ts'
import { startApp } from '#test/support/app.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { clientOf, register } from './support.ts'

const service = await startApp(t)

t.test(
  'a test event reaches the plugin signed by every live secret, also while it is paused or disabled',
  async (t) => {
    const tenant = service.tenant()
    const receiver = await startReceiver(t)
    const { secret } = await register(t, tenant, {
      slug: 'mine',
      webhook_url: `${receiver.url}/hook`,
      headers: { 'x-shop': 's' },
    })
    const rotated = (await tenant.post('/api/plugins/mine/rotate-secret')).json<{ secret: string }>()
    for (const status of ['active', 'paused', 'disabled']) {
      await tenant.patch('/api/plugins/mine', { status })
      const response = await tenant.post('/api/plugins/mine/test')
      t.equal(response.statusCode, 200, response.body)
      t.match(response.json(), { delivered: true, response_status: 204, duration_ms: Number })
    }
    t.equal(receiver.received.length, 3)
    for (const { path, headers, body } of receiver.received) {
      t.equal(path, '/hook')
      t.equal(headers['x-shop'], 's')
      t.match(JSON.parse(body), { event: 'plugin.test', tenant_id: tenant.id })
      for (const key of [secret, rotated.secret]) {
        const options = { toleranceSeconds: 60, nowSeconds: Date.now() / 1000 }
        t.equal(verifyWebhook(headers, body, [parseSecret(key)], options), 'valid')
      }
    }
  },
)

t.test('a test that fails says how, and leaves the health alone', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  receiver.answer(500)
  await register(t, tenant, { slug: 'mine', webhook_url: receiver.url })
  const failed = await tenant.post('/api/plugins/mine/test', {})
  t.match(failed.json(), { delivered: false, response_status: 500, error_class: 'http_5xx' })
  await receiver.close()
  const refused = await tenant.post('/api/plugins/mine/test')
  t.match(refused.json(), { delivered: false, response_status: null, error_class: 'connect_refused' })
  t.match((await tenant.get('/api/plugins/mine')).json(), { health: { state: 'unknown' }, revision: 1 })
})

t.test('editors send tests, and the plugin itself', async (t) => {
  const tenant = service.tenant()
  const { id } = await register(t, tenant, { slug: 'mine' })
  const { id: otherId } = await register(t, tenant, { slug: 'other' })
  for (const [holder, status] of [
    ['viewer', 403],
    [{ pluginId: otherId }, 403],
    [{ pluginId: id }, 200],
    ['editor', 200],
  ] as const) {
    const client = await clientOf(service, tenant, holder)
    t.equal((await client.post('/api/plugins/mine/test')).statusCode, status)
  }
})
