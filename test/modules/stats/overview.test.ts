import { sql } from 'kysely'
import t from 'tap'
import { auditAll } from '#infra/audit.ts'
import { SYSTEM_ACTOR } from '#infra/auth/auth.ts'
import { newId } from '#lib/ids.ts'
import { taskFlow } from '#test/modules/flow/support.ts'
import { startApp } from '#test/support/app.ts'
import { deliverDue, registerPlugin, sendEvent } from '#test/support/deliveries.ts'
import { analyze, rowsRead } from '#test/support/plans.ts'
import { seedPlugin } from '#test/support/plugin-row.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { selectLastChange } from '#modules/stats/overview-repository.ts'
import type { Overview } from '#modules/stats/overview-schemas.ts'
import { seedStats } from './support.ts'

const service = await startApp(t)
const { db } = service
type Tenant = ReturnType<typeof service.tenant>

async function read(tenant: Tenant, query = ''): Promise<Overview> {
  const answer = await tenant.get(`/api/overview${query}`)
  if (answer.statusCode !== 200) throw new Error(answer.body)
  return answer.json<Overview>()
}

const sum = (line: readonly number[]): number => line.reduce((all, count) => all + count, 0)

t.test('a shop without anything has nothing to look at', async (t) => {
  const overview = await read(service.tenant())
  t.match(overview, {
    step: '1h',
    counts: {
      deliveries: { attempts: 0, sent: 0, p50_ms: null },
      events: { accepted: 0, at_least: false },
      executions: { completed: 0, failed: 0 },
    },
    attention: [],
  })
  t.strictSame(overview.has, { plugin: false, event: false, flow: false })
  t.equal(overview.sparklines.sent.length, 24)
  const hour = await read(service.tenant(), '?hours=1')
  t.match(hour, { step: '5m' })
  t.equal(hour.sparklines.sent.length, 12)
  t.equal((await service.tenant().get('/api/overview?hours=0')).statusCode, 400)
  t.equal((await service.tenant().get('/api/overview?days=1')).statusCode, 400)
})

t.test('it counts what was delivered, and is read anew after a moment only', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  await registerPlugin(tenant, receiver.url)
  await sendEvent(tenant)
  await deliverDue(service, tenant)
  const overview = await read(tenant)
  t.match(overview.counts, { deliveries: { attempts: 1, sent: 1, first_try: 1 }, events: { accepted: 1 } })
  t.equal(sum(overview.sparklines.sent), 1)
  t.strictSame(overview.has, { plugin: true, event: true, flow: false })
  const now = performance.now()
  performance.now = () => now
  t.teardown(() => Reflect.deleteProperty(performance, 'now'))
  const kept = await read(tenant)
  await sendEvent(tenant)
  const [again, other] = [await read(tenant), await read(service.tenant())]
  t.strictSame(again, kept, 'what was read a moment ago')
  t.equal(other.counts.deliveries.sent, 0)
})

t.test('it tells of plugins that do not get their events, the gravest first', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  for (const slug of ['gone', 'paused', 'idle', 'broken', 'held', 'well']) {
    await registerPlugin(tenant, receiver.url, { slug })
  }
  await tenant.post('/api/plugins/idle/pause')
  await tenant.post('/api/plugins/paused/pause')
  await db
    .updateTable('plugins')
    .set({ status: 'disabled', status_reason: 'gone' })
    .where('tenant_id', '=', tenant.id)
    .where('slug', '=', 'gone')
    .execute()
  for (const [slug, breaker] of [
    ['broken', 'closed'],
    ['held', 'open'],
  ] as const) {
    const { id } = await db
      .selectFrom('plugins')
      .select('id')
      .where('tenant_id', '=', tenant.id)
      .where('slug', '=', slug)
      .executeTakeFirstOrThrow()
    await db
      .updateTable('delivery_lanes')
      .set({
        breaker_state: breaker,
        consecutive_failures: 7,
        failing_since: new Date(),
        last_error_class: 'timeout',
      })
      .where('plugin_id', '=', id)
      .execute()
  }
  await sendEvent(tenant)
  const { id: pausedId } = await db
    .selectFrom('plugins')
    .select('id')
    .where('tenant_id', '=', tenant.id)
    .where('slug', '=', 'idle')
    .executeTakeFirstOrThrow()
  await db.deleteFrom('deliveries').where('plugin_id', '=', pausedId).execute()
  const { attention } = await read(tenant)
  t.match(
    attention.map(({ kind, target, reason, count }) => [kind, target?.slug, reason, count]),
    [
      ['plugin_disabled', 'gone', 'gone', Number],
      ['breaker_open', 'held', 'timeout', 1],
      ['plugin_failing', 'broken', 'timeout', 7],
      ['plugin_paused', 'paused', 'manual', 1],
    ],
  )
  t.equal(attention.length, 4)
  for (const { links } of attention) {
    for (const link of Object.values(links)) t.equal((await tenant.get(link)).statusCode, 200, link)
  }
})

