import t from 'tap'
import { claimReplay, type ReplayJob } from '#modules/replay/job-repository.ts'
import type { Replay } from '#modules/replay/schemas.ts'
import { type ReplayWorkerContext, runReplayBatch, runReplayTurn } from '#modules/replay/worker.ts'
import { startApp } from '#test/support/app.ts'
import { deliveriesOf, hoursAgo, seedDelivery, seedEvent, seedPlugin } from './support.ts'

const service = await startApp(t)
const { app, db } = service
const woken: string[] = []
app.signals.subscribe('deliveries_due', (ids) => woken.push(...ids))

function worker(overrides: Partial<ReplayWorkerContext> = {}): ReplayWorkerContext {
  return {
    db: app.workerDb,
    signals: app.signals,
    leaseMs: 30_000,
    batchSize: 3,
    maxWaiting: 1_000,
    ...overrides,
  }
}

async function runAll(ctx = worker()): Promise<void> {
  while ((await runReplayTurn(ctx)) !== 'idle');
}

async function claim(): Promise<ReplayJob> {
  const job = await claimReplay(app.workerDb, 30_000)
  if (job === null) throw new Error('there is no replay to claim')
  return job
}

async function expireLease(id: string): Promise<void> {
  await db
    .updateTable('replays')
    .set({ lease_until: hoursAgo(1) })
    .where('id', '=', id)
    .execute()
}

t.test('replays what the plugin subscribes to now, whatever became of it before', async (t) => {
  const tenant = service.tenant()
  const plugin = await seedPlugin(db, tenant.id, { subscriptions: ['order.*'] })
  const dueLater = hoursAgo(-5)
  const sent = await seedEvent(db, tenant.id, { at: hoursAgo(9) })
  const failed = await seedEvent(db, tenant.id, { at: hoursAgo(8) })
  const retried = await seedEvent(db, tenant.id, { at: hoursAgo(7) })
  const missed = await seedEvent(db, tenant.id, { at: hoursAgo(6) })
  const gone = await seedEvent(db, tenant.id, { at: hoursAgo(5), body: null })
  const other = await seedEvent(db, tenant.id, { at: hoursAgo(4), event: 'product.created' })
  await seedDelivery(db, tenant.id, plugin.id, sent, 'sent', { responseBodies: ['no', 'yes'] })
  await seedDelivery(db, tenant.id, plugin.id, failed, 'failed', { responseBodies: ['no'] })
  await seedDelivery(db, tenant.id, plugin.id, retried, 'retry', { responseBodies: ['no'], dueAt: dueLater })
  const stranger = service.tenant()
  await seedPlugin(db, stranger.id)
  const foreign = await seedEvent(db, stranger.id, { at: hoursAgo(6) })

  const url = `/api/plugins/${plugin.slug}/replays`
  const dry = await tenant.post(url, { dry_run: true })
  t.equal(dry.statusCode, 200)
  t.strictSame(dry.json(), { count: 4, skipped: 1, scanned: 6, complete: true })
  t.equal((await deliveriesOf(db, plugin.id)).size, 3, 'a dry run writes nothing')

  const created = await tenant.post(url, {})
  t.equal(created.statusCode, 202)
  const { id } = created.json<Replay>()
  t.equal(created.headers.location, `/api/replays/${id}`)
  t.match(created.json(), { status: 'queued', plugin: plugin.slug, delivery_status: null, event: null })
  await runAll()

  const replay = (await tenant.get(`/api/replays/${id}`)).json<Replay>()
  t.match(replay, { status: 'completed', scanned: 6, queued: 4, skipped: 1, error: null })
  t.ok(replay.finished_at)
  const deliveries = await deliveriesOf(db, plugin.id)
  t.strictSame([...deliveries.keys()].sort(), [sent, failed, retried, missed].sort())
  for (const eventId of [sent, failed]) {
    t.match(deliveries.get(eventId), {
      status: 'pending',
      reason: 'replay',
      round_failures: 0,
      sent_at: null,
    })
  }
  t.match(deliveries.get(sent), { resend: 1, attempt_count: 0 })
  t.match(
    await db
      .selectFrom('deliveries')
      .selectAll()
      .where('event_id', '=', sent)
      .where('resend', '=', 0)
      .execute(),
    [{ status: 'sent', attempt_count: 2, sent_at: Date }],
    'what was sent stays so',
  )
  t.match(deliveries.get(retried), { status: 'retry', reason: null, round_failures: 1 })
  t.match(deliveries.get(missed), { status: 'pending', reason: 'replay', event: 'order.created' })
  for (const { due_at } of deliveries.values()) t.ok(due_at && due_at <= new Date(), 'all of it is due')
  t.notOk(deliveries.has(gone) || deliveries.has(other) || deliveries.has(foreign))
  t.ok(woken.includes(plugin.id), 'delivery workers are told')

  const again = (await tenant.post(url, {})).json<Replay>()
  await runAll()
  t.equal((await deliveriesOf(db, plugin.id)).size, 4, 'a second replay queues nothing twice')
  t.match((await tenant.get(`/api/replays/${again.id}`)).json(), { status: 'completed', queued: 4 })
})

