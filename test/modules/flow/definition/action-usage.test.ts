import t from 'tap'
import { clientFor, startApp, type Tenant } from '#test/support/app.ts'

const service = await startApp(t)
const ACTION = {
  action_type: 'send_coupon',
  title: 'Send coupon',
  description: 'Sends a coupon',
  endpoint: '/coupon',
}
const MANIFEST_ACTION = {
  id: 'send_offer',
  name: 'Send offer',
  description: 'Sends an offer',
  endpoint: '/offer',
}

async function connect(shop: Tenant, slug: string, actions: object[]): Promise<void> {
  const made = await shop.post('/api/plugins', {
    name: slug,
    slug,
    webhook_url: 'http://127.0.0.1:9/hook',
    events: [],
  })
  t.equal(made.statusCode, 201, made.body)
  await register(shop, slug, actions)
}

async function register(shop: Tenant, slug: string, actions: object[]): Promise<{ breaks: unknown }> {
  const answer = await shop.post(`/api/plugins/${slug}/register-actions`, { actions })
  t.equal(answer.statusCode, 200, answer.body)
  return answer.json()
}

async function give(shop: Tenant, slug: string, actions: object[]): Promise<{ breaks: unknown }> {
  const answer = await shop.put(`/api/plugins/${slug}/manifest`, {
    name: slug,
    slug,
    version: '1.0.0',
    capabilities: { triggers: [], actions, conditions: [] },
  })
  t.equal(answer.statusCode, 200, answer.body)
  return answer.json()
}

async function createFlow(shop: Tenant, name: string, action: object): Promise<{ id: string }> {
  const answer = await shop.post('/api/automation/flows', {
    name,
    status: 'draft',
    trigger: { type: 'event', event_types: ['order.created'] },
    steps: [{ id: 'step_1', type: 'action', config: {}, ...action }],
  })
  t.equal(answer.statusCode, 201, answer.body)
  return answer.json()
}

t.test('who removes an action is told which flows use it', async (t) => {
  const shop = service.tenant()
  await connect(shop, 'coupons', [ACTION])
  const bySlug = await createFlow(shop, 'by slug', { action_id: 'send_coupon', plugin_id: 'coupons' })
  const byNone = await createFlow(shop, 'by its name alone', { action_id: 'send_coupon' })
  await createFlow(shop, "another plugin's", { action_id: 'send_coupon', plugin_id: 'others' })
  await createFlow(shop, 'another action', { action_id: 'send_email', plugin_id: 'platform' })
  await createFlow(service.tenant(), "another shop's", { action_id: 'send_coupon', plugin_id: 'coupons' })

  t.strictSame((await register(shop, 'coupons', [ACTION])).breaks, [])
  const users = [
    { id: bySlug.id, name: 'by slug', status: 'draft' },
    { id: byNone.id, name: 'by its name alone', status: 'draft' },
  ]
  const usage = { data: [{ action_type: 'send_coupon', flows: users }] }
  t.strictSame((await shop.get('/api/plugins/coupons/usage')).json(), usage)
  const { key } = (await shop.post('/api/keys', { name: 'own', kind: 'plugin', plugin: 'coupons' })).json<{
    key: string
  }>()
  const own = await clientFor(service.app, shop.id, key).get('/api/plugins/coupons/usage')
  t.match(own.json(), { data: [{ flows: [{ id: bySlug.id, name: null }, { name: null }] }] })
  t.equal((await service.tenant().get('/api/plugins/coupons/usage')).statusCode, 404)
  t.strictSame((await register(shop, 'coupons', [])).breaks, [
    {
      action_type: 'send_coupon',
      missing_fields: [],
      flows: [
        { id: bySlug.id, name: 'by slug', status: 'draft' },
        { id: byNone.id, name: 'by its name alone', status: 'draft' },
      ],
    },
  ])
})

