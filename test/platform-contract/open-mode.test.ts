import t, { type Test } from 'tap'
import { freePort } from '#test/support/free-port.ts'
import { startExample, urlOf } from '#test/examples/processes.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { eventually } from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { serve } from '#test/support/serve.ts'
import { vector } from './support.ts'

type Json = Record<string, unknown>

/** `npm start` and the reference platform, as somebody starts them who has read no more than the documents. */
async function startFresh(t: Test) {
  const database = await createTestDatabase(t)
  const platformUrl = `http://127.0.0.1:${await freePort()}`
  const server = await serve(t, {
    DATABASE_URL: database.url,
    PLATFORM_URL: platformUrl,
    PLATFORM_TOKEN: 'platform-dev-token',
  })
  const url = await server.url()
  await urlOf(startExample(t, 'platform', { PORT: new URL(platformUrl).port, AUTOMATION_URL: url }))
  return { service: callerOf(url), platform: callerOf(platformUrl) }
}

/** Sends what is printed and nothing else: no key, no tenant. Asserts the status. */
function callerOf(url: string) {
  return async (t: Test, status: number, method: string, path: string, body?: object): Promise<Json> => {
    const response = await fetch(url + path, {
      method,
      ...(body !== undefined && {
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
    })
    const text = await response.text()
    t.equal(response.status, status, `${method} ${path}: ${text.slice(0, 500)}`)
    return text === '' ? {} : (JSON.parse(text) as Json)
  }
}

const PLUGINS = '/api/plugins'
const FLOWS = '/api/automation/flows'
const WEBHOOK = '/plugins/automation/webhook'

t.test('each call of the five documents is answered as it says, without a key', async (t) => {
  const { service, platform } = await startFresh(t)
  const receiver = await startReceiver(t)
  const plugin = (slug: string, events: string[] = []): object => ({
    name: slug,
    slug,
    webhook_url: `${receiver.url}/${slug}`,
    events,
  })

  await t.test('plugin system', async (t) => {
    const registered = vector('plugin-system.register')
    t.match(await service(t, 201, 'POST', PLUGINS, registered), registered)
    t.match(await service(t, 200, 'GET', PLUGINS), { data: [{ slug: 'my-analytics' }] })
    t.match(await service(t, 200, 'GET', `${PLUGINS}/my-analytics`), registered)
    const updated = vector('plugin-system.update')
    t.match(await service(t, 200, 'PUT', `${PLUGINS}/my-analytics`, updated), updated)
    t.match(await service(t, 200, 'POST', `${PLUGINS}/my-analytics/test`), { delivered: Boolean })
    await service(t, 201, 'POST', PLUGINS, vector('plugin-system.test-plugin'))
    await service(t, 200, 'POST', `${PLUGINS}/test-plugin/test`)
    await service(t, 201, 'POST', PLUGINS, plugin('reachable', ['product.created']))
    const product = vector('plugin-system.product')
    t.match(await platform(t, 201, 'POST', '/api/products', product), product)
    const [webhook] = await receiver.waitFor(1)
    t.match(JSON.parse(webhook?.body ?? ''), { event: 'product.created', data: product })
    await eventually('the delivery in the log', async () => {
      const { data } = await service(t, 200, 'GET', `${PLUGINS}/events?limit=50`)
      return (data as Json[]).some((row) => row['plugin'] === 'reachable' && row['status'] === 'sent')
    })
    await service(t, 200, 'GET', `${PLUGINS}/events`)
    t.match(await service(t, 200, 'POST', `${PLUGINS}/events`), { processed: Number })
    for (const [method, path] of [
      ['GET', '/your-plugin-slug'],
      ['POST', '/your-plugin-slug/test'],
    ] as const) {
      t.match(await service(t, 404, method, PLUGINS + path), { code: 'plugin_not_found' })
    }
    await service(t, 204, 'DELETE', `${PLUGINS}/my-analytics`)
  })

  await t.test('overview', async (t) => {
    const actions = vector('overview.register-actions')
    const path = `${PLUGINS}/email-automation/register-actions`
    t.match(await service(t, 404, 'POST', path, actions), { code: 'plugin_not_found' })
    await service(t, 201, 'POST', PLUGINS, plugin('email-automation'))
    t.match(await service(t, 200, 'POST', path, actions), { added: ['send_welcome_email'] })
    const dispatched = await service(
      t,
      200,
      'POST',
      `${PLUGINS}/events/automation`,
      vector('overview.dispatch'),
    )
    // The plugin's id is one of somebody's else.
    t.match(dispatched['results'], [{ success: true }, { error: { code: 'unknown_plugin' } }])
    t.match(await service(t, 200, 'GET', `${PLUGINS}/actions?q=send_welcome`), {
      data: [{ action_type: 'send_welcome_email', plugin: 'email-automation' }],
    })
  })

  await t.test('simplified architecture', async (t) => {
    const flow = await service(t, 201, 'POST', FLOWS, vector('simplified-architecture.flow'))
    t.match(flow, { status: 'active' })
    const sent = vector('simplified-architecture.webhook')
    t.equal(sent['tenant_id'], 'tenant_123')
    t.match(await service(t, 202, 'POST', WEBHOOK, sent), { event: 'customer.created' })
    t.match(
      await service(t, 200, 'POST', '/api/events/automation', vector('simplified-architecture.dispatch')),
      {
        summary: { total: 2, succeeded: 2 },
      },
    )
    await eventually('the flow to have run', async () => {
      const { data } = await service(t, 200, 'GET', `/api/automation/executions?flow=${String(flow['id'])}`)
      return (data as Json[]).some((row) => row['status'] === 'completed')
    })
    t.match(await platform(t, 200, 'GET', '/api/tasks'), { data: [{ title: 'Follow up with John Doe' }] })
  })

  await t.test('flow design', async (t) => {
    await service(t, 201, 'POST', PLUGINS, plugin('email-marketing'))
    await service(t, 200, 'PUT', `${PLUGINS}/email-marketing/manifest`, vector('flow-design.manifest'))
    t.match(await service(t, 200, 'GET', '/api/capabilities?plugin=email-marketing'), {
      triggers: [{ id: 'customer.created' }],
      actions: [{ action_type: 'send_welcome_email' }],
      conditions: [{ id: 'customer_location' }],
    })
    for (const [slug, action_type] of [
      ['crm-plugin', 'create_contact'],
      ['logging-plugin', 'log_error'],
    ] as const) {
      await service(t, 201, 'POST', PLUGINS, plugin(slug))
      await service(t, 200, 'POST', `${PLUGINS}/${slug}/register-actions`, {
        actions: [{ action_type, title: action_type }],
      })
    }
    t.match(await service(t, 201, 'POST', FLOWS, vector('flow-design.flow')), { status: 'active' })
    t.match(await service(t, 202, 'POST', WEBHOOK, vector('flow-design.plugin-event')), {
      event: 'email.sent',
    })
  })

  await t.test('CRM automations', async (t) => {
    const { id } = await service(t, 201, 'POST', '/api/automations', vector('crm-automations.create'))
    const path = `/api/automations/${String(id)}`
    const lead = vector('crm-automations.test')
    t.match(await service(t, 200, 'POST', `${path}/test`, lead), {
      end: { status: 'completed', reason: 'done' },
      record: { source: 'platform' },
      message: { channel: 'email', to: 'ana@example.com' },
    })
    await service(t, 202, 'POST', `${path}/trigger`, lead)
    await eventually('the lead to have been contacted', async () => {
      const { last_contacted } = await platform(t, 200, 'GET', '/api/leads/123')
      return last_contacted !== null
    })
    t.match(await service(t, 200, 'GET', path), { times_triggered: 1, last_triggered: String })
    t.match(await service(t, 200, 'POST', `${path}/toggle`), { enabled: false })
    t.match(await service(t, 200, 'POST', '/api/automations/defaults'), {
      installed: { length: 4 },
    })
    t.match(await service(t, 200, 'POST', '/api/automations/run'), { complete: Boolean })
  })
})
