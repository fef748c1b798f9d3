import { sql } from 'kysely'
import t from 'tap'
import type { Plugin } from '#modules/plugin/answer-schemas.ts'
import { selectQueues } from '#modules/plugin/repository.ts'
import { oldestQueues } from '#modules/webhook-delivery/index.ts'
import { seedDelivery, seedEvent } from '#test/modules/replay/support.ts'
import { seedStats } from '#test/modules/stats/support.ts'
import { startApp } from '#test/support/app.ts'
import { registerPlugin, type RegisteredPlugin } from '#test/support/deliveries.ts'
import { analyze, rowsRead } from '#test/support/plans.ts'

const service = await startApp(t)
const { db } = service
type Tenant = ReturnType<typeof service.tenant>

async function listed(tenant: Tenant): Promise<Map<string, Plugin>> {
  const { data } = (await tenant.get('/api/plugins')).json<{ data: Plugin[] }>()
  return new Map(data.map((plugin) => [plugin.slug, plugin]))
}

async function register(tenant: Tenant, ...slugs: string[]): Promise<RegisteredPlugin[]> {
  const made: RegisteredPlugin[] = []
  for (const slug of slugs) made.push(await registerPlugin(tenant, 'https://plugin.example/hook', { slug }))
  await db
    .updateTable('delivery_lanes')
    .set({ last_success_at: new Date() })
    .where('tenant_id', '=', tenant.id)
    .execute()
  return made
}

t.test('a list says how much waits for each plugin, and since when, but for replays', async (t) => {
  const tenant = service.tenant()
  const [late] = await register(tenant, 'late', 'idle')
  const event = await seedEvent(db, tenant.id)
  const dueAt = new Date(Date.now() - 41_000)
  await seedDelivery(db, tenant.id, late?.id ?? '', event, 'pending', { dueAt })
  const earlier = await seedEvent(db, tenant.id)
  await seedDelivery(db, tenant.id, late?.id ?? '', earlier, 'retry', {
    dueAt: new Date(dueAt.getTime() - 60_000),
  })
  await sql`update deliveries set bulk = true where tenant_id = ${tenant.id} and event_id = ${earlier}`.execute(
    db,
  )
  const plugins = await listed(tenant)
  t.match(plugins.get('late'), { waiting: 2, oldest_due_at: dueAt.toISOString() })
  t.match(plugins.get('idle'), { waiting: 0, oldest_due_at: null })
  const one = (await tenant.get('/api/plugins/late')).json<Plugin>()
  t.match(one, { waiting: 2, oldest_due_at: dueAt.toISOString() })
})

t.test('a plugin is slow while half of its answers take seconds, and failing comes first', async (t) => {
  const tenant = service.tenant()
  const [slow, quick, failing, before] = await register(tenant, 'slow', 'quick', 'failing', 'before')
  const answers = (id: string | undefined, latency: Record<number, number>, at = new Date()) => {
    const count = Object.values(latency).reduce((sum, each) => sum + each, 0)
    const keys = { plugin_id: id ?? '', event: 'order.created', error_class: '' }
    return { at, keys, counts: { attempts: count, sent: count }, latency }
  }
  // Classes of some 4 s and some 5 ms.
  await seedStats(service, 'deliveries', tenant.id, [
    answers(slow?.id, { 17: 6, 3: 4 }),
    answers(quick?.id, { 17: 4, 3: 6 }),
    answers(failing?.id, { 17: 6 }),
    answers(before?.id, { 17: 6 }, new Date(Date.now() - 600_000)),
  ])
  await db
    .updateTable('delivery_lanes')
    .set({ consecutive_failures: 1 })
    .where('plugin_id', '=', failing?.id ?? '')
    .execute()
  const plugins = await listed(tenant)
  const states = ['slow', 'quick', 'failing', 'before'].map((slug) => plugins.get(slug)?.health.state)
  t.strictSame(states, ['slow', 'healthy', 'failing', 'healthy'])
  t.ok((plugins.get('slow')?.health.answer_ms ?? 0) >= 2_000)
  t.equal(plugins.get('before')?.health.answer_ms, null)
})

t.test('what waits is counted up to a limit, by few rows, however much it is', async (t) => {
  const tenant = service.tenant()
  const [plugin] = await register(tenant, 'behind', 'well')
  const event = await seedEvent(db, tenant.id)
  const { id } = await seedDelivery(db, tenant.id, plugin?.id ?? '', event, 'pending', {}).then(async () =>
    db.selectFrom('deliveries').select('id').where('tenant_id', '=', tenant.id).executeTakeFirstOrThrow(),
  )
  await sql`insert into deliveries select (jsonb_populate_record(d, jsonb_build_object('id', gen_random_uuid(),
      'event_id', gen_random_uuid(), 'due_at', now() - n * interval '1 second'))).*
    from deliveries d, generate_series(1, 6000) n where d.id = ${id}`.execute(db)
  await analyze(db, 'deliveries')
  const { pools } = service.app
  const own = await rowsRead(pools.api, async (reader) => {
    const [queue] = await selectQueues(reader, tenant.id, [plugin?.id ?? ''], 100)
    t.equal(queue?.waiting, 100)
  })
  t.ok(Math.max(...own) < 300, own.join())
  t.match((await listed(tenant)).get('behind'), { waiting: 100 }, 'in a list no further')
  const [first] = await oldestQueues(pools.api)
  t.match(first, { slug: 'behind', waiting: 1_000, is_held: false })
  t.ok((first?.oldest_due_seconds ?? 0) >= 5_999)
})
