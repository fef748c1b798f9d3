import t from 'tap'
import { startReceiver } from '#test/support/receiver.ts'
import { expectStatus, inBothShops, startContract, vector } from './support.ts'

const place = await startContract(t)

t.test('actions are registered, found and dispatched as printed', (t) =>
  inBothShops(t, place, async (t, shop) => {
    const receiver = await startReceiver(t)
    const registered = await shop.tenant.post('/api/plugins', {
      name: 'Email automation',
      slug: 'email-automation',
      webhook_url: `${receiver.url}/webhooks`,
      base_url: receiver.url,
      events: [],
    })
    expectStatus(t, registered, 201)
    const actions = vector('overview.register-actions')
    const answer = await shop.tenant.post('/api/plugins/email-automation/register-actions', actions)
    expectStatus(t, answer, 200)
    t.match(answer.json(), { added: ['send_welcome_email'], actions: actions['actions'] })

    const found = await shop.tenant.get('/api/plugins/actions?source=plugin')
    expectStatus(t, found, 200)
    t.match(found.json(), { data: [{ action_type: 'send_welcome_email' }] })

    receiver.answer((_received, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"email_id":"m_1"}')
    })
    const printed = JSON.stringify(vector('overview.dispatch'))
    const { id } = registered.json<{ id: string }>()
    const request = printed.replace('87312788-df51-4002-8eca-9cfc3e3f7d8e', id)
    const dispatched = await shop.tenant.post('/api/plugins/events/automation', request)
    expectStatus(t, dispatched, 200)
    t.match(dispatched.json(), {
      flow_execution_id: 'flow_123',
      results: [
        { action_type: 'create_customer', success: true, data: { email: 'new@customer.com' } },
        { action_type: 'send_welcome_email', success: true, data: { email_id: 'm_1' } },
      ],
      summary: { total: 2, succeeded: 2, failed: 0 },
    })
    const [call] = await receiver.waitFor(1)
    t.equal(call?.path, '/actions/send-welcome-email')
    t.match(JSON.parse(call?.body ?? ''), { payload: { user_id: '123', email: 'new@customer.com' } })
  }),
)
