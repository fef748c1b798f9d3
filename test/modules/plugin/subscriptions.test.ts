import t from 'tap'
import { startApp, type Tenant } from '#test/support/app.ts'
import { registerPlugin, sendEvent } from '#test/support/deliveries.ts'
import { clientOf } from './support.ts'

const service = await startApp(t)

const over = (field: string, value = 100) => ({ field, operator: 'gt', value })
const register = (tenant: Tenant, events: unknown, slug = 'shop') =>
  tenant.post('/api/plugins', { name: slug, slug, webhook_url: 'http://127.0.0.1:9/', events })

t.test(
  'a filter on a path that no such event has is taken with a warning that names the nearest',
  async (t) => {
    const tenant = service.tenant()
    const events = [
      { event: 'order.created', filter: over('data.total') },
      { event: 'order.*', filter: { all: [over('totl'), over('total')] } },
      { event: 'order.created', filter: over('total') },
      { event: 'order.created', filter: { field: 'previous_status', operator: 'equals', value: 'new' } },
    ]
    const created = await register(tenant, events)
    t.equal(created.statusCode, 201)
    t.match(created.json(), {
      warnings: [
        { pointer: '/events/0/filter/field', detail: /"data\.total".*did you mean "total"\?/ },
        { pointer: '/events/1/filter/all/0/field', detail: /"totl".*did you mean "total"\?/ },
      ],
    })
    t.equal(created.json<{ warnings: unknown[] }>().warnings.length, 2)
    t.match((await tenant.patch('/api/plugins/shop', { events: events.slice(0, 1) })).json(), {
      warnings: [{ pointer: '/events/0/filter/field' }],
    })
    t.notOk('warnings' in (await tenant.patch('/api/plugins/shop', { events: ['order.*'] })).json<object>())
  },
)

t.test(
  'a type that is not described warns of a wrong root alone, a declared one by its schema',
  async (t) => {
    const tenant = service.tenant()
    const filters = [over('trigger.points'), over('points'), over('data')]
    const events = filters.map((filter) => ({ event: 'loyalty.earned', filter }))
    t.match((await register(tenant, events)).json(), {
      warnings: [{ pointer: '/events/0/filter/field', detail: /did you mean "points"\?/ }],
    })
    await tenant.put('/api/event-types/loyalty.earned', {
      schema: { type: 'object', properties: { points: { type: 'integer' } } },
    })
    t.match((await tenant.patch('/api/plugins/shop', { events })).json(), {
      warnings: [{ pointer: '/events/0/filter/field' }, { pointer: '/events/2/filter/field' }],
    })
  },
)