t.test('it tells of automations that are halted, paused or fail', async (t) => {
  const tenant = service.tenant()
  const ids: string[] = []
  for (const name of ['Fails', 'Fails seldom', 'Is paused']) {
    const answer = await tenant.post('/api/automation/flows', taskFlow({ name }))
    ids.push(answer.json<{ id: string }>().id)
  }
  const [fails = '', seldom = '', paused = ''] = ids
  const at = new Date()
  const seed = (flow: string, completed: number, failed: number) => [
    { at, keys: { flow_id: flow, error_code: '' }, counts: { completed }, latency: { 3: completed } },
    { at, keys: { flow_id: flow, error_code: 'http_5xx' }, counts: { failed }, latency: { 3: failed } },
  ]
  await seedStats(service, 'executions', tenant.id, [
    ...seed(fails, 6, 4),
    ...seed(seldom, 100, 4),
    ...seed(newId(), 0, 9),
  ])
  await db.updateTable('automation_flows').set({ status: 'paused' }).where('id', '=', paused).execute()
  await tenant.post('/api/automation/halt')
  const overview = await read(tenant)
  t.match(overview.counts.executions, { completed: 106, failed: 17 })
  t.match(overview.has, { plugin: false, flow: true })
  t.equal(sum(overview.sparklines.executions_failed), 17)
  t.match(overview.attention, [
    { kind: 'automations_halted', target: null },
    { kind: 'flow_paused', target: { type: 'flow', id: paused, name: 'Is paused' } },
    { kind: 'flow_failing', target: { id: fails }, reason: 'http_5xx', count: 4, share: 0.4 },
  ])
  t.equal(overview.attention.length, 3)
  for (const { links } of overview.attention) {
    for (const link of Object.values(links)) t.equal((await tenant.get(link)).statusCode, 200, link)
  }
})

t.test('what happens now is behind after five minutes, and a replay never is', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const live = await registerPlugin(tenant, receiver.url, { slug: 'live' })
  const replayed = await registerPlugin(tenant, receiver.url, { slug: 'replayed' })
  await sendEvent(tenant)
  const due = sql<Date>`now() - interval '6 minutes'`
  await db.updateTable('deliveries').set({ due_at: due }).where('plugin_id', '=', live.id).execute()
  await db
    .updateTable('deliveries')
    .set({ due_at: due, bulk: true })
    .where('plugin_id', '=', replayed.id)
    .execute()
  const { attention } = await read(tenant)
  t.match(attention, [{ kind: 'deliveries_behind', target: { slug: 'live' }, count: 1 }])
  t.equal(attention.length, 1)
})

t.test('many plugins of one kind keep none of another from being told', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id } = await registerPlugin(tenant, receiver.url, { slug: 'held' })
  for (let n = 0; n < 110; n++) {
    await seedPlugin(db, tenant.id, { slug: `disabled-${n}`, status: 'disabled' })
    await seedPlugin(db, tenant.id, { slug: `paused-${n}`, status: 'paused' })
  }
  await db
    .updateTable('delivery_lanes')
    .set({ breaker_state: 'open', failing_since: new Date(), last_error_class: 'timeout' })
    .where('plugin_id', '=', id)
    .execute()
  const { attention } = await read(tenant)
  const kinds = attention.map(({ kind }) => kind)
  t.strictSame(kinds, [...Array.from({ length: 20 }, () => 'plugin_disabled'), 'breaker_open'])
})