t.test('a manifest that leaves an action out says so too, and its plugin is told no names', async (t) => {
  const shop = service.tenant()
  await connect(shop, 'offers', [])
  await give(shop, 'offers', [MANIFEST_ACTION])
  const flow = await createFlow(shop, 'weekly offers', { action_id: 'send_offer', plugin_id: 'offers' })
  const { key } = (await shop.post('/api/keys', { kind: 'plugin', name: 'offers', plugin: 'offers' })).json<{
    key: string
  }>()
  const expected = (name: string | null) => [
    { action_type: 'send_offer', missing_fields: [], flows: [{ id: flow.id, name, status: 'draft' }] },
  ]
  t.strictSame((await give(shop, 'offers', [])).breaks, expected('weekly offers'))
  await give(shop, 'offers', [MANIFEST_ACTION])
  const plugin = clientFor(service.app, shop.id, key)
  t.strictSame((await give(plugin, 'offers', [])).breaks, expected(null))
})

t.test(
  'what is moved, or what another plugin has as well, breaks only those who name the plugin',
  async (t) => {
    const shop = service.tenant()
    await connect(shop, 'first', [ACTION])
    await createFlow(shop, 'whoever has it', { action_id: 'send_coupon' })
    await connect(shop, 'second', [ACTION])
    t.strictSame((await register(shop, 'first', [])).breaks, [])
    const last = await register(shop, 'second', [])
    t.match(last.breaks, [{ action_type: 'send_coupon', flows: [{ name: 'whoever has it' }] }])
  },
)

t.test('who names no plugin means the first that has the action, also when it requires more', async (t) => {
  const shop = service.tenant()
  const more = { ...ACTION, required_fields: ['to', 'code'] }
  await connect(shop, 'first', [{ ...ACTION, required_fields: ['to'] }])
  await connect(shop, 'second', [{ ...ACTION, required_fields: ['to'] }])
  await createFlow(shop, 'whoever has it', { action_id: 'send_coupon', config: { to: 'a' } })
  t.strictSame((await register(shop, 'second', [more])).breaks, [], 'it is not the one that is meant')
  t.match((await register(shop, 'first', [more])).breaks, [
    { missing_fields: ['code'], flows: [{ name: 'whoever has it' }] },
  ])
})

t.test('who requires more is told which flows leave it out', async (t) => {
  const shop = service.tenant()
  const requires = (...required_fields: string[]) => ({ ...ACTION, required_fields })
  await connect(shop, 'coupons', [requires('to')])
  const give = (config: object) => ({ action_id: 'send_coupon', plugin_id: 'coupons', config })
  const none = await createFlow(shop, 'gives neither', give({ to: 'a' }))
  const half = await createFlow(shop, 'gives one', give({ to: 'a', code: 'b' }))
  await createFlow(shop, 'gives all', give({ to: 'a', code: '{{trigger.code}}', value: 5 }))
  t.strictSame((await register(shop, 'coupons', [requires('to', 'code', 'value')])).breaks, [
    {
      action_type: 'send_coupon',
      missing_fields: ['code', 'value'],
      flows: [
        { id: none.id, name: 'gives neither', status: 'draft' },
        { id: half.id, name: 'gives one', status: 'draft' },
      ],
    },
  ])
  t.strictSame((await register(shop, 'coupons', [requires('to', 'code', 'value')])).breaks, [], 'nothing new')
  t.strictSame((await register(shop, 'coupons', [requires('to')])).breaks, [], 'it requires less')
})

t.test('a manifest whose action requires more says so, by its schema as well', async (t) => {
  const shop = service.tenant()
  await connect(shop, 'offers', [])
  const takes = (input_schema: object) => ({ ...MANIFEST_ACTION, input_schema })
  await give(shop, 'offers', [takes({ list: 'string' })])
  await createFlow(shop, 'weekly offers', { action_id: 'send_offer', config: { to: 'a' } })
  const given = await give(shop, 'offers', [takes({ list: { type: 'string', required: true } })])
  t.match(given.breaks, [
    { action_type: 'send_offer', missing_fields: ['list'], flows: [{ name: 'weekly offers' }] },
  ])
})
