import t from 'tap'
import { clientFor, startApp, type Tenant } from '#test/support/app.ts'
import { pluginKey, type SubscribedPlugin, subscribe } from '../support.ts'

const service = await startApp(t)

async function pluginOf(shop: Tenant, slug: string): Promise<{ plugin: SubscribedPlugin; client: Tenant }> {
  await shop.get('/api/plugins')
  const plugin = await subscribe(service, shop.id, ['loyalty.*'], slug)
  return { plugin, client: clientFor(service.app, shop.id, await pluginKey(service, shop.id, plugin)) }
}

const send = (client: Tenant, event: string, id?: string, data: object = {}) =>
  client.post('/api/events', { event, data, ...(id !== undefined && { id }) })

t.test('a plugin does not speak in the platform’s name', async (t) => {
  const { client } = await pluginOf(service.tenant(), 'loyalty')
  for (const type of [
    'order.refunded',
    'payment.captured',
    'refund.created',
    'checkout.completed',
    'cart.updated',
    'shop.closed',
    'tenant.suspended',
    'system.alert',
    'customer.created',
    'plugin.disabled',
  ]) {
    t.match((await send(client, type)).json(), { status: 403, code: 'event_type_forbidden' }, type)
  }
  for (const type of ['loyalty.points_earned', 'email.sent', 'payments_pro.captured']) {
    t.equal((await send(client, type)).statusCode, 202, type)
  }
})

t.test('a manifest that names a type of the platform’s gives no right to publish it', async (t) => {
  const { client } = await pluginOf(service.tenant(), 'loyalty')
  const trigger = {
    id: 'captured',
    name: 'Captured',
    event_types: ['payment.captured', 'order.refunded', 'loyalty.points_earned'],
  }
  const put = await client.put('/api/plugins/loyalty/manifest', {
    name: 'Loyalty',
    slug: 'loyalty',
    version: '1.0.0',
    capabilities: { triggers: [trigger], actions: [], conditions: [] },
  })
  t.equal(put.statusCode, 200, put.body)
  t.equal((await send(client, 'payment.captured')).statusCode, 403)
  t.equal((await send(client, 'order.refunded')).statusCode, 403)
  t.equal((await send(client, 'loyalty.points_earned')).statusCode, 202)
})

t.test('the shop itself may publish what plugins may not', async (t) => {
  const shop = service.tenant()
  t.equal((await send(shop, 'payment.captured')).statusCode, 202)
})

t.test('a plugin that takes the platform’s id has not the real event refused', async (t) => {
  const shop = service.tenant()
  const { plugin, client } = await pluginOf(shop, 'loyalty')
  const { client: rival } = await pluginOf(shop, 'rival')
  const id = 'order-1042-created'
  const taken = (await send(client, 'loyalty.points_earned', id, { points: 1 })).json<{ id: string }>()
  const real = await send(shop, 'order.created', id, { order_id: 1042 })
  t.equal(real.statusCode, 202, real.body)
  t.match(real.json(), { duplicate: false, source_id: id })
  t.equal((await send(rival, 'rival.won', id)).statusCode, 202, 'plugins among each other')

  t.match((await send(shop, 'order.created', id, { order_id: 1042 })).json(), {
    duplicate: true,
    id: real.json<{ id: string }>().id,
  })
  t.match((await send(client, 'loyalty.points_earned', id, { points: 1 })).json(), {
    duplicate: true,
    id: taken.id,
  })
  t.match((await send(client, 'loyalty.points_earned', id, { points: 2 })).json(), { code: 'event_conflict' })
  t.match(
    (await shop.get(`/api/events/${id}`)).json(),
    { event: 'order.created' },
    'the shop’s own by its id',
  )
  t.match((await client.get(`/api/events/${id}`)).json(), { id: taken.id }, 'the plugin’s own by its')
  const row = await service.db
    .selectFrom('events')
    .select('publisher_plugin_id')
    .where('id', '=', taken.id)
    .executeTakeFirstOrThrow()
  t.equal(row.publisher_plugin_id, plugin.id)
})

t.test('equal ids of several publishers in one statement', async (t) => {
  const shop = service.tenant()
  const { client } = await pluginOf(shop, 'loyalty')
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, n) =>
      send(n % 2 === 0 ? shop : client, n % 2 === 0 ? 'lead.won' : 'loyalty.won', `same-${n >> 2}`),
    ),
  )
  t.ok(answers.every(({ statusCode }) => statusCode === 202))
  t.equal(answers.filter((answer) => answer.json<{ duplicate: boolean }>().duplicate).length, 10)
})

t.test('by whatever way they come, ids are their publisher’s own', async (t) => {
  const id = 'evt_1'
  const cloudEvent = { specversion: '1.0', id, source: '/s', type: 'loyalty.won', data: { n: 1 } }
  const json = { event: 'loyalty.won', data: { n: 1 } }
  const structured = { 'content-type': 'application/cloudevents+json' }
  const batched = { 'content-type': 'application/cloudevents-batch+json' }
  const binary = { 'ce-specversion': '1.0', 'ce-id': id, 'ce-source': '/s', 'ce-type': 'loyalty.won' }
  const ways: Record<string, (client: Tenant, n: number) => ReturnType<Tenant['post']>> = {
    one: (client, n) => client.post('/api/events', { ...json, id, data: { n } }),
    'by Idempotency-Key': (client, n) =>
      client.post('/api/events', { ...json, data: { n } }, { 'idempotency-key': id }),
    'in a batch': (client, n) => client.post('/api/events', { events: [{ ...json, id, data: { n } }] }),
    'the older webhook': (client, n) =>
      client.post('/plugins/automation/webhook', { event_type: json.event, payload: { n }, id }),
    'a structured CloudEvent': (client, n) =>
      client.post('/api/events', { ...cloudEvent, data: { n } }, structured),
    'a batch of CloudEvents': (client, n) =>
      client.post('/api/events', [{ ...cloudEvent, data: { n } }], batched),
    'a binary CloudEvent': (client, n) => client.post('/api/events', { n }, binary),
  }
  for (const [way, post] of Object.entries(ways)) {
    const shop = service.tenant()
    const { client } = await pluginOf(shop, 'loyalty')
    const outcome = async (sender: Tenant, n: number): Promise<string> => {
      const answer = await post(sender, n)
      const body = answer.json<{
        code?: string
        duplicate?: boolean
        results?: { status: string; problem?: { code: string } }[]
      }>()
      const [result] = body.results ?? []
      if (result !== undefined) return result.problem?.code ?? result.status
      return body.code ?? (body.duplicate === true ? 'duplicate' : 'accepted')
    }
    t.equal(await outcome(client, 1), 'accepted', `${way}: the plugin's`)
    t.equal(await outcome(shop, 2), 'accepted', `${way}: the shop's of the same id`)
    t.equal(await outcome(client, 1), 'duplicate', `${way}: the plugin's again`)
    t.equal(await outcome(shop, 2), 'duplicate', `${way}: the shop's again`)
    t.equal(await outcome(client, 2), 'event_conflict', `${way}: each has its own contents`)
    t.equal(await outcome(shop, 1), 'event_conflict', way)
  }
})
