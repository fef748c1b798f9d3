import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { claimReplay } from '#modules/replay/job-repository.ts'
import { claimRecovery, type RecoveryJob } from '#modules/replay/recovery/job-repository.ts'
import type { RecoveredPlugin, Recovery } from '#modules/replay/recovery/schemas.ts'
import {
  type RecoveryWorkerContext,
  runRecoveryBatch,
  runRecoveryTurn,
} from '#modules/replay/recovery/worker.ts'
import type { Replay } from '#modules/replay/schemas.ts'
import { runReplayTurn } from '#modules/replay/worker.ts'
import { clientFor, startApp, TEST_PLATFORM_KEY, type Tenant } from '#test/support/app.ts'
import { deliveriesOf, hoursAgo, seedDelivery, seedEvent, seedPlugin } from './support.ts'

const service = await startApp(t)
const { app, db } = service

/** Small enough that a recovery of a few plugins takes several batches and turns. */
function worker(overrides: Partial<RecoveryWorkerContext> = {}): RecoveryWorkerContext {
  const { workerDb, signals, log } = app
  return { db: workerDb, signals, log, leaseMs: 30_000, batchSize: 3, maxOpen: 5, ...overrides }
}

async function runReplays(): Promise<void> {
  const ctx = { db: app.workerDb, signals: app.signals, leaseMs: 30_000, batchSize: 3, maxWaiting: 1_000 }
  while ((await runReplayTurn(ctx)) !== 'idle');
}

/** Ends leases and pauses. */
async function expireLeases(): Promise<void> {
  await db.updateTable('recoveries').set({ lease_until: null }).execute()
}

/** Works all recoveries off. */
async function runAll(ctx = worker()): Promise<void> {
  while ((await runRecoveryTurn(ctx)) !== 'idle') {
    await runReplays()
    await expireLeases()
  }
}

async function claim(): Promise<RecoveryJob> {
  const job = await claimRecovery(app.workerDb, 30_000)
  if (job === null) throw new Error('there is no recovery to claim')
  return job
}

/** A platform key that names no tenant. */
const platform = (method: 'GET' | 'POST', url: string, payload?: object) =>
  app.inject({
    method,
    url,
    headers: { authorization: `Bearer ${TEST_PLATFORM_KEY}` },
    ...(payload !== undefined && { payload }),
  })

async function open(tenant: Tenant, body: object = {}): Promise<string> {
  const answer = await tenant.post('/api/recoveries', { since: hoursAgo(100), ...body })
  if (answer.statusCode !== 202) throw new Error(answer.body)
  return answer.json<Recovery>().id
}

async function pluginsOf(tenant: Tenant, id: string): Promise<RecoveredPlugin[]> {
  const found: RecoveredPlugin[] = []
  for (let cursor: string | null = ''; cursor !== null;) {
    const query: string = cursor === '' ? '' : `&cursor=${cursor}`
    const answer = await tenant.get(`/api/recoveries/${id}/plugins?limit=5${query}`)
    const body = answer.json<{ data: RecoveredPlugin[]; next_cursor: string | null }>()
    found.push(...body.data)
    cursor = body.next_cursor
  }
  return found
}

