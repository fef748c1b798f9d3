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

t.test('a name belongs to whom it belonged first, until an admin decides', async (t) => {
  const tenant = service.tenant()
  for (const slug of ['sms', 'crm']) {
    await register(t, tenant, { slug, name: slug })
    await registerActions(t, tenant, slug, [{ action_type: 'ping', title: slug }])
  }
  const meant = async () => registry.resolve(tenant.id, 'ping', null)
  t.match(await meant(), { action: { title: 'sms' } }, 'a newcomer changes nothing')
  t.match(await registry.resolve(tenant.id, 'ping', 'crm'), { action: { title: 'crm', is_default: false } })
  await registerActions(t, tenant, 'sms', [{ action_type: 'ping', title: 'sms again' }])
  t.match(await meant(), { action: { title: 'sms again' } })
  await tenant.post('/api/plugins/sms/pause')
  t.match(await meant(), { problem: 'plugin_inactive' }, 'a pause gives it to nobody else')
  await tenant.post('/api/plugins/sms/resume')

  const choose = (plugin: string, name = 'ping') =>
    tenant.put(`/api/plugins/actions/${name}/owner`, { plugin })
  t.match((await choose('crm')).json(), { plugin: 'crm', action_type: 'ping', is_default: true })
  t.match(await meant(), { action: { title: 'crm' } })
  t.match((await tenant.get('/api/plugins/actions?source=plugin')).json(), {
    data: [
      { plugin: 'crm', is_default: true },
      { plugin: 'sms', is_default: false },
    ],
  })
  t.match((await tenant.get('/api/plugins/sms/actions')).json(), { data: [{ is_default: false }] })
  t.match(await choose('nobody').then((answer) => answer.json<object>()), { code: 'plugin_not_found' })
  t.match((await choose('sms', 'pong')).json(), { status: 404, code: 'action_not_found' })
  const audited = await service.db
    .selectFrom('audit_log')
    .select(['action', 'target_id'])
    .where('tenant_id', '=', tenant.id)
    .where('action', '=', 'action_name.assigned')
    .execute()
  t.strictSame(audited, [{ action: 'action_name.assigned', target_id: 'ping' }])

  t.match((await choose('sms')).json(), { plugin: 'sms' }, 'the last word counts')
  t.match(await meant(), { action: { title: 'sms again' } })
  const again = await tenant.post('/api/plugins/crm/register-actions', {
    actions: [
      { action_type: 'ping', title: 'crm' },
      { action_type: 'pong', title: 'crm' },
    ],
  })
  t.match(again.json(), { actions: [{ is_default: false }, { is_default: true }] })

  await tenant.delete('/api/plugins/sms')
  t.match(await meant(), { action: { title: 'crm' } }, 'when its owner is gone the next one has it')
  await register(t, tenant, { slug: 'sms', name: 'sms' })
  await registerActions(t, tenant, 'sms', [{ action_type: 'ping', title: 'new' }])
  t.match(await meant(), { action: { title: 'crm' } })
})

t.test('who gives an action up has its name no longer', async (t) => {
  const tenant = service.tenant()
  const ping = { action_type: 'ping', title: 'ping' }
  for (const slug of ['one', 'two']) {
    await register(t, tenant, { slug, name: slug })
    await registerActions(t, tenant, slug, [ping])
  }
  await registerActions(t, tenant, 'one', [])
  await registerActions(t, tenant, 'one', [ping])
  t.match(await registry.resolve(tenant.id, 'ping', null), { action: { plugin: 'two' } })
})

t.test('no plugin may be called platform', async (t) => {
  const response = await service
    .tenant()
    .post('/api/plugins', { name: 'Platform', webhook_url: 'http://127.0.0.1:9/' })
  t.equal(response.statusCode, 400)
})
