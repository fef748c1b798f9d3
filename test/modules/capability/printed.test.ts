import t, { type Test } from 'tap'
import { startApp, type Tenant } from '#test/support/app.ts'
import { CAPABILITIES, PLUGIN_JSON } from '#test/support/printed.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { auditOf, clientOf, register } from '#test/modules/plugin/support.ts'
import { discover } from '#test/modules/registry/support.ts'
import {
  capabilitiesOf,
  manifestOf,
  type MergedBody,
  putManifest,
  TRIGGER,
  type UpdateBody,
} from './support.ts'

const service = await startApp(t)

t.test('the printed plugin.json is taken whole, and offered', async (t) => {
  const shop = service.tenant()
  await register(t, shop, { slug: 'email-marketing', name: 'Email Marketing' })
  const { added, capabilities } = await putManifest(t, shop, 'email-marketing', PLUGIN_JSON)
  t.strictSame(added, {
    triggers: ['customer.created'],
    actions: ['send_welcome_email'],
    conditions: ['customer_location'],
  })
  t.match(capabilities, { version: '1.0.0', health: 'healthy', own_event_types: [] })
  t.match(await offered(shop), {
    triggers: [
      {
        id: 'customer.created',
        plugin: 'email-marketing',
        event_types: ['customer.created'],
        event_owners: { 'customer.created': 'platform' },
        output_schema: { properties: { customer_id: { type: 'string' }, email: { type: 'string' } } },
      },
    ],
    actions: [
      {
        action_type: 'send_welcome_email',
        endpoint: '/api/actions/send-welcome',
        method: 'POST',
        required_fields: ['email'],
        optional_fields: ['template', 'variables'],
        output_schema: { properties: { email_id: { type: 'string' }, status: { type: 'string' } } },
      },
    ],
    conditions: [
      { id: 'customer_location', path: null, operators: ['equals', 'contains', 'in'], value_type: 'string' },
    ],
  })
})

t.test('a trigger that names an event of the platform does not make it the plugin’s', async (t) => {
  const shop = service.tenant()
  const { id } = await register(t, shop, { slug: 'email-marketing', name: 'Email Marketing' })
  await putManifest(t, shop, 'email-marketing', PLUGIN_JSON)
  t.match((await shop.get('/api/event-types/customer.created')).json(), { source: 'platform', plugin: null })
  const key = await clientOf(service, shop, { pluginId: id })
  const event = { event: 'customer.created', data: { customer_id: 'c', email: 'a@example.com', name: 'A' } }
  t.equal((await key.post('/api/events', event)).statusCode, 403)
  const types = service.db.selectFrom('event_types').select('name').where('tenant_id', '=', shop.id)
  t.strictSame(await types.execute(), [])
})

t.test('what /api/capabilities is printed to answer is fetched, with how the plugin is', async (t) => {
  const plugin = await startReceiver(t)
  const shop = service.tenant()
  await register(t, shop, { slug: 'email-marketing', name: 'Email', webhook_url: `${plugin.url}/hook` })
  const fetched = await refreshed(t, shop, plugin, CAPABILITIES)
  t.strictSame(fetched.added.actions, ['send_welcome_email'])
  t.match(fetched.capabilities, {
    origin: 'fetched',
    version: null,
    manifest: { name: null, health: 'healthy', last_updated: '2025-08-26T12:00:00Z' },
  })
  t.equal((await discover(t, shop, '&source=plugin')).length, 1)

  const versionOf = async () =>
    service.db.selectFrom('tenants').select('actions_version').where('id', '=', shop.id).executeTakeFirst()
  const version = await versionOf()
  const degraded = { ...CAPABILITIES, health: 'degraded', last_updated: '2025-08-26T13:00:00Z' }
  const again = await refreshed(t, shop, plugin, degraded)
  t.match(again.capabilities.manifest, { health: 'degraded', last_updated: '2025-08-26T13:00:00Z' })
  t.equal(again.capabilities.last_updated, fetched.capabilities.last_updated, 'it offers the same')
  t.strictSame(await versionOf(), version)
  t.equal(
    (await auditOf(service.db, shop.id)).filter(({ action }) => action === 'plugin.manifest_changed').length,
    1,
  )
})

t.test('the printed answer may be pushed, too', async (t) => {
  const shop = service.tenant()
  await register(t, shop, { slug: 'email-marketing', name: 'Email Marketing' })
  const { capabilities } = await putManifest(t, shop, 'email-marketing', CAPABILITIES)
  t.match(capabilities.manifest, { name: null, capabilities: { actions: [{ id: 'send_welcome_email' }] } })
})

t.test('types of the shop and of other plugins are offered and stay whose they are', async (t) => {
  const shop = service.tenant()
  const rival = await register(t, shop, { slug: 'rival', name: 'Rival' })
  const loyalty = await register(t, shop, { slug: 'loyalty', name: 'Loyalty' })
  await shop.put('/api/event-types/shop.opened', { description: "The shop's own" })
  const won = (fields: object = {}) => manifestOf({ triggers: [{ ...TRIGGER, ...fields }] })
  await putManifest(t, shop, 'rival', won({ event_types: ['rival.won'] }))
  const event_types = ['loyalty.points_earned', 'shop.opened', 'rival.won', 'order.paid']
  const { capabilities } = await putManifest(t, shop, 'loyalty', won({ event_types }))
  t.strictSame(capabilities.own_event_types, ['loyalty.points_earned'])
  t.strictSame(
    (await offered(shop)).triggers.map(({ plugin, event_owners }) => [plugin, event_owners]),
    [
      [
        'loyalty',
        {
          'loyalty.points_earned': 'plugin',
          'shop.opened': 'other',
          'rival.won': 'other',
          'order.paid': 'platform',
        },
      ],
      ['rival', { 'rival.won': 'plugin' }],
    ],
  )
  const key = await clientOf(service, shop, { pluginId: loyalty.id })
  const post = async (event: string) =>
    (await key.post('/api/events', { event, data: { points: 1 } })).statusCode
  t.strictSame(
    [await post('loyalty.points_earned'), await post('shop.opened'), await post('rival.won')],
    [202, 403, 403],
  )
  t.match((await shop.get('/api/event-types/rival.won')).json(), { plugin: 'rival' })
  t.match((await shop.get('/api/event-types/shop.opened')).json(), { source: 'tenant' })

  // A type that nobody has any longer is the plugin's as soon as it gives the same manifest again.
  await shop.delete(`/api/plugins/${rival.slug}`)
  t.equal(await post('rival.won'), 202, 'whoever sends it')
  const again = await putManifest(t, shop, 'loyalty', won({ event_types }))
  t.strictSame(again.capabilities.own_event_types, ['loyalty.points_earned', 'rival.won'])
  t.match((await offered(shop)).triggers, [{ event_owners: { 'rival.won': 'plugin' } }])
  t.strictSame((await capabilitiesOf(shop, 'loyalty')).own_event_types, again.capabilities.own_event_types)
})

async function offered(shop: Tenant): Promise<MergedBody> {
  return (await shop.get('/api/capabilities?source=plugin&limit=200')).json()
}

async function refreshed(
  t: Test,
  shop: Tenant,
  plugin: Awaited<ReturnType<typeof startReceiver>>,
  manifest: object,
): Promise<UpdateBody> {
  plugin.answer((_received, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(manifest))
  })
  const response = await shop.post('/api/plugins/email-marketing/capabilities/refresh')
  t.equal(response.statusCode, 200, response.body)
  return response.json()
}
