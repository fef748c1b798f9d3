import t, { type Test } from 'tap'
import { DEFAULT_SCOPES } from '#infra/auth/scopes.ts'
import { startApp, type Tenant } from '#test/support/app.ts'
import { deliverDue } from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { feedSettled } from '#test/modules/event/support.ts'
import { created } from '#test/modules/flow/support.ts'
import { clientOf, register } from './support.ts'

const service = await startApp(t)

interface Body {
  code?: string
  detail?: string
  scopes: string[]
  status: string
  status_reason: string | null
  errors?: { pointer: string }[]
}

async function pluginOf(t: Test, shop: Tenant, fields: object = {}) {
  const plugin = await register(t, shop, { slug: 'mine', ...fields })
  return { plugin, key: await clientOf(service, shop, { pluginId: plugin.id }) }
}

const bodyOf = async (answer: Promise<{ json: () => unknown }>) => (await answer).json() as Body

t.test('scopes are given at registration, shown, changed, and count at once', async (t) => {
  const shop = service.tenant()
  const { plugin, key } = await pluginOf(t, shop)
  t.strictSame((plugin as unknown as Body).scopes, DEFAULT_SCOPES)
  t.strictSame((await bodyOf(key.get('/api/plugins/mine'))).scopes, DEFAULT_SCOPES, 'the plugin sees them')
  const publish = () => key.post('/api/events', { event: 'mine.said', data: {} })
  t.equal((await publish()).statusCode, 202)
  const scopes = ['self:read', 'actions:offer']
  t.strictSame((await bodyOf(shop.patch('/api/plugins/mine', { scopes }))).scopes, scopes)
  t.match(await bodyOf(publish()), { code: 'forbidden', detail: /events:publish/ })
  t.match(await bodyOf(key.get('/api/events')), { code: 'forbidden', detail: /events:read/ })
  t.match(await bodyOf(key.post('/api/plugins/mine/test')), { code: 'forbidden', detail: /self:manage/ })
  const actions = { actions: [{ action_type: 'greet', title: 'Greet' }] }
  t.equal((await key.post('/api/plugins/mine/register-actions', actions)).statusCode, 200)
  t.match(await bodyOf(key.patch('/api/plugins/mine', { scopes: null })), { code: 'forbidden' })
  t.strictSame((await bodyOf(shop.patch('/api/plugins/mine', { scopes: null }))).scopes, DEFAULT_SCOPES)
  t.equal((await publish()).statusCode, 202)
  const audited = await service.db
    .selectFrom('audit_log')
    .select('detail')
    .where('tenant_id', '=', shop.id)
    .where('action', '=', 'plugin.updated')
    .execute()
  t.match(audited, [{ detail: { changed: ['scopes'] } }, { detail: { changed: ['scopes'] } }])
})

t.test('what is no scope is refused by its place, and so is an event that they do not cover', async (t) => {
  const shop = service.tenant()
  const refused = async (fields: object) =>
    (
      await bodyOf(shop.post('/api/plugins', { name: 'x', webhook_url: 'http://127.0.0.1:9/', ...fields }))
    ).errors?.map(({ pointer }) => pointer)
  for (const scope of ['everything', 'events:read', 'events:read:a b', 'self:read:x', 'actions:call:', 'a']) {
    t.strictSame(await refused({ scopes: ['self:read', scope] }), ['/scopes/1'], scope)
  }
  const scopes = ['events:read:order.*', 'events:read:lead.won']
  t.strictSame(await refused({ scopes, events: ['order.paid', 'lead.*', '*', 'lead.won'] }), [
    '/events/1',
    '/events/2',
  ])
  const { key } = await pluginOf(t, shop, { scopes: [...scopes, 'self:manage'], events: ['order.*'] })
  t.match(await bodyOf(key.patch('/api/plugins/mine', { events: ['customer.created'] })), {
    errors: [{ pointer: '/events/0' }],
  })
  t.equal((await key.patch('/api/plugins/mine', { events: ['order.paid', 'lead.won'] })).statusCode, 200)
  t.match(await bodyOf(shop.patch('/api/plugins/mine', { scopes: ['self:read'] })), {
    errors: [{ pointer: '/events/0' }, { pointer: '/events/1' }],
  })
})

