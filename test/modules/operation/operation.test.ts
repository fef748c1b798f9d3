import t from 'tap'
import { version } from '#infra/version.ts'
import type { Operation, TenantSummary } from '#modules/operation/schemas.ts'
import { subscribe } from '#test/modules/event/support.ts'
import { seedDelivery, seedEvent } from '#test/modules/replay/support.ts'
import { startApp, TEST_PLATFORM_KEY } from '#test/support/app.ts'

const service = await startApp(t)
const { app, db } = service
const asPlatform = (url: string) =>
  app.inject({ url, headers: { authorization: `Bearer ${TEST_PLATFORM_KEY}` } })

t.test('a platform key reads how the service stands, without a tenant', async (t) => {
  const tenant = service.tenant()
  const plugin = await subscribe(service, tenant.id, ['*'])
  const event = await seedEvent(db, tenant.id)
  await seedDelivery(db, tenant.id, plugin.id, event, 'pending', { dueAt: new Date(Date.now() - 60_000) })
  const lapsed = await subscribe(service, tenant.id, [])
  await db
    .insertInto('delivery_workers')
    .values([{ owner: 'worker-1' }, { owner: 'worker-2' }])
    .execute()
  await db
    .updateTable('delivery_lanes')
    .set({ lease_owner: 'worker-2', lease_until: new Date(Date.now() - 1_000) })
    .where('plugin_id', '=', lapsed.id)
    .execute()
  await db
    .updateTable('delivery_lanes')
    .set({ lease_owner: 'worker-1', lease_until: new Date(Date.now() + 3_600_000) })
    .where('plugin_id', '=', plugin.id)
    .execute()
  const answer = await asPlatform('/api/operation')
  t.equal(answer.statusCode, 200)
  const { queue, lanes, workers, background, ...rest } = answer.json<Operation>()
  t.match(rest, { version, migrations: { state: 'current' }, flows: { due: 0, oldest_due_seconds: 0 } })
  t.equal(queue.depth, 1)
  t.ok(queue.oldest_due_seconds >= 60)
  t.equal(queue.unattended_seconds, 0)
  t.match(queue.plugins, [{ tenant_id: tenant.id, slug: String, name: String, waiting: 1, is_held: true }])
  t.equal(queue.plugins.length, 1)
  t.ok((queue.plugins[0]?.oldest_due_seconds ?? 0) >= 60)
  t.strictSame(lanes, { held: 1, free: 1 })
  t.match(workers, [
    { id: 'worker-1', lanes: 1 },
    { id: 'worker-2', lanes: 0 },
  ])
  t.ok('delivery_retries' in background)
})

t.test('tenants are listed page by page, and found by the beginning of their ids', async (t) => {
  const tenant = service.tenant()
  await subscribe(service, tenant.id, ['*'])
  await tenant.post('/api/events', { event: 'a.b', data: {} })
  const list = async (query: string) =>
    (await asPlatform(`/api/tenants?${query}`)).json<{ data: TenantSummary[]; next_cursor: string | null }>()
  const { data } = await list(`q=${tenant.id.slice(0, 13)}`)
  t.match(data, [{ id: tenant.id, plugins: 1, flows: 0, waiting: 0 }])
  t.ok(data[0]?.last_event_at)
  const first = await list('limit=1')
  const rest = await list(`limit=200&cursor=${first.next_cursor}`)
  const ids = [...first.data, ...rest.data].map(({ id }) => id)
  t.strictSame(ids, ids.toSorted())
  t.ok(ids.includes(tenant.id))
  t.strictSame(await list('q=-'), { data: [], next_cursor: null })
  t.equal((await asPlatform('/api/tenants?q=shop')).statusCode, 400)
})
