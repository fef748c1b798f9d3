import t from 'tap'
import { startApp } from '#test/support/app.ts'
import { REGISTER_ACTIONS } from '#test/support/printed.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { register } from '#test/modules/plugin/support.ts'

t.test('a plugin registers and a mixed dispatch names it by its id, as overview.md prints it', async (t) => {
  const platform = await startReceiver(t)
  const plugin = await startReceiver(t)
  const service = await startApp(t, { env: { PLATFORM_URL: platform.url } })
  const shop = service.tenant()
  const { id } = await register(t, shop, {
    name: 'Email Automation',
    slug: 'email-automation',
    webhook_url: `${plugin.url}/hook`,
  })
  const registered = await shop.post('/api/plugins/email-automation/register-actions', REGISTER_ACTIONS)
  t.match(registered.json(), { plugin: 'email-automation', added: ['send_welcome_email'] })
  const payload = { user_id: '123', email: 'new@customer.com' }
  const answer = await shop.post('/api/plugins/events/automation', {
    flow_execution_id: 'flow_123',
    events: [
      { action_type: 'create_customer', payload: { email: 'new@customer.com' } },
      { action_type: 'send_welcome_email', plugin_id: id, payload },
    ],
  })
  t.match(answer.json(), {
    flow_execution_id: 'flow_123',
    results: [
      { action_type: 'create_customer', success: true },
      { action_type: 'send_welcome_email', success: true },
    ],
  })
  t.match(platform.received, [
    { method: 'POST', path: '/api/customers', body: '{"email":"new@customer.com"}' },
  ])
  t.match(plugin.received, [{ method: 'POST', path: '/actions/send-welcome-email' }])
  t.match(JSON.parse(String(plugin.received[0]?.body)), { action_type: 'send_welcome_email', payload })
})