t.test('an author’s own work needs no key of the shop', async (t) => {
  const shop = service.tenant()
  const receiver = await startReceiver(t)
  await shop.post('/api/events', { event: 'lead.won', data: {}, id: 'before' })
  const { plugin, key } = await pluginOf(t, shop)
  const own = '/api/plugins/mine'
  const moved = await key.patch(own, { webhook_url: `${receiver.url}/hook`, events: ['lead.*'] })
  t.match(moved.json(), { webhook_url: `${receiver.url}/hook`, events: ['lead.*'] })
  t.match((await key.post(`${own}/test`)).json(), { delivered: true })
  t.match(await bodyOf(key.post(`${own}/pause`)), { status: 'paused', status_reason: 'own_key' })
  t.match(await bodyOf(key.post(`${own}/resume`)), { status: 'active', status_reason: null })
  t.equal((await shop.post('/api/events', { event: 'lead.won', data: {}, id: 'after' })).statusCode, 202)
  await deliverDue(service, shop)
  t.match((await key.get('/api/plugins/events')).json(), { data: [{ event: 'lead.won', status: 'sent' }] })
  t.match((await key.get('/api/event-types/lead.won')).json(), { name: 'lead.won' })
  t.match((await key.get('/api/event-types?q=lead.won')).json(), { data: [{ name: 'lead.won' }] })

  t.match((await key.post('/api/events/after/replay')).json(), { deliveries: 1, plugins: ['mine'] })
  t.match(await bodyOf(key.post('/api/events/before/replay')), { code: 'event_not_found' })
  t.match((await key.post(`${own}/replays`, { dry_run: true })).json(), { count: 1 })
  t.match((await key.post(`${own}/replays`, { dry_run: true, since: '2020-01-01T00:00:00Z' })).json(), {
    count: 1,
  })
  t.match((await shop.post(`${own}/replays`, { dry_run: true })).json(), { count: 2 }, 'the shop may')
  // Neither event has arrived: one is from before the plugin was there, the other fails.
  receiver.answer(500)
  await shop.post('/api/events', { event: 'lead.won', data: {}, id: 'failing' })
  await shop.patch(own, { retry_schedule: [] })
  await deliverDue(service, shop)
  const missed = { dry_run: true, status: 'undelivered', since: '2020-01-01T00:00:00Z' }
  t.match((await key.post(`${own}/replays`, missed)).json(), { count: 1 })
  t.match((await shop.post(`${own}/replays`, missed)).json(), { count: 2 })
  await shop.patch(own, { retry_schedule: null })
  receiver.answer(204)
  await feedSettled(service)
  t.match((await key.get('/api/events')).json(), { data: [{ source_id: 'after' }] })

  const other = await register(t, shop, { slug: 'other', events: ['lead.*'] })
  t.match((await key.post('/api/events/after/replay')).json(), { plugins: ['mine'] }, 'to nobody else')
  t.match(await bodyOf(key.post('/api/events/after/replay', { plugin: 'other' })), {
    code: 'plugin_not_subscribed',
  })
  t.equal(
    (await clientOf(service, shop, { pluginId: other.id }).then((theirs) => theirs.get(own))).statusCode,
    403,
  )
  t.ok(plugin.id)
})

t.test('but no more than that', async (t) => {
  const shop = service.tenant()
  const { key } = await pluginOf(t, shop)
  const own = '/api/plugins/mine'
  for (const fields of [{ name: 'Another' }, { status: 'active' }, { config: {} }, { headers: {} }]) {
    t.match(await bodyOf(key.patch(own, fields)), {
      code: 'forbidden',
      detail: new RegExp(`not ${Object.keys(fields)[0] ?? ''}`),
    })
  }
  await shop.post(`${own}/pause`)
  t.match(await bodyOf(key.post(`${own}/resume`)), { code: 'forbidden', detail: /key of the shop/ })
  t.match(await bodyOf(key.post(`${own}/pause`)), { status: 'paused', status_reason: 'manual' })
  t.match(await bodyOf(key.post(`${own}/resume`)), { code: 'forbidden' })
  await shop.post(`${own}/resume`)
  // People take over a pause that it made itself, and it does not turn their disabling into a pause of its own.
  for (const takeOver of [
    () => shop.post(`${own}/pause`),
    () => shop.patch(own, { status: 'paused' }),
    () => shop.patch(own, { status: 'disabled' }),
  ]) {
    t.match(await bodyOf(key.post(`${own}/pause`)), { status: 'paused', status_reason: 'own_key' })
    t.match(await bodyOf(takeOver()), { status_reason: 'manual' })
    t.match(await bodyOf(key.post(`${own}/pause`)), { status_reason: 'manual' })
    t.match(await bodyOf(key.post(`${own}/resume`)), { code: 'forbidden' })
    await shop.post(`${own}/resume`)
  }
  await service.db
    .updateTable('plugins')
    .set({ status: 'disabled', status_reason: 'failing' })
    .where('tenant_id', '=', shop.id)
    .execute()
  t.match(await bodyOf(key.post(`${own}/resume`)), { status: 'active' }, 'what the service has disabled')
  t.equal((await key.delete(own)).statusCode, 403)
})

