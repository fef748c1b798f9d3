import t from 'tap'
import { startApp } from '#test/support/app.ts'
import { register } from '#test/modules/plugin/support.ts'
import { registerActions, WELCOME } from './support.ts'

const service = await startApp(t)
const { registry } = service.app

t.test("the platform's actions go by their names and aliases, with or without saying so", async (t) => {
  const tenant = service.tenant()
  for (const ref of [null, 'platform']) {
    t.match(await registry.resolve(tenant.id, 'create_customer', ref), {
      action: { action_type: 'create_customer', source: 'platform', path: '/api/customers' },
    })
    t.match(await registry.resolve(tenant.id, 'send_notification', ref), {
      action: { action_type: 'create_notification' },
    })
  }
  t.match(await registry.resolve(tenant.id, 'unknown', 'platform'), { problem: 'unknown_action' })
  t.match(await registry.resolve(tenant.id, 'unknown', null), { problem: 'unknown_action' })
})

t.test('a plugin is named by its id or slug, or not at all where it alone has the action', async (t) => {
  const tenant = service.tenant()
  const { id } = await register(t, tenant, { slug: 'email', name: 'Email' })
  await registerActions(t, tenant, 'email', [WELCOME])
  for (const ref of [null, id, id.toUpperCase(), 'email']) {
    t.match(await registry.resolve(tenant.id, 'send_welcome_email', ref), {
      action: { plugin_id: id, endpoint: WELCOME.endpoint, method: 'POST' },
    })
  }
  t.match(await registry.resolve(tenant.id, 'send_welcome_email', 'platform'), { problem: 'unknown_action' })
  t.match(await registry.resolve(tenant.id, 'send_welcome_email', 'crm'), { problem: 'unknown_plugin' })
  t.match(await registry.resolve(tenant.id, 'send_sms', 'email'), {
    problem: 'unknown_action',
    message: /platform's/,
  })
  t.match(await registry.resolve(service.tenant().id, 'send_welcome_email', id), {
    problem: 'unknown_plugin',
  })
})

t.test('where several plugins have it, the answer lists them', async (t) => {
  const tenant = service.tenant()
  for (const slug of ['sms', 'crm']) {
    await register(t, tenant, { slug, name: slug })
    await registerActions(t, tenant, slug, [{ action_type: 'ping', title: slug }])
  }
  t.match(await registry.resolve(tenant.id, 'ping', null), {
    problem: 'ambiguous_action',
    candidates: ['crm', 'sms'],
  })
  t.match(await registry.resolve(tenant.id, 'ping', 'sms'), { action: { title: 'sms' } })
  await tenant.post('/api/plugins/sms/pause')
  t.match(await registry.resolve(tenant.id, 'ping', 'sms'), { problem: 'plugin_inactive' })
  t.match(
    await registry.resolve(tenant.id, 'ping', null),
    { problem: 'ambiguous_action' },
    'a pause decides nothing',
  )
  await tenant.delete('/api/plugins/crm')
  t.match(await registry.resolve(tenant.id, 'ping', null), { problem: 'plugin_inactive' })
  await tenant.post('/api/plugins/sms/resume')
  t.match(await registry.resolve(tenant.id, 'ping', null), { action: { title: 'sms' } })
})

t.test('no plugin may be called platform', async (t) => {
  const response = await service
    .tenant()
    .post('/api/plugins', { name: 'Platform', webhook_url: 'http://127.0.0.1:9/' })
  t.equal(response.statusCode, 400)
})