t.test('one job delivers to every plugin what it has never got, after it has counted it', async (t) => {
  const tenant = service.tenant()
  const stranger = service.tenant()
  const foreign = await seedPlugin(db, stranger.id)
  await seedEvent(db, stranger.id, { at: hoursAgo(3) })
  const plugins = []
  for (let count = 0; count < 12; count++) plugins.push(await seedPlugin(db, tenant.id))
  const others = await seedPlugin(db, tenant.id, { subscriptions: ['product.*'] })
  const sent = await seedEvent(db, tenant.id, { at: hoursAgo(4) })
  const failed = await seedEvent(db, tenant.id, { at: hoursAgo(3) })
  const waiting = await seedEvent(db, tenant.id, { at: hoursAgo(2) })
  const missed = await seedEvent(db, tenant.id, { at: hoursAgo(1) })
  await seedEvent(db, tenant.id, { at: hoursAgo(200) })
  for (const { id } of plugins) {
    await seedDelivery(db, tenant.id, id, sent, 'sent')
    await seedDelivery(db, tenant.id, id, failed, 'failed')
    await seedDelivery(db, tenant.id, id, waiting, 'retry', { dueAt: hoursAgo(-1) })
  }

  const dry = await open(tenant, { dry_run: true })
  await runAll()
  const counted = (await tenant.get(`/api/recoveries/${dry}`)).json<Recovery>()
  t.match(counted, { status: 'completed', dry_run: true, plugins: 13, plugins_open: 0, queued: 24 })
  const bySlug = new Map((await pluginsOf(tenant, dry)).map((each) => [each.plugin, each]))
  t.equal(bySlug.size, 13)
  for (const { slug } of plugins) t.match(bySlug.get(slug), { status: 'completed', queued: 2, skipped: 0 })
  t.match(bySlug.get(others.slug), { queued: 0 })
  t.equal((await deliveriesOf(db, plugins[0]?.id ?? '')).size, 3, 'a dry run writes nothing')

  const id = await open(tenant)
  await runAll()
  const done = (await tenant.get(`/api/recoveries/${id}`)).json<Recovery>()
  t.match(done, { status: 'completed', plugins: 13, queued: 24, scanned: counted.scanned, error: null })
  t.ok(done.finished_at)
  for (const plugin of plugins) {
    const deliveries = await deliveriesOf(db, plugin.id)
    t.match(deliveries.get(failed), { status: 'pending', reason: 'replay', bulk: true })
    t.match(deliveries.get(missed), { status: 'pending', reason: 'replay', bulk: true })
    t.match(deliveries.get(sent), { status: 'sent', resend: 0 })
    t.match(deliveries.get(waiting), { status: 'retry', bulk: false })
    t.equal(deliveries.size, 4, 'nothing from before')
  }
  t.equal((await deliveriesOf(db, foreign.id)).size, 0)
  const replays = await tenant.get('/api/replays')
  t.match(replays.json(), { data: [{ recovery: id, dry_run: false, delivery_status: 'undelivered' }] })
})

t.test('a platform key recovers all tenants, if it says so', async (t) => {
  const tenants = [service.tenant(), service.tenant()]
  const plugins: { id: string; slug: string }[] = []
  for (const { id } of tenants) {
    plugins.push(await seedPlugin(db, id))
    await seedEvent(db, id, { event: 'order.recovered', at: hoursAgo(1) })
  }
  const body = { since: hoursAgo(2), event: 'order.recovered' }
  const unsaid = await platform('POST', '/api/recoveries', body)
  t.equal(unsaid.json<{ code: string }>().code, 'tenant_required')
  const created = await platform('POST', '/api/recoveries', { ...body, all_tenants: true })
  t.equal(created.statusCode, 202, created.body)
  const { id } = created.json<Recovery>()
  t.equal(created.headers.location, `/api/recoveries/${id}`)
  await runAll()
  t.match((await platform('GET', `/api/recoveries/${id}`)).json(), {
    status: 'completed',
    tenant_id: null,
    queued: 2,
  })
  for (const plugin of plugins) t.equal((await deliveriesOf(db, plugin.id)).size, 1)
  const { data } = (await platform('GET', `/api/recoveries/${id}/plugins?limit=200`)).json<{
    data: RecoveredPlugin[]
  }>()
  for (const [index, tenant] of tenants.entries()) {
    t.match(
      data.find(({ plugin }) => plugin === plugins[index]?.slug),
      { tenant_id: tenant.id, queued: 1 },
    )
    t.equal((await tenant.get(`/api/recoveries/${id}`)).statusCode, 404, 'it is no business of a tenant')
  }
  t.match((await platform('GET', '/api/recoveries?limit=1')).json(), { data: [{ id }] })
  t.match((await platform('GET', '/api/audit-log')).json(), {
    data: [{ action: 'recovery.created', target_id: id }],
  })
})

t.test('says what is wrong with a request', async (t) => {
  const tenant = service.tenant()
  const pointerOf = async (body: object): Promise<string | undefined> => {
    const answer = await tenant.post('/api/recoveries', body)
    t.equal(answer.statusCode, 400, answer.body)
    return answer.json<{ errors?: { pointer: string }[] }>().errors?.[0]?.pointer
  }
  t.equal(await pointerOf({}), '/since')
  t.equal(await pointerOf({ since: '9999-01-01T00:00:00Z' }), '/since')
  t.equal(await pointerOf({ since: hoursAgo(1), until: 'soon' }), '/until')
  t.equal(await pointerOf({ since: hoursAgo(1), event: 'order *' }), '/event')
  t.equal(await pointerOf({ since: hoursAgo(1), status: 'lost' }), '/status')
  t.equal(await pointerOf({ since: hoursAgo(1), all_tenants: true }), '/all_tenants')
  const made = await tenant.post('/api/keys', { name: 'admin', kind: 'tenant', role: 'admin' })
  const { key } = made.json<{ key: string }>()
  const asked = { since: hoursAgo(1), all_tenants: true }
  t.equal((await clientFor(app, tenant.id, key).post('/api/recoveries', asked)).statusCode, 403)
})