t.test('keeps to the time range, the event pattern and the filter', async (t) => {
  const tenant = service.tenant()
  const plugin = await seedPlugin(db, tenant.id, {
    subscriptions: [
      { event: 'order.*', filter: { field: 'total', operator: 'gt', value: 100 } },
      { event: 'order.paid', filter: null },
    ],
    status: 'paused',
  })
  const at = (hours: number) => ({ at: hoursAgo(hours) })
  await seedEvent(db, tenant.id, { ...at(10), data: { total: 500 } })
  const since = hoursAgo(9)
  const first = await seedEvent(db, tenant.id, { at: since, data: { total: 101 } })
  await seedEvent(db, tenant.id, { ...at(8), data: { total: 100 } })
  const paid = await seedEvent(db, tenant.id, { ...at(7), event: 'order.paid', data: { total: 1 } })
  const until = hoursAgo(6)
  await seedEvent(db, tenant.id, { at: until, data: { total: 500 } })
  const range = { since: since.toISOString(), until: until.toISOString() }
  const url = `/api/plugins/${plugin.slug}/replays`

  t.match((await tenant.post(url, { ...range, dry_run: true })).json(), { count: 2 })
  t.match((await tenant.post(url, { ...range, event: 'order.paid', dry_run: true })).json(), { count: 1 })
  t.match((await tenant.post(url, { ...range, event: 'product.*', dry_run: true })).json(), { count: 0 })
  t.equal((await tenant.post(url, range)).statusCode, 202, 'a paused plugin may be replayed to')
  await runAll()
  t.strictSame([...(await deliveriesOf(db, plugin.id)).keys()].sort(), [first, paid].sort())
})

