import t from 'tap'
import { type Receiver, startReceiver } from '#test/support/receiver.ts'
import type { Test } from 'tap'
import type { PlatformAutomation } from '#test/modules/flow-template/support.ts'
import { expectStatus, inBothShops, pluginClient, startContract, vector } from './support.ts'

const place = await startContract(t)

function answerJson(receiver: Receiver, body: unknown): void {
  receiver.answer((_received, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
}

async function register(
  t: Test,
  shop: PlatformAutomation,
  slug: string,
  receiver: Receiver,
  actions: object[] = [],
): Promise<void> {
  const plugin = { name: slug, slug, webhook_url: receiver.url, events: [] }
  expectStatus(t, await shop.tenant.post('/api/plugins', plugin), 201)
  if (actions.length === 0) return
  const answer = await shop.tenant.post(`/api/plugins/${slug}/register-actions`, { actions })
  expectStatus(t, answer, 200)
}

/** A manifest with one action that takes and gives anything. */
const action = (action_type: string): object => ({
  action_type,
  title: action_type,
  description: action_type,
  endpoint: `/${action_type}`,
})

t.test('the manifest as printed is taken, pushed and fetched', (t) =>
  inBothShops(t, place, async (t, shop) => {
    const receiver = await startReceiver(t)
    await register(t, shop, 'email-marketing', receiver)
    const pushed = await shop.tenant.put(
      '/api/plugins/email-marketing/manifest',
      vector('flow-design.manifest'),
    )
    expectStatus(t, pushed, 200)
    const offered = await shop.tenant.get('/api/capabilities?plugin=email-marketing')
    expectStatus(t, offered, 200)
    t.match(offered.json(), {
      triggers: [{ id: 'customer.created', event_types: ['customer.created'] }],
      actions: [{ action_type: 'send_welcome_email', endpoint: '/api/actions/send-welcome' }],
      conditions: [{ id: 'customer_location', operators: ['equals', 'contains', 'in'] }],
    })

    const { capabilities } = vector('flow-design.manifest')
    const health = { health: 'healthy', last_updated: '2025-08-26T12:00:00Z' }
    answerJson(receiver, { ...(capabilities as object), ...health })
    const refreshed = await shop.tenant.post('/api/plugins/email-marketing/capabilities/refresh')
    expectStatus(t, refreshed, 200)
    t.match(refreshed.json(), { capabilities: { health: 'healthy' } })
    t.equal(receiver.received.at(-1)?.path, '/api/capabilities')

    const client = await pluginClient(t, place, shop, 'email-marketing')
    const posed = await client.post('/api/events', { event: 'customer.created', data: { customer_id: 1 } })
    expectStatus(t, posed, 403)
  }),
)

t.test('the flow as printed is created active and runs', (t) =>
  inBothShops(t, place, async (t, shop) => {
    const receiver = await startReceiver(t)
    await register(t, shop, 'email-marketing', receiver)
    const manifest = vector('flow-design.manifest')
    expectStatus(t, await shop.tenant.put('/api/plugins/email-marketing/manifest', manifest), 200)
    await register(t, shop, 'crm-plugin', receiver, [action('create_contact')])
    await register(t, shop, 'logging-plugin', receiver, [action('log_error')])
    answerJson(receiver, { email_id: 'email_1', status: 'queued' })

    const created = await shop.tenant.post('/api/automation/flows', vector('flow-design.flow'))
    expectStatus(t, created, 201)
    const { id } = created.json<{ id: string }>()
    t.match(created.json(), { name: 'Welcome New Customers', status: 'active' })
    const customer = { customer_id: 'cus_1', email: 'ada@example.com', customer_name: 'Ada' }
    for (const country of ['US', 'PT']) {
      await shop.send('customer.created', { ...customer, location: { country } })
    }
    await shop.settle()
    t.strictSame(await shop.outcomes(id), ['completed/done', 'completed/filtered'])
    const [mail, contact, ...more] = receiver.received
    t.strictSame(more, [])
    t.equal(mail?.path, '/api/actions/send-welcome')
    t.match(JSON.parse(mail?.body ?? ''), {
      payload: { template: 'welcome_template', variables: { customer_name: 'Ada' } },
      context: { trigger: { event: 'customer.created', data: { email: 'ada@example.com' } } },
    })
    t.match(JSON.parse(contact?.body ?? ''), { payload: { source: 'website_signup' } })
  }),
)

t.test('a plugin tells of what it did with its own key, and another plugin is asked to act', (t) =>
  inBothShops(t, place, async (t, shop, strict) => {
    const receiver = await startReceiver(t)
    await register(t, shop, 'email-marketing', receiver)
    await register(t, shop, 'crm', receiver, [
      { ...action('update_contact'), endpoint: '/api/actions/update-contact' },
    ])
    answerJson(receiver, {})
    if (strict) {
      const trigger = { id: 'sent', name: 'Sent', description: 'Sent', event_types: ['email.sent'] }
      const manifest = {
        name: 'Email',
        slug: 'email-marketing',
        version: '1.0.0',
        capabilities: { triggers: [trigger] },
      }
      expectStatus(t, await shop.tenant.put('/api/plugins/email-marketing/manifest', manifest), 200)
    }
    const payload = {
      contact_id: '{{trigger.customer_id}}',
      last_email_sent: '{{trigger.email_id}}',
      updated_by: 'automation_flow_789',
    }
    const created = await shop.tenant.post('/api/automation/flows', {
      name: 'Tell the CRM',
      trigger_event: 'email.sent',
      flow_definition: {
        steps: [
          {
            id: 'tell',
            type: 'action',
            plugin_id: 'crm',
            action_type: 'update_contact',
            payload_template: payload,
          },
        ],
      },
    })
    expectStatus(t, created, 201)
    const client = await pluginClient(t, place, shop, 'email-marketing')
    const posted = await client.post('/plugins/automation/webhook', vector('flow-design.plugin-event'))
    expectStatus(t, posted, 202)
    await shop.settle()
    t.strictSame(await shop.outcomes(created.json<{ id: string }>().id), ['completed/done'])
    const [call] = await receiver.waitFor(1)
    t.match(call, { method: 'POST', path: '/api/actions/update-contact' })
    const body = JSON.parse(call?.body ?? '') as { payload: unknown }
    t.strictSame(body.payload, vector('flow-design.plugin-action'))
    t.match(
      body,
      vector('flow-design.plugin-action'),
      'as the document prints it, with the envelope beside it',
    )
  }),
)