t.test('chooses by status: what has failed, or all that is subscribed to', async (t) => {
  const tenant = service.tenant()
  const plugin = await seedPlugin(db, tenant.id)
  const sent = await seedEvent(db, tenant.id, { at: hoursAgo(3) })
  const failed = await seedEvent(db, tenant.id, { at: hoursAgo(2) })
  await seedEvent(db, tenant.id, { at: hoursAgo(1) })
  await seedDelivery(db, tenant.id, plugin.id, sent, 'sent')
  await seedDelivery(db, tenant.id, plugin.id, failed, 'failed')
  for (const [status, queued] of [
    ['failed', 1],
    ['sent', 1],
    ['undelivered', 2],
    ['any', 3],
  ] as const) {
    const id = await open(tenant, { status, dry_run: true })
    await runAll()
    t.match((await tenant.get(`/api/recoveries/${id}`)).json(), { queued, status: 'completed' }, status)
  }
  const url = `/api/plugins/${plugin.slug}/replays`
  t.match((await tenant.post(url, { status: 'undelivered', dry_run: true })).json(), { count: 2 })
  const { id } = (await tenant.post(url, { status: 'undelivered' })).json<Replay>()
  await runReplays()
  t.match((await tenant.get(`/api/replays/${id}`)).json(), { queued: 2, recovery: null, dry_run: false })
})

t.test('goes on where another worker was, and leaves no plugin out and none twice', async (t) => {
  const tenant = service.tenant()
  for (let count = 0; count < 8; count++) await seedPlugin(db, tenant.id)
  const id = await open(tenant)
  const frozen = await claim()
  t.equal(await runRecoveryBatch(worker(), frozen), 'more')
  await expireLeases()
  const next = await claim()
  t.equal(next.cursor, frozen.cursor)
  t.equal(await runRecoveryBatch(worker({ maxOpen: 100 }), next), 'more')
  t.equal(await runRecoveryBatch(worker(), frozen), 'ended', 'who lost it writes nothing')
  await expireLeases()
  await runAll()
  const plugins = await pluginsOf(tenant, id)
  t.equal(plugins.length, 8)
  t.equal(new Set(plugins.map(({ plugin }) => plugin)).size, 8)
})

t.test('a cancelled recovery ends with its replays, a finished one cannot be cancelled', async (t) => {
  const tenant = service.tenant()
  for (let count = 0; count < 4; count++) await seedPlugin(db, tenant.id)
  const id = await open(tenant)
  const job = await claim()
  await runRecoveryBatch(worker(), job)
  const cancelled = await tenant.post(`/api/recoveries/${id}/cancel`)
  t.match(cancelled.json(), { status: 'cancelled' })
  t.equal(await runRecoveryBatch(worker(), job), 'ended')
  t.strictSame(
    (await pluginsOf(tenant, id)).map(({ status }) => status),
    ['cancelled', 'cancelled', 'cancelled'],
  )
  t.equal((await tenant.post(`/api/recoveries/${id}/cancel`)).statusCode, 200)

  const finished = await open(tenant)
  await runAll()
  const late = await tenant.post(`/api/recoveries/${finished}/cancel`)
  t.match(late.json(), { status: 409, code: 'recovery_finished' })
})

/** Has the database refuse to give this plugin a replay. */
async function refuseReplayOf(t: Test, pluginId: string, sqlState: string): Promise<void> {
  const drop = () => sql`drop function if exists refuse_replay() cascade`.execute(db)
  await drop()
  await sql`
    create function refuse_replay() returns trigger language plpgsql as ${sql.lit(
      `begin raise exception 'refused' using errcode = '${sqlState}'; end`,
    )}`.execute(db)
  await sql`
    create trigger refuse_replay before insert on replays for each row
    when (new.plugin_id = ${sql.lit(pluginId)}) execute function refuse_replay()`.execute(db)
  t.teardown(drop)
}