t.test('with a status takes only deliveries of that status, subscribed to or not', async (t) => {
  const tenant = service.tenant()
  const plugin = await seedPlugin(db, tenant.id, { subscriptions: [] })
  const seeded = new Map<string, string>()
  for (const status of ['sent', 'failed', 'retry', 'pending'] as const) {
    const eventId = await seedEvent(db, tenant.id, { at: hoursAgo(3) })
    await seedDelivery(db, tenant.id, plugin.id, eventId, status, { dueAt: hoursAgo(-5) })
    seeded.set(status, eventId)
  }
  await seedEvent(db, tenant.id, { at: hoursAgo(2) })
  const url = `/api/plugins/${plugin.slug}/replays`

  t.match((await tenant.post(url, { dry_run: true })).json(), { count: 0 }, 'it subscribes to nothing now')
  t.match((await tenant.post(url, { status: 'failed', dry_run: true })).json(), { count: 1, scanned: 5 })
  const { id } = (await tenant.post(url, { status: 'failed' })).json<Replay>()
  await runAll()
  t.match((await tenant.get(`/api/replays/${id}`)).json(), { delivery_status: 'failed', queued: 1 })
  const deliveries = await deliveriesOf(db, plugin.id)
  t.equal(deliveries.size, 4)
  t.match(deliveries.get(seeded.get('failed') ?? ''), { status: 'pending', reason: 'replay' })
  t.equal(deliveries.get(seeded.get('sent') ?? '')?.status, 'sent')
  t.ok((deliveries.get(seeded.get('retry') ?? '')?.due_at ?? 0) > new Date(), 'others are left as they are')

  await tenant.post(url, { status: 'retry' })
  await runAll()
  const retry = (await deliveriesOf(db, plugin.id)).get(seeded.get('retry') ?? '')
  t.equal(retry?.status, 'retry')
  t.ok(retry?.due_at && retry.due_at <= new Date(), 'what waits is due at once')
})

t.test('another worker goes on where a killed one was, and the old one writes nothing', async (t) => {
  const tenant = service.tenant()
  const plugin = await seedPlugin(db, tenant.id)
  for (let hours = 7; hours > 0; hours--) await seedEvent(db, tenant.id, { at: hoursAgo(hours) })
  const { id } = (await tenant.post(`/api/plugins/${plugin.slug}/replays`, {})).json<Replay>()

  const killed = await claim()
  t.strictSame(await runReplayBatch(worker(), killed), { queued: 3 })
  t.equal(await runReplayTurn(worker()), 'idle', 'while the lease lasts nobody else takes it')

  await expireLease(id)
  const heir = await claim()
  t.equal(heir.id, id)
  t.equal(heir.cursor, killed.cursor)
  t.equal(await runReplayBatch(worker(), killed), 'ended')
  t.equal((await deliveriesOf(db, plugin.id)).size, 3, 'the old holder queued nothing')
  t.match((await tenant.get(`/api/replays/${id}`)).json(), { status: 'running', scanned: 3, queued: 3 })

  await expireLease(id)
  await runAll()
  t.match((await tenant.get(`/api/replays/${id}`)).json(), { status: 'completed', scanned: 7, queued: 7 })
  t.equal(await runReplayBatch(worker(), heir), 'ended')
  t.equal((await deliveriesOf(db, plugin.id)).size, 7)
})

t.test('a batch whose delivery is being written just now waits for it, and is done once', async (t) => {
  const tenant = service.tenant()
  const plugin = await seedPlugin(db, tenant.id)
  const eventId = await seedEvent(db, tenant.id, { at: hoursAgo(1) })
  const deliveryId = await seedDelivery(db, tenant.id, plugin.id, eventId, 'pending')
  await tenant.post(`/api/plugins/${plugin.slug}/replays`, {})

  const { db: watched, secondTry } = watchLocks()
  let turn: Promise<unknown> | undefined
  await db.transaction().execute(async (trx) => {
    const outcome = { status: 'failed', reason: 'exhausted', due_at: null } as const
    await trx.updateTable('deliveries').set(outcome).where('id', '=', deliveryId).execute()
    turn = runReplayTurn(worker({ db: watched }))
    await secondTry
  })
  await turn
  t.match((await deliveriesOf(db, plugin.id)).get(eventId), { status: 'pending', reason: 'replay' })
  const { data } = (await tenant.get('/api/replays')).json<{ data: Replay[] }>()
  t.match(data, [{ status: 'completed', scanned: 1, queued: 1 }])
})

/** The worker's database; `secondTry` resolves when it asks for a batch's locks a second time. */
function watchLocks(): { db: ReplayWorkerContext['db']; secondTry: Promise<unknown> } {
  const { promise, resolve } = Promise.withResolvers<undefined>()
  let tries = 0
  const watched = app.workerDb.withPlugin({
    transformQuery: ({ node }) => {
      const locks =
        node.kind === 'SelectQueryNode' && JSON.stringify(node.endModifiers ?? []).includes('NoWait')
      if (locks && ++tries === 2) resolve(undefined)
      return node
    },
    transformResult: async ({ result }) => result,
  })
  return { db: watched, secondTry: promise }
}