t.test('event types are those within the scopes, and its own', async (t) => {
  const shop = service.tenant()
  const scopes = ['self:read', 'events:read:order.*', 'events:publish']
  const { key } = await pluginOf(t, shop, { scopes })
  await shop.put('/api/event-types/till.opened', {})
  t.equal((await key.post('/api/events', { event: 'mine.said', data: {} })).statusCode, 202)
  const { data } = (await key.get('/api/event-types?limit=200')).json<{ data: { name: string }[] }>()
  const names = data.map(({ name }) => name)
  t.ok(names.includes('order.paid') && names.includes('mine.said'))
  t.strictSame(
    names.filter((name) => !/^(?:order|mine)\./.test(name)),
    [],
  )
  t.equal((await key.get('/api/event-types/till.opened')).statusCode, 404)
  const trial = (event: string, subscribed: string) =>
    bodyOf(key.post('/api/plugins/mine/subscriptions/test', { event, events: [{ event: subscribed }] }))
  t.match(await trial('till.opened', 'order.paid'), { code: 'event_type_not_found' }, 'nor its sample')
  t.match(await trial('order.paid', 'till.opened'), { errors: [{ pointer: '/events/0' }] })
  t.match(await trial('order.paid', 'order.paid'), { matches: true })
})

t.test('actions are called by their names in the scopes, under ids of the plugin’s own', async (t) => {
  const shop = service.tenant()
  const receiver = await startReceiver(t)
  receiver.answer((_, response) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"ok":true}'),
  )
  const action = (name: string) => ({ action_type: name, title: name, endpoint: `/${name}` })
  await register(t, shop, { slug: 'doer', webhook_url: `${receiver.url}/hook` })
  await shop.post('/api/plugins/doer/register-actions', { actions: [action('greet'), action('pay')] })
  const { plugin, key } = await pluginOf(t, shop, { scopes: ['actions:call:greet'] })
  const dispatch = (client: Tenant, names: string[], payload: object = {}) =>
    client.post('/api/plugins/events/automation', {
      flow_execution_id: 'flow_1',
      events: names.map((action_type) => ({ action_type, payload })),
    })
  t.match(await bodyOf(dispatch(key, ['greet', 'pay'])), { code: 'forbidden', detail: /"actions:call:pay"/ })
  t.equal(receiver.received.length, 0, 'nothing of it is done')
  t.match((await dispatch(key, ['greet'], { by: 'plugin' })).json(), {
    flow_execution_id: 'flow_1',
    results: [{ success: true, replayed: false }],
  })
  t.match(receiver.received[0]?.headers, { 'x-causation-depth': '1' }, 'what it leads to has a cause')
  t.match(
    (await dispatch(shop, ['greet'], { by: 'shop' })).json(),
    { results: [{ success: true, replayed: false }] },
    'the shop’s execution of that id is another',
  )
  t.match((await dispatch(key, ['greet'], { by: 'plugin' })).json(), { results: [{ replayed: true }] })
  const log = await shop.get(`/api/automation/event-log?execution=plugin:${plugin.id}:flow_1`)
  t.match(log.json(), { data: [{ action_type: 'greet' }] })
  const longest = 'x'.repeat(255)
  const events = [{ action_type: 'greet', payload: {} }]
  await key.post('/api/plugins/events/automation', { flow_execution_id: longest, events })
  const execution = `plugin:${plugin.id}:${longest}`
  const found = await shop.get(`/api/automation/event-log?execution=${execution}`)
  t.match(found.json(), { data: [{ flow_execution_id: execution }] }, 'however long it is')
})

t.test('flows are read by who has flows:read, without what editors alone see', async (t) => {
  const shop = service.tenant()
  const { key } = await pluginOf(t, shop, { scopes: ['flows:read'] })
  const flow = await created(shop, {
    name: 'Hooked',
    triggers: [{ type: 'webhook' }],
    steps: [{ id: 'note', type: 'set', variables: { a: 1 } }],
  })
  t.match((await key.get('/api/automation/flows')).json(), { data: [{ id: flow.id }] })
  t.match((await key.get(`/api/automation/flows/${flow.id}`)).json(), { inlets: [{ url: null }] })
  t.equal((await key.delete(`/api/automation/flows/${flow.id}`)).statusCode, 403)
})
