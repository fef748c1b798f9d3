import t from 'tap'
import { measure } from '#infra/quota-repository.ts'
import { clientFor, startApp, type Tenant } from '#test/support/app.ts'

const service = await startApp(t)

interface Quota {
  used: number
  limit: number
  default: number
}

async function usage(shop: Tenant): Promise<Record<string, Quota>> {
  const response = await shop.get('/api/usage')
  return response.json<{ quotas: Record<string, Quota> }>().quotas
}

const plugin = (slug: string, events: unknown[] = ['order.created']) => ({
  name: slug,
  slug,
  webhook_url: 'https://plugin.example/hook',
  events,
})
const filtered = (value: string) => [
  { event: 'order.created', filter: { field: 'a', operator: 'in', value: [value] } },
]
const flow = (name: string, status = 'active') => ({
  name,
  status,
  trigger: { type: 'event', event_types: ['order.created'] },
  steps: [{ id: 'note', type: 'set', variables: { a: 1 } }],
})

t.test('usage shows every quota with its default, also of a shop that nothing was done for', async (t) => {
  const quotas = await usage(service.tenant())
  t.strictSame(Object.keys(quotas).sort(), [
    'active_flow_bytes',
    'active_flows',
    'connections',
    'dispatches_per_minute',
    'events_per_minute',
    'filter_bytes',
    'flow_templates',
    'keys',
    'plugins',
    'stored_bytes',
    'variable_bytes',
    'variables',
    'waiting_executions',
  ])
  for (const [name, { used, limit, default: usual }] of Object.entries(quotas)) {
    t.equal(used, 0, name)
    t.equal(limit, usual, name)
    t.ok(limit > 0, name)
  }
})

t.test('a shop has no more plugins than it may, and is told which quota it is', async (t) => {
  const shop = service.tenant()
  const set = await shop.put('/api/tenant/quotas', { plugins: 2 })
  t.equal(set.statusCode, 200, set.body)
  t.match(set.json(), { quotas: { plugins: { used: 0, limit: 2 } } })
  t.equal((await shop.post('/api/plugins', plugin('one'))).statusCode, 201)
  t.equal((await shop.post('/api/plugins', plugin('two'))).statusCode, 201)
  const refused = await shop.post('/api/plugins', plugin('three'))
  t.equal(refused.statusCode, 422)
  t.match(refused.json(), { code: 'quota_exceeded', quota: 'plugins', limit: 2, used: 3 })
  t.match(await usage(shop), { plugins: { used: 2, limit: 2 } })
  t.equal((await shop.delete('/api/plugins/one')).statusCode, 204)
  t.equal((await shop.post('/api/plugins', plugin('three'))).statusCode, 201)
  t.equal(
    (await service.tenant().post('/api/plugins', plugin('one'))).statusCode,
    201,
    'others have their own',
  )
})

t.test('several at once do not get past it', async (t) => {
  const shop = service.tenant()
  await shop.put('/api/tenant/quotas', { plugins: 3 })
  const answers = await Promise.all(
    Array.from({ length: 8 }, (_, n) => shop.post('/api/plugins', plugin(`p-${n}`))),
  )
  t.equal(answers.filter(({ statusCode }) => statusCode === 201).length, 3)
  t.match(await usage(shop), { plugins: { used: 3 } })
})

t.test('filters are counted in bytes, and may always become smaller', async (t) => {
  const shop = service.tenant()
  t.equal((await shop.post('/api/plugins', plugin('one', filtered('x'.repeat(3_000))))).statusCode, 201)
  await shop.put('/api/tenant/quotas', { filter_bytes: 2_000 })
  const refused = await shop.post('/api/plugins', plugin('two', filtered('y')))
  t.match(refused.json(), { status: 422, code: 'quota_exceeded', quota: 'filter_bytes' })
  const larger = await shop.patch('/api/plugins/one', { events: filtered('x'.repeat(3_500)) })
  t.match(larger.json(), { status: 422, quota: 'filter_bytes' })
  const smaller = await shop.patch('/api/plugins/one', { events: filtered('x'.repeat(2_500)) })
  t.equal(smaller.statusCode, 200, smaller.body)
  t.equal((await shop.patch('/api/plugins/one', { name: 'Another' })).statusCode, 200)
  t.equal((await shop.patch('/api/plugins/one', { events: filtered('x') })).statusCode, 200)
  t.equal((await shop.post('/api/plugins', plugin('two', filtered('y')))).statusCode, 201)
})

t.test('filters of nearly a megabyte each end at the default, and intake goes on', async (t) => {
  const shop = service.tenant()
  const value = Array.from({ length: 100 }, (_, n) => String(n).padStart(9_000, 'x'))
  const events = [{ event: 'order.created', filter: { field: 'a', operator: 'in', value } }]
  const codes: number[] = []
  for (let n = 0; n < 6; n++)
    codes.push((await shop.post('/api/plugins', plugin(`large-${n}`, events))).statusCode)
  t.strictSame(codes, [201, 201, 201, 201, 422, 422])
  const sent = await shop.post('/api/events', { event: 'order.created', data: { a: value[7] } })
  t.match(sent.json(), { deliveries: 4 }, sent.body)
})