t.test('pauses while the plugin has too much waiting', async (t) => {
  const tenant = service.tenant()
  const plugin = await seedPlugin(db, tenant.id)
  for (let hours = 7; hours > 0; hours--) await seedEvent(db, tenant.id, { at: hoursAgo(hours) })
  const { id } = (await tenant.post(`/api/plugins/${plugin.slug}/replays`, {})).json<Replay>()
  const ctx = worker({ maxWaiting: 4 })
  await runAll(ctx)
  t.equal((await deliveriesOf(db, plugin.id)).size, 6, 'over the limit by less than a batch')
  t.match((await tenant.get(`/api/replays/${id}`)).json(), { status: 'running', queued: 6 })

  await db.updateTable('deliveries').set({ status: 'sent' }).where('plugin_id', '=', plugin.id).execute()
  await expireLease(id)
  await runAll(ctx)
  t.match((await tenant.get(`/api/replays/${id}`)).json(), { status: 'completed', queued: 7 })
})

t.test('a worker that is told to stop gives the replay back for the next', async (t) => {
  const tenant = service.tenant()
  const plugin = await seedPlugin(db, tenant.id)
  await seedEvent(db, tenant.id, { at: hoursAgo(1) })
  const { id } = (await tenant.post(`/api/plugins/${plugin.slug}/replays`, {})).json<Replay>()
  await runReplayTurn(worker(), AbortSignal.abort())
  t.match((await tenant.get(`/api/replays/${id}`)).json(), { status: 'running', scanned: 0 })
  await runAll()
  t.match((await tenant.get(`/api/replays/${id}`)).json(), { status: 'completed', queued: 1 })
})

t.test('is cancelled by request, and by the end of its plugin', async (t) => {
  const tenant = service.tenant()
  const plugin = await seedPlugin(db, tenant.id)
  for (let hours = 4; hours > 0; hours--) await seedEvent(db, tenant.id, { at: hoursAgo(hours) })
  const url = `/api/plugins/${plugin.slug}/replays`
  const { id } = (await tenant.post(url, {})).json<Replay>()
  const job = await claim()
  await runReplayBatch(worker(), job)

  const cancelled = await tenant.post(`/api/replays/${id}/cancel`)
  t.equal(cancelled.statusCode, 200)
  t.match(cancelled.json(), { status: 'cancelled', queued: 3 })
  t.equal(await runReplayBatch(worker(), job), 'ended')
  t.equal((await deliveriesOf(db, plugin.id)).size, 3, 'nothing more is queued')
  t.equal((await tenant.post(`/api/replays/${id}/cancel`)).statusCode, 200, 'again changes nothing')

  const done = (await tenant.post(url, {})).json<Replay>()
  await runAll()
  const late = await tenant.post(`/api/replays/${done.id}/cancel`)
  t.equal(late.statusCode, 409)
  t.equal(late.json<{ code: string }>().code, 'replay_finished')

  const orphan = (await tenant.post(url, {})).json<Replay>()
  await db.updateTable('plugins').set({ deleted_at: new Date() }).where('id', '=', plugin.id).execute()
  await runAll()
  t.match((await tenant.get(`/api/replays/${orphan.id}`)).json(), { status: 'cancelled', queued: 0 })
  t.equal((await tenant.post(url, {})).statusCode, 404)

  const log = await db.selectFrom('audit_log').select('action').where('tenant_id', '=', tenant.id).execute()
  t.strictSame(log.map(({ action }) => action).sort(), [
    'replay.cancelled',
    'replay.created',
    'replay.created',
    'replay.created',
  ])
})