t.test('one that cannot go on has failed, says so, and ends its replays', async (t) => {
  const tenant = service.tenant()
  const first = await seedPlugin(db, tenant.id)
  await seedPlugin(db, tenant.id)
  await seedPlugin(db, tenant.id)
  const refused = await seedPlugin(db, tenant.id)
  await seedEvent(db, tenant.id, { at: hoursAgo(1) })
  const id = await open(tenant)
  const job = await claim()
  t.equal(await runRecoveryBatch(worker(), job), 'more')
  await runReplayTurn({ ...worker(), batchSize: 10, maxWaiting: 1_000 }, undefined, 'recovery')
  await expireLeases()

  await refuseReplayOf(t, refused.id, '40001')
  await t.rejects(runRecoveryTurn(worker()), { message: 'refused' })
  t.match((await tenant.get(`/api/recoveries/${id}`)).json(), { status: 'running' }, 'what passes is no end')

  await expireLeases()
  await refuseReplayOf(t, refused.id, 'P0001')
  t.equal(await runRecoveryTurn(worker()), 'more')
  const failed = (await tenant.get(`/api/recoveries/${id}`)).json<Recovery>()
  t.match(failed, { status: 'failed', plugins: 3, plugins_open: 0, queued: 1, scanned: 1 })
  t.match(failed.error, job.cursor ?? 'no cursor')
  t.ok(failed.finished_at)
  const replays = await pluginsOf(tenant, id)
  t.match(
    replays.map(({ status }) => status),
    ['completed', 'cancelled', 'cancelled'],
  )
  t.match(replays[1], { error: /has failed/ })
  t.equal((await deliveriesOf(db, first.id)).size, 1, 'what was queued stays so')
  t.equal(await runRecoveryTurn(worker()), 'idle')
})

t.test(
  'while its replays are worked off it says how far it is, and asks to be looked at again',
  async (t) => {
    const tenant = service.tenant()
    for (let count = 0; count < 7; count++) await seedPlugin(db, tenant.id)
    await seedEvent(db, tenant.id, { at: hoursAgo(1) })
    const id = await open(tenant)
    const look = async () => (await tenant.get(`/api/recoveries/${id}`)).json<Recovery>()
    t.match(await runRecoveryTurn(worker()), { pauseMs: Number })
    t.match(await look(), { status: 'running', plugins: 5, plugins_open: 5, queued: 0 })
    const replays = { ...worker(), batchSize: 10, maxWaiting: 1_000 }
    for (let count = 0; count < 2; count++) await runReplayTurn(replays)
    await expireLeases()
    t.match(await runRecoveryTurn(worker()), { pauseMs: Number })
    t.match(await look(), { plugins: 7, plugins_open: 5, queued: 2, scanned: 2 })
    await expireLeases()
    await runAll()
    t.match(await look(), { status: 'completed', plugins: 7, plugins_open: 0, queued: 7 })
  },
)

t.test('three may be open, and a plugin may have its own replays beside them', async (t) => {
  const tenant = service.tenant()
  const { slug } = await seedPlugin(db, tenant.id)
  const body = { since: hoursAgo(1) }
  const answers = await Promise.all([1, 2, 3, 4].map(() => tenant.post('/api/recoveries', body)))
  t.strictSame(answers.map(({ statusCode }) => statusCode).sort(), [202, 202, 202, 409])
  for (const answer of answers)
    if (answer.statusCode === 409) t.match(answer.json(), { code: 'too_many_recoveries' })
  const job = await claim()
  await runRecoveryBatch(worker(), job)
  for (let count = 0; count < 10; count++) {
    t.equal((await tenant.post(`/api/plugins/${slug}/replays`, {})).statusCode, 202)
  }
  t.equal((await tenant.post(`/api/plugins/${slug}/replays`, {})).statusCode, 409)
  await expireLeases()
  await runAll()
})

t.test('replays of a recovery and those that were asked for one by one take turns', async (t) => {
  const tenant = service.tenant()
  for (let count = 0; count < 3; count++) await seedPlugin(db, tenant.id)
  const { slug } = await seedPlugin(db, tenant.id)
  const id = await open(tenant)
  await runRecoveryBatch(worker(), await claim())
  const own = (await tenant.post(`/api/plugins/${slug}/replays`, {})).json<Replay>().id
  t.equal((await claimReplay(app.workerDb, 30_000, 'own'))?.id, own)
  const next = await claimReplay(app.workerDb, 30_000, 'recovery')
  t.ok((await pluginsOf(tenant, id)).some(({ replay }) => replay === next?.id))
  await db.updateTable('replays').set({ lease_until: null }).execute()
  await expireLeases()
  await runAll()
})