t.test('keys and active flows', async (t) => {
  const shop = service.tenant()
  await shop.put('/api/tenant/quotas', { keys: 1, active_flows: 1, active_flow_bytes: 100_000 })
  const key = { kind: 'tenant', name: 'k', role: 'viewer' }
  t.equal((await shop.post('/api/keys', key)).statusCode, 201)
  t.match((await shop.post('/api/keys', key)).json(), { status: 422, quota: 'keys' })
  t.equal((await shop.post('/api/automation/flows', flow('first'))).statusCode, 201)
  t.match((await shop.post('/api/automation/flows', flow('second'))).json(), {
    status: 422,
    quota: 'active_flows',
  })
  const draft = await shop.post('/api/automation/flows', flow('second', 'draft'))
  t.equal(draft.statusCode, 201, 'a draft runs nothing')
  const { id } = draft.json<{ id: string }>()
  t.match((await shop.post(`/api/automation/flows/${id}/publish`, {})).json(), { quota: 'active_flows' })
  const { active_flow_bytes: bytes } = await usage(shop)
  t.ok((bytes?.used ?? 0) > 100)
  await shop.put('/api/tenant/quotas', { active_flow_bytes: (bytes?.used ?? 0) + 10 })
  t.match((await shop.post(`/api/automation/flows/${id}/publish`, {})).json(), { quota: 'active_flow_bytes' })
  await shop.put('/api/tenant/quotas', {})
  t.equal((await shop.post(`/api/automation/flows/${id}/publish`, {})).statusCode, 200)
})

t.test('executions that wait: a run is refused, what an event starts is on record', async (t) => {
  const shop = service.tenant()
  await shop.put('/api/tenant/quotas', { waiting_executions: 2 })
  const waiting = (trigger: object) => ({
    name: 'waits',
    status: 'active',
    trigger,
    steps: [{ id: 'wait', type: 'delay', duration: '1 day' }],
  })
  const made = await shop.post('/api/automation/flows', waiting({ type: 'manual' }))
  const run = `/api/automation/flows/${made.json<{ id: string }>().id}/run`
  const key = { 'idempotency-key': 'first' }
  t.equal((await shop.post(run, { input: {} }, key)).statusCode, 202)
  t.equal((await shop.post(run, { input: {} })).statusCode, 202)
  const refused = (await shop.post(run, { input: {} })).json<object>()
  t.match(refused, { status: 422, quota: 'waiting_executions', limit: 2 })
  t.notOk('used' in refused, 'which is not counted beyond the limit')
  t.match(
    (await shop.post(run, { input: {} }, key)).json(),
    { status: 'duplicate' },
    'the same is no new one',
  )
  const { waiting_executions: quota } = await usage(shop)
  t.match(quota, { used: 2, limit: 2, default: 1_000_000 })
  t.equal(await measure(service.db, shop.id, 'waiting_executions', 1), 1, 'no more of them are looked at')
  await shop.put('/api/tenant/quotas', { waiting_executions: 1 })
  t.match(
    (await usage(shop))['waiting_executions'],
    { used: 2, limit: 1 },
    'what is beyond a lower limit is told',
  )

  await shop.post('/api/automation/flows', waiting({ type: 'event', event_types: ['order.created'] }))
  await shop.post('/api/events', { event: 'order.created', data: {} })
  await shop.post('/api/automations/run')
  const skipped = await shop.get('/api/automation/executions?status=skipped')
  t.match(skipped.json(), { data: [{ trigger_kind: 'event', reason: 'waiting_executions' }] })
})

t.test('events and dispatched actions in a minute', async (t) => {
  const shop = service.tenant()
  await shop.put('/api/tenant/quotas', { events_per_minute: 3, dispatches_per_minute: 1 })
  const event = { event: 'order.created', data: {} }
  t.equal((await shop.post('/api/events', event)).statusCode, 202)
  t.match((await shop.post('/api/events', { events: [event, event] })).json(), { summary: { accepted: 2 } })
  const refused = await shop.post('/api/events', event)
  t.match(refused.json(), { status: 429, code: 'quota_rate_exceeded', quota: 'events_per_minute' })
  t.ok(Number(refused.headers['retry-after']) > 0)
  const batch = await shop.post('/api/events', { events: [event] })
  t.match(batch.json(), { summary: { rejected: 1 }, results: [{ problem: { quota: 'events_per_minute' } }] })
  t.match(await usage(shop), { events_per_minute: { used: 3, limit: 3 } })
  t.equal((await service.tenant().post('/api/events', event)).statusCode, 202)

  const dispatch = { events: [{ action_type: 'sing', payload: {} }] }
  t.equal((await shop.post('/api/plugins/events/automation', dispatch)).statusCode, 200)
  t.match((await shop.post('/api/plugins/events/automation', dispatch)).json(), {
    status: 429,
    quota: 'dispatches_per_minute',
  })
})

t.test('only the platform sets quotas; every key of the shop but a plugin’s reads its usage', async (t) => {
  const shop = service.tenant()
  const made = await shop.post('/api/keys', { kind: 'tenant', name: 'admin', role: 'admin' })
  const admin = clientFor(service.app, shop.id, made.json<{ key: string }>().key)
  t.equal((await admin.put('/api/tenant/quotas', { plugins: 5_000 })).statusCode, 403)
  t.equal((await admin.get('/api/usage')).statusCode, 200)
  t.equal((await shop.put('/api/tenant/quotas', { plugins: -1 })).statusCode, 400)
  t.equal((await shop.put('/api/tenant/quotas', { ponies: 1 })).statusCode, 400)
  await shop.put('/api/tenant/quotas', { plugins: 7 })
  const log = await shop.get('/api/audit-log')
  t.match(log.body, /tenant.quotas_set/)
})
