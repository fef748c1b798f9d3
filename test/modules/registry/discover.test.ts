import t, { type Test } from 'tap'
import { checkSchema } from '#lib/schema/safe/index.ts'
import type { RegistryAction } from '#modules/registry/index.ts'
import { appOn } from '#test/infra/app-on.ts'
import { clientFor, startApp, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { clientOf, register } from '#test/modules/plugin/support.ts'
import { type ActionPage, discover, registerActions, WELCOME } from './support.ts'

const service = await startApp(t)
const receiver = await startReceiver(t)

/** A tenant with two plugins that share an action. */
async function shop(t: Test) {
  const tenant = service.tenant()
  const email = await register(t, tenant, { slug: 'email', name: 'Email' })
  await register(t, tenant, { slug: 'crm', name: 'CRM' })
  await registerActions(t, tenant, 'email', [WELCOME, { action_type: 'ping', title: 'Ping' }])
  await registerActions(t, tenant, 'crm', [{ action_type: 'ping', title: 'Ping' }])
  return { tenant, email }
}

t.test('a tenant without plugins has the actions of the platform', async (t) => {
  const tenant = service.tenant()
  const { data, next_cursor } = (await tenant.get('/api/plugins/actions')).json<ActionPage>()
  t.equal(next_cursor, null)
  t.strictSame(
    data.map(({ action_type }) => action_type),
    [
      'assign_task',
      'create_customer',
      'create_notification',
      'create_order',
      'create_product',
      'create_task',
      'delete_product',
      'send_email',
      'send_sms',
      'update_customer',
      'update_lead',
      'update_order_status',
      'update_product',
    ],
  )
  t.match(
    data.find(({ action_type }) => action_type === 'update_product'),
    {
      source: 'platform',
      plugin: null,
      plugin_active: true,
      method: 'PUT',
      path: '/api/products/:id',
      required_fields: ['id'],
      idempotent: true,
      category: 'products',
    },
  )
  t.strictSame(data.find(({ action_type }) => action_type === 'create_notification')?.aliases, [
    'send_notification',
  ])
})

t.test('every action of the platform says all there is to say, in the safe subset', async (t) => {
  for (const action of service.app.registry.platformActions) {
    t.ok(action.title && action.description && action.category, action.action_type)
    t.strictSame(checkSchema(action.input_schema), [])
    t.strictSame(checkSchema(action.output_schema), [])
    const fields = Object.keys(action.input_schema?.properties ?? {})
    t.strictSame([...action.required_fields, ...action.optional_fields].sort(), fields.sort())
    for (const [, field] of (action.path ?? '').matchAll(/:(\w+)/g)) {
      t.ok(action.required_fields.includes(field ?? ''), 'what the path takes is required')
    }
    t.equal(action.idempotent, action.method !== 'POST')
  }
})

t.test('filters and search narrow it down', async (t) => {
  const { tenant, email } = await shop(t)
  const types = async (query: string) => (await discover(t, tenant, query)).map(nameOf)
  t.strictSame(await types('&source=plugin'), ['ping (crm)', 'ping (email)', 'send_welcome_email (email)'])
  t.strictSame(await types('&plugin=email'), ['ping (email)', 'send_welcome_email (email)'])
  t.strictSame(await types(`&plugin=${email.id.toUpperCase()}&q=welcome`), ['send_welcome_email (email)'])
  t.equal((await types('&plugin=platform')).length, 13)
  t.strictSame(await types('&plugin=unknown'), [])
  t.strictSame(await types('&category=email'), ['send_welcome_email (email)'])
  t.strictSame(await types('&category=tasks'), ['assign_task', 'create_task'])
  t.strictSame(await types('&q=GREETS'), ['send_welcome_email (email)'])
  t.strictSame(await types('&q=send_notif'), ['create_notification'], 'by its alias')
  t.strictSame(await types('&q=crm'), ['ping (crm)'])
  t.strictSame(await types('&q=%25'), [], 'no wildcards')
  const own = (await tenant.get('/api/plugins/email/actions?q=ping')).json<ActionPage>()
  t.strictSame(own.data.map(nameOf), ['ping (email)'])
})

t.test('pages follow one another without a gap, flat and grouped', async (t) => {
  const { tenant } = await shop(t)
  for (const group of ['', '&group=plugin', '&group=category']) {
    const all = await discover(t, tenant, group)
    t.equal(all.length, 16)
    const paged: RegistryAction[] = []
    for (let cursor = ''; ;) {
      const page = (await tenant.get(`/api/plugins/actions?limit=2${group}${cursor}`)).json<ActionPage>()
      t.equal(page.groups === undefined, group === '')
      const actions = page.groups?.flatMap((each) => each.actions) ?? page.data
      t.ok(actions.length <= 2)
      paged.push(...actions)
      if (page.next_cursor === null) break
      cursor = `&cursor=${page.next_cursor}`
    }
    t.strictSame(paged, all)
  }
  const first = (await tenant.get('/api/plugins/actions?limit=2')).json<ActionPage>()
  for (const bad of [`group=plugin&cursor=${first.next_cursor ?? ''}`, 'cursor=x', 'cursor=W10']) {
    t.match((await tenant.get(`/api/plugins/actions?${bad}`)).json(), { code: 'invalid_cursor' })
  }
})

t.test('groups are by plugin, the platform first, or by category', async (t) => {
  const { tenant } = await shop(t)
  const groups = async (by: string) =>
    (await tenant.get(`/api/plugins/actions?limit=200&group=${by}`))
      .json<ActionPage>()
      .groups?.map(({ name, actions }) => [name, actions.length])
  t.strictSame(await groups('plugin'), [
    [null, 13],
    ['crm', 1],
    ['email', 2],
  ])
  t.strictSame(await groups('category'), [
    ['customers', 2],
    ['email', 1],
    ['leads', 1],
    ['notifications', 3],
    ['orders', 2],
    ['other', 2],
    ['products', 3],
    ['tasks', 2],
  ])
})

t.test('an answer that still holds is a 304, until anything changes', async (t) => {
  const { tenant } = await shop(t)
  for (const url of ['/api/plugins/actions?q=ping', '/api/plugins/email/actions']) {
    const etag = String((await tenant.get(url)).headers['etag'])
    const again = await tenant.get(url, { 'if-none-match': `"other", W/${etag}` })
    t.equal(again.statusCode, 304)
    t.equal(again.body, '')
    t.equal(again.headers['etag'], etag)
    t.equal(
      (await tenant.get(`${url}${url.includes('?') ? '&' : '?'}limit=1`, { 'if-none-match': etag }))
        .statusCode,
      200,
    )
    t.equal(
      (await service.tenant().get('/api/plugins/actions?q=ping', { 'if-none-match': etag })).statusCode,
      200,
    )
    await registerActions(t, tenant, 'crm', [{ action_type: `ping_${url.length}`, title: 'Ping' }])
    t.equal((await tenant.get(url, { 'if-none-match': etag })).statusCode, 200)
  }
})

t.test("a plugin's pause, resume and end are seen at once", async (t) => {
  const { tenant } = await shop(t)
  const seen = async () =>
    (await discover(t, tenant, '&q=ping')).map(({ plugin, plugin_active }) => [plugin, plugin_active])
  t.strictSame(await seen(), [
    ['crm', true],
    ['email', true],
  ])
  await tenant.post('/api/plugins/crm/pause')
  t.strictSame(await seen(), [
    ['crm', false],
    ['email', true],
  ])
  await tenant.post('/api/plugins/crm/resume')
  t.strictSame((await seen())[0], ['crm', true])
  await tenant.patch('/api/plugins/crm', { status: 'disabled' })
  t.strictSame((await seen())[0], ['crm', false])
  await tenant.delete('/api/plugins/crm')
  t.strictSame(await seen(), [['email', true]])
  await register(t, tenant, { slug: 'crm', name: 'CRM again' })
  t.strictSame(await seen(), [['email', true]], 'what has the slug next has none of its actions')
})

t.test('a plugin that the service disables is shown as not active', async (t) => {
  const { tenant } = await shop(t)
  receiver.answer(410)
  await tenant.patch('/api/plugins/crm', { webhook_url: `${receiver.url}/gone`, events: ['order.created'] })
  await tenant.post('/api/events', { event: 'order.created', data: {} })
  await service.app.deliveries.createWorker({ tenantId: tenant.id }).drain(5_000)
  t.equal((await tenant.get('/api/plugins/crm')).json<{ status: string }>().status, 'disabled')
  const [crm] = await discover(t, tenant, '&plugin=crm')
  t.equal(crm?.plugin_active, false)
})

t.test("a plugin's own key sees the platform's actions and its own", async (t) => {
  const { tenant, email } = await shop(t)
  const plugin = await clientOf(service, tenant, { pluginId: email.id })
  t.strictSame((await discover(t, plugin, '&q=ping')).map(nameOf), ['ping (email)'])
  t.equal((await discover(t, plugin)).length, 15)
  t.equal((await plugin.get('/api/plugins/crm/actions')).statusCode, 403)
  t.equal((await plugin.get('/api/plugins/email/actions')).statusCode, 200)
  const etag = String((await tenant.get('/api/plugins/actions')).headers['etag'])
  t.equal((await plugin.get('/api/plugins/actions', { 'if-none-match': etag })).statusCode, 200)
})

t.test("another tenant's plugins are nowhere", async (t) => {
  await shop(t)
  const stranger = service.tenant()
  t.equal((await discover(t, stranger)).length, 13)
  t.equal((await stranger.get('/api/plugins/email/actions')).statusCode, 404)
  t.equal((await stranger.get('/api/plugins/unknown/actions')).statusCode, 404)
})

t.test('what one replica is told, every other one answers at once', async (t) => {
  const { tenant } = await shop(t)
  const replica = await appOn(t, service.databaseUrl)
  const there = clientFor(replica, tenant.id, TEST_PLATFORM_KEY)
  for (let round = 0; round < 20; round++) {
    await registerActions(t, tenant, 'crm', [{ action_type: `round_${round}`, title: 'Round' }])
    t.strictSame(
      (await discover(t, there, '&plugin=crm')).map(({ action_type }) => action_type),
      [`round_${round}`],
    )
  }
})

function nameOf({ action_type, plugin }: RegistryAction): string {
  return plugin === null ? action_type : `${action_type} (${plugin})`
}
