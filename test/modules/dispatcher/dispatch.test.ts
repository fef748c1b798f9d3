import t from 'tap'
import { startApp } from '../../support/app.ts'
import { startReceiver } from '../../support/receiver.ts'
import { registerPlugin } from './support.ts'

t.test('a mixed dispatch answers one result per action, in order', async (t) => {
  const platform = await startReceiver(t)
  const plugin = await startReceiver(t)
  const { tenant } = await startApp(t, { env: { PLATFORM_URL: platform.url, PLATFORM_TOKEN: 'platform-token' } })
  const shop = tenant()
  const id = await registerPlugin(t, shop, plugin.url, 'email-marketing')
  platform.answer((_received, response) =>
    response.writeHead(201, { 'content-type': 'application/json' }).end('{"id":"c_1"}'),
  )
  plugin.answer((_received, response) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"message_id":"m_1"}'),
  )
  const answer = await shop.post('/api/plugins/events/automation', {
    flow_execution_id: 'flow_123',
    events: [
      { action_type: 'create_customer', payload: { email: 'ada@example.com', name: 'Ada' } },
      { action_type: 'send_welcome_email', plugin_id: id, payload: { to: 'ada@example.com', template: 'welcome' } },
    ],
  })
  t.equal(answer.statusCode, 200, answer.body)
  t.match(answer.json(), {
    flow_execution_id: 'flow_123',
    results: [
      { action_type: 'create_customer', success: true, data: { id: 'c_1' }, response_status: 201, replayed: false },
      { action_type: 'send_welcome_email', success: true, data: { message_id: 'm_1' }, attempts: 1 },
    ],
    summary: { total: 2, succeeded: 2, failed: 0 },
  })
  t.match(platform.received, [{ method: 'POST', headers: { authorization: 'Bearer platform-token' } }])
  t.match(plugin.received[0]?.headers, { 'idempotency-key': 'flow_123:#1', 'webhook-signature': /^v1,/ })

  const again = await shop.post('/api/plugins/events/automation', {
    flow_execution_id: 'flow_123',
    events: [
      { action_type: 'create_customer', payload: { email: 'ada@example.com', name: 'Ada' } },
      { action_type: 'send_welcome_email', plugin_id: id, payload: { to: 'ada@example.com', template: 'welcome' } },
    ],
  })
  t.match(again.json(), { results: [{ replayed: true, data: { id: 'c_1' } }, { replayed: true }] })
  t.equal(platform.received.length + plugin.received.length, 2, 'nothing was done twice')
})