t.test('a flow that fails is told beside larger ones, and one that was deleted is not', async (t) => {
  const tenant = service.tenant()
  const ids: string[] = []
  for (let n = 0; n < 12; n++) {
    const answer = await tenant.post('/api/automation/flows', taskFlow({ name: `Flow ${n}` }))
    ids.push(answer.json<{ id: string }>().id)
  }
  const [fails = '', deleted = '', ...large] = ids
  const at = new Date()
  const ended = (flow: string, code: string, counts: Record<string, number>) => ({
    at,
    keys: { flow_id: flow, error_code: code },
    counts,
  })
  await seedStats(service, 'executions', tenant.id, [
    ended(fails, '', { completed: 2 }),
    ended(fails, 'template_error', { failed: 1 }),
    ended(fails, 'timeout', { failed: 2 }),
    ended(deleted, 'timeout', { failed: 9 }),
    ...large.map((flow) => ended(flow, '', { completed: 1_000 })),
  ])
  t.equal((await tenant.delete(`/api/automation/flows/${deleted}`)).statusCode, 204)
  const { counts, attention } = await read(tenant)
  t.match(counts.executions, { completed: 10_002, failed: 12 })
  t.match(attention, [
    { kind: 'flow_failing', target: { id: fails, name: 'Flow 0' }, reason: 'timeout', count: 3, share: 0.6 },
  ])
  t.equal(attention.length, 1)
})

t.test('what somebody changes is told at once, however often it was asked', async (t) => {
  const tenant = service.tenant()
  t.strictSame((await read(tenant)).attention, [])
  t.equal((await tenant.post('/api/automation/halt')).statusCode, 200)
  t.match((await read(tenant)).attention, [{ kind: 'halted' }])
  t.equal((await tenant.post('/api/automation/resume', {})).statusCode, 200)
  t.strictSame((await read(tenant)).attention, [])
})

t.test('what changes nothing lets the overview stand as it was read', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  await registerPlugin(tenant, receiver.url, { slug: 'mailer' })
  const made = await tenant.post('/api/automation/flows', {
    ...taskFlow({ name: 'By hand' }),
    trigger: { type: 'manual' },
    status: 'active',
  })
  t.equal(made.statusCode, 201, made.body)
  const flow = `/api/automation/flows/${made.json<{ id: string }>().id}`
  const { key } = (await tenant.post('/api/keys', { name: 'desk', kind: 'tenant', role: 'viewer' })).json<{
    key: string
  }>()
  const now = performance.now()
  performance.now = () => now
  t.teardown(() => Reflect.deleteProperty(performance, 'now'))
  const kept = await read(tenant)
  t.equal(kept.counts.events.accepted, 0)
  // It is seen in an overview that is read anew.
  await sendEvent(tenant)
  for (const [action, does] of [
    [
      'actions.dispatched',
      () => tenant.post('/api/events/automation', { events: [{ action_type: 'x', payload: {} }] }),
    ],
    ['flow.tested', () => tenant.post(`${flow}/test`, {})],
    ['flow.run', () => tenant.post(`${flow}/run`, {})],
    ['flow.exported', () => tenant.get(`${flow}/export`)],
    ['plugin.tested', () => tenant.post('/api/plugins/mailer/test', {})],
    ['deliveries.processed', () => tenant.post('/api/plugins/events')],
    ['automations.run_due', () => tenant.post('/api/automations/run')],
    ['session.started', () => service.app.inject({ method: 'POST', url: '/api/session', payload: { key } })],
  ] as const) {
    const answer = await does()
    t.ok(answer.statusCode < 300, `${action}: ${answer.body}`)
    const logged = (await tenant.get(`/api/audit-log?action=${action}`)).json<{ data: unknown[] }>()
    t.equal(logged.data.length, 1, action)
    t.strictSame(await read(tenant), kept, action)
  }
  t.equal((await tenant.post('/api/plugins/mailer/pause')).statusCode, 200)
  t.equal((await read(tenant)).counts.events.accepted, 1, 'a change is told at once')
})

t.test('however much was done since the last change, that is found at once', async (t) => {
  const tenant = service.tenant()
  await tenant.post('/api/automation/halt')
  const entry = { action: 'actions.dispatched', targetKind: 'dispatch', targetId: 'x' }
  const entries = Array.from({ length: 5_000 }, () => ({
    actor: SYSTEM_ACTOR,
    entry: { ...entry, tenantId: tenant.id },
  }))
  await auditAll(db, entries)
  await analyze(db, 'audit_log')
  const [rows = Infinity] = await rowsRead(service.app.pools.api, (each) => selectLastChange(each, tenant.id))
  t.ok(rows <= 2, `${rows} rows`)
})
