import t from 'tap'
import { clientFor, startApp, type Tenant } from '#test/support/app.ts'
import { pluginKey, subscribe } from '#test/modules/event/support.ts'
import { bodyOf, created, FLOWS, runnerOf } from './support.ts'

const service = await startApp(t)
const run = runnerOf(service)

const flowOn = (type: string, plugin_id?: string) => ({
  name: `On ${type} of ${plugin_id ?? 'nobody named'}`,
  status: 'active',
  trigger: { type: 'event', event_types: [type], ...(plugin_id !== undefined && { plugin_id }) },
  steps: [{ id: 'note', type: 'set', variables: { noted: true } }],
})

async function authorIn(shop: Tenant, slug: string): Promise<{ id: string; client: Tenant }> {
  await shop.patch('/api/tenant', { strict_events: false })
  const plugin = await subscribe(service, shop.id, [], slug)
  return { id: plugin.id, client: clientFor(service.app, shop.id, await pluginKey(service, shop.id, plugin)) }
}

async function send(client: Tenant, event_type: string): Promise<number> {
  return (await client.post('/plugins/automation/webhook', { event_type, payload: {} })).statusCode
}

async function started(shop: Tenant): Promise<string[]> {
  await run(shop)
  const { data } = (await shop.get('/api/automation/executions')).json<{ data: { flow_id: string }[] }>()
  return data.map(({ flow_id }) => flow_id)
}

t.test(
  'a trigger without plugin_id takes a plugin’s events where they can come from nobody else',
  async (t) => {
    const shop = service.tenant()
    const mail = await authorIn(shop, 'mail')
    const flow = await created(shop, flowOn('email.sent'))
    t.equal(await send(mail.client, 'email.sent'), 202, 'it claims the segment')
    t.strictSame(await started(shop), [flow.id])
    t.equal(await send(shop, 'email.sent'), 202)
    t.strictSame(await started(shop), [flow.id, flow.id], 'and those of the shop')
  },
)

t.test('but not what was published below a segment that is the plugin’s no longer', async (t) => {
  const shop = service.tenant()
  const mail = await authorIn(shop, 'mail')
  await created(shop, flowOn('email.sent'))
  const named = await created(shop, flowOn('email.sent', 'mail'))
  t.equal(await send(mail.client, 'email.sent'), 202)
  bodyOf(await shop.put('/api/event-segments/email', { plugin: null }))
  t.strictSame(await started(shop), [named.id], 'who names the plugin has meant it')
})

t.test('one that names a plugin takes that plugin’s events alone', async (t) => {
  const shop = service.tenant()
  const mail = await authorIn(shop, 'mail')
  const flow = await created(shop, flowOn('email.sent', 'mail'))
  t.equal(await send(shop, 'email.sent'), 202)
  t.strictSame(await started(shop), [])
  t.equal((await shop.put('/api/event-segments/email', { plugin: 'mail' })).statusCode, 201)
  t.equal(await send(mail.client, 'email.sent'), 202)
  t.strictSame(await started(shop), [flow.id])
})

t.test('a flow on what the shop itself sends is started by no plugin', async (t) => {
  const shop = service.tenant()
  const author = await authorIn(shop, 'author')
  const flow = await created(shop, flowOn('loyalty.points_earned'))
  t.equal(await send(shop, 'loyalty.points_earned'), 202)
  t.equal(await send(author.client, 'loyalty.points_earned'), 403)
  t.strictSame(await started(shop), [flow.id])
})

t.test('a test run says so', async (t) => {
  const shop = service.tenant()
  const mail = await authorIn(shop, 'mail')
  t.equal(await send(mail.client, 'email.sent'), 202)
  const tested = async (type: string) =>
    bodyOf(await shop.post(`${FLOWS}/test`, { definition: flowOn(type), event: type, source: mail.id }))
  t.match(await tested('email.sent'), { start: { would_start: true } })
  t.match(await tested('order.created'), { start: { would_start: false, reason: 'source' } })
  t.match(await tested('crm.updated'), { start: { would_start: false, reason: 'source' } })
})