t.test("the text for a malformed path names the filters' root, and that of a flow the flows'", async (t) => {
  const tenant = service.tenant()
  const refused = await register(tenant, [{ event: 'order.created', filter: over('a b') }])
  t.match(refused.json(), {
    status: 400,
    errors: [{ pointer: '/events/0/filter/field', detail: /"customer\.email".*from the event's data on/ }],
  })
  t.notMatch(refused.body, /trigger/)
})

t.test('an event shows the plugins that wanted its type and were filtered out', async (t) => {
  const tenant = service.tenant()
  await registerPlugin(tenant, 'http://127.0.0.1:9/', {
    slug: 'big',
    events: [{ event: 'order.*', filter: over('total') }],
  })
  await registerPlugin(tenant, 'http://127.0.0.1:9/', { slug: 'all' })
  await registerPlugin(tenant, 'http://127.0.0.1:9/', { slug: 'other', events: ['product.created'] })
  const events = [10, 1000].map((total) => ({ event: 'order.created', data: { order_id: 1, total } }))
  const sent = await tenant.post('/api/events', { events: [...events, { event: 'order.paid', data: {} }] })
  const ids = sent.json<{ results: { id: string }[] }>().results.map(({ id }) => id)
  t.match((await tenant.get(`/api/events/${ids[0]}`)).json(), {
    deliveries: [{ plugin: 'all' }],
    filtered: [{ plugin: 'big' }],
  })
  t.strictSame((await tenant.get(`/api/events/${ids[1]}`)).json<{ filtered: unknown[] }>().filtered, [])
  await tenant.patch('/api/plugins/big', { events: ['order.*'] })
  t.match(
    (await tenant.get(`/api/events/${ids[2]}`)).json(),
    { filtered: [{ plugin: 'big' }] },
    'it stays so',
  )
})

t.test('a trial says what matches, and why not, for data, a sample or a past event', async (t) => {
  const tenant = service.tenant()
  await registerPlugin(tenant, 'http://127.0.0.1:9/', {
    slug: 'shop',
    events: [
      'product.created',
      { event: 'order.*', filter: { all: [over('total'), { field: 'vip', operator: 'is_true' }] } },
    ],
  })
  const attempt = async (body: unknown, client = tenant) =>
    (await client.post('/api/plugins/shop/subscriptions/test', body)).json<Record<string, unknown>>()
  t.match(await attempt({ event: 'order.created', data: { total: 250 } }), {
    event: 'order.created',
    event_id: null,
    data_from: 'given',
    matches: false,
    reason: 'filtered',
    subscriptions: [
      { event: 'product.created', matches: false, reason: 'other_type', tests: [] },
      {
        event: 'order.*',
        matches: false,
        reason: 'filtered',
        tests: [
          { pointer: '/filter/all/0', field: 'total', operator: 'gt', value: 100, holds: true, found: 250 },
          { pointer: '/filter/all/1', field: 'vip', holds: false, present: false },
        ],
      },
    ],
    warnings: [{ pointer: '/events/1/filter/all/1/field' }],
  })
  t.match(await attempt({ event: 'order.created', data: { total: 250, vip: true } }), {
    matches: true,
    reason: null,
  })
  t.match(await attempt({ event: 'product.created' }), { matches: true, data_from: 'sample' })
  t.match(await attempt({ event: 'customer.created' }), { matches: false, reason: 'not_subscribed' })
  const past = await sendEvent(tenant, 'order.created', { total: 99 })
  t.match(await attempt({ event_id: past }), {
    event_id: past,
    data_from: 'event',
    matches: false,
    subscriptions: [{}, { tests: [{ found: 99, holds: false }, {}] }],
  })
  t.match(
    await attempt({ event_id: past, events: [{ event: 'order.created', filter: over('total', 50) }] }),
    {
      matches: true,
      subscriptions: [{ matches: true, reason: null }],
    },
  )
})

t.test('a trial that makes no sense is refused with its field', async (t) => {
  const tenant = service.tenant()
  const { id } = await registerPlugin(tenant, 'http://127.0.0.1:9/', { slug: 'shop' })
  const post = (body?: unknown, client = tenant) => client.post('/api/plugins/shop/subscriptions/test', body)
  const cases: [unknown, string][] = [
    [undefined, ''],
    [{}, '/event'],
    [{ event: 'order created' }, '/event'],
    [{ event: 'order.created', event_id: 'x' }, '/event'],
    [{ event_id: 'x', data: {} }, '/data'],
    [{ event: 'order.created', events: ['order*'] }, '/events/0'],
    [{ event: 'order.created', what: 1 }, '/what'],
  ]
  for (const [body, pointer] of cases) {
    t.match((await post(body)).json(), { status: 400, errors: [{ pointer }] }, JSON.stringify(body))
  }
  t.match((await post({ event: 'nobody.knows' })).json(), { code: 'event_type_not_found' })
  t.match((await post({ event_id: crypto.randomUUID() })).json(), { code: 'event_not_found' })
  const foreign = await sendEvent(tenant, 'customer.created', { secret: 1 })
  const author = await clientOf(service, tenant, { pluginId: id })
  t.match((await post({ event_id: foreign }, author)).json(), { code: 'event_not_found' })
  t.match((await post({ event_id: await sendEvent(tenant) }, author)).json(), { matches: true })
  const response = await service
    .tenant()
    .post('/api/plugins/shop/subscriptions/test', { event: 'order.created' })
  t.match(response.json(), { code: 'plugin_not_found' })
})

t.test('a trial with many filters and large lists ends', async (t) => {
  const tenant = service.tenant()
  const nested = { field: 'rows', operator: 'any', value: { field: 'item.n', operator: 'equals', value: -1 } }
  const events = Array.from({ length: 100 }, (_, index) => ({
    event: 'a.b',
    filter: { any: [{ field: 'x', operator: 'equals', value: index }, nested, nested, nested] },
  }))
  await registerPlugin(tenant, 'http://127.0.0.1:9/', { slug: 'shop', events })
  const rows = Array.from({ length: 20_000 }, (_, n) => ({ n }))
  const response = await tenant.post('/api/plugins/shop/subscriptions/test', { event: 'a.b', data: { rows } })
  const { subscriptions } = response.json<{ subscriptions: { matches: boolean; tests: unknown[] }[] }>()
  t.equal(subscriptions.length, 100)
  t.equal(subscriptions.flatMap(({ tests }) => tests).length, 100)
})
