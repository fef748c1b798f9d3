import { sql } from 'kysely'
import t from 'tap'
import { runBulkRetryTurn } from '#modules/webhook-delivery/bulk-retry/worker.ts'
import { clientFor, startApp, type Tenant } from '#test/support/app.ts'
import { pluginKey } from '#test/modules/event/support.ts'
import { seedDelivery, seedEvent, seedPlugin } from '#test/modules/replay/support.ts'

const service = await startApp(t)
const { app, db } = service
const HOUR_AGO = new Date(Date.now() - 3_600_000)

const ctx = { db, signals: app.signals, leaseMs: 30_000, batchSize: 2, maxWaiting: 50_000, log: app.log }

/** Works as workers do until nothing is left, two deliveries a batch. */
async function work(): Promise<void> {
  while ((await runBulkRetryTurn(ctx)) === 'more');
}

async function failed(
  tenant: Tenant,
  pluginId: string,
  options: { event?: string; body?: null; at?: Date } = {},
) {
  const { at = HOUR_AGO } = options
  const event = await seedEvent(db, tenant.id, { ...options, at })
  const id = await seedDelivery(db, tenant.id, pluginId, event, 'failed', { at })
  await db
    .updateTable('deliveries')
    .set({ created_at: at, event: options.event ?? 'order.created' })
    .where('id', '=', id)
    .execute()
  return id
}

/** So that one is older than the next. */
const after = (ms: number) => ({ at: new Date(HOUR_AGO.getTime() + ms) })

const statusesOf = async (tenant: Tenant) => {
  const rows = await db
    .selectFrom('deliveries')
    .select(['id', 'status', 'reason', 'bulk'])
    .where('tenant_id', '=', tenant.id)
    .execute()
  return new Map(rows.map((row) => [row.id, row]))
}
const create = async (tenant: Tenant, body: object = {}) => {
  const answer = await tenant.post('/api/plugins/events/retry', body)
  if (answer.statusCode !== 202) throw new Error(answer.body)
  return answer.json<{ id: string; status: string }>()
}

t.test('all that a filter chooses are due again, and nothing else', async (t) => {
  const tenant = service.tenant()
  const plugin = await seedPlugin(db, tenant.id)
  const other = await seedPlugin(db, tenant.id)
  const wanted = [
    await failed(tenant, plugin.id),
    await failed(tenant, plugin.id),
    await failed(tenant, other.id),
  ]
  const lead = await failed(tenant, plugin.id, { event: 'lead.created' })
  const gone = await failed(tenant, plugin.id, { body: null })
  const sent = await seedDelivery(db, tenant.id, plugin.id, await seedEvent(db, tenant.id), 'sent', {})
  const estimate = await tenant.post('/api/plugins/events/retry', { event: 'order.*', dry_run: true })
  t.equal(estimate.statusCode, 200)
  t.strictSame(estimate.json(), {
    count: 3,
    skipped: 1,
    plugins: [
      { plugin: plugin.slug, count: 2 },
      { plugin: other.slug, count: 1 },
    ],
    complete: true,
  })
  t.equal((await statusesOf(tenant)).get(wanted[0] ?? '')?.status, 'failed', 'a dry run changes nothing')

  const { id, status } = await create(tenant, { event: 'order.*' })
  t.equal(status, 'queued')
  await work()
  t.match((await tenant.get(`/api/delivery-retries/${id}`)).json(), {
    id,
    plugin: null,
    filter: { event: 'order.*' },
    status: 'completed',
    queued: 3,
    skipped: 1,
    error: null,
  })
  const after = await statusesOf(tenant)
  for (const each of wanted) {
    t.match(after.get(each), { status: 'pending', reason: 'manual_retry', bulk: true })
  }
  t.equal(after.get(lead)?.status, 'failed')
  t.equal(after.get(gone)?.status, 'failed')
  t.equal(after.get(sent)?.status, 'sent')
  const actions = (await tenant.get('/api/audit-log?target=delivery_retry')).json<{
    data: { action: string }[]
  }>()
  t.match(actions.data, [{ action: 'delivery_retry.created' }])
})

t.test('what comes after it was asked for is left alone', async (t) => {
  const tenant = service.tenant()
  const plugin = await seedPlugin(db, tenant.id)
  await create(tenant)
  const late = await failed(tenant, plugin.id)
  await db
    .updateTable('deliveries')
    .set({ created_at: new Date(Date.now() + 60_000) })
    .where('id', '=', late)
    .execute()
  await work()
  t.equal((await statusesOf(tenant)).get(late)?.status, 'failed')
})

t.test('one that is cancelled goes no further, and one that has ended is not cancelled', async (t) => {
  const tenant = service.tenant()
  const plugin = await seedPlugin(db, tenant.id)
  const delivery = await failed(tenant, plugin.id)
  const { id } = await create(tenant)
  const cancel = () => tenant.post(`/api/delivery-retries/${id}/cancel`)
  t.match((await cancel()).json(), { status: 'cancelled' })
  t.match((await cancel()).json(), { status: 'cancelled' }, 'again')
  await work()
  t.equal((await statusesOf(tenant)).get(delivery)?.status, 'failed')
  const done = await create(tenant)
  await work()
  t.match((await tenant.post(`/api/delivery-retries/${done.id}/cancel`)).json(), {
    status: 409,
    code: 'delivery_retry_finished',
  })
})

t.test('an error that would come again ends it, and says why', async (t) => {
  const tenant = service.tenant()
  const plugin = await seedPlugin(db, tenant.id)
  const fine = [await failed(tenant, plugin.id), await failed(tenant, plugin.id)]
  const bad = await failed(tenant, plugin.id, after(1))
  await sql`
    create function refuse_retry() returns trigger language plpgsql as $$
    begin
      raise exception 'no' using errcode = '22023';
    end $$`.execute(db)
  await sql`create trigger refuse_retry before update on deliveries
    for each row when (new.id = '${sql.raw(bad)}') execute function refuse_retry()`.execute(db)
  t.teardown(() => sql`drop function refuse_retry cascade`.execute(db))
  const { id } = await create(tenant)
  await work()
  t.match((await tenant.get(`/api/delivery-retries/${id}`)).json(), {
    status: 'failed',
    queued: 2,
    error: 'The database refused it (SQLSTATE 22023).',
    finished_at: String,
  })
  const statuses = await statusesOf(tenant)
  for (const each of fine) t.equal(statuses.get(each)?.status, 'pending')
})

t.test('it pauses while a plugin has enough waiting, unless the plugin gets nothing', async (t) => {
  const tenant = service.tenant()
  const plugin = await seedPlugin(db, tenant.id)
  const disabled = await seedPlugin(db, tenant.id, { status: 'disabled' })
  for (let n = 0; n < 5; n++) await failed(tenant, disabled.id)
  for (let n = 0; n < 5; n++) await failed(tenant, plugin.id, after(1))
  const { id } = await create(tenant)
  const read = async () =>
    (await tenant.get(`/api/delivery-retries/${id}`)).json<{ status: string; queued: number }>()
  const turn = () => runBulkRetryTurn({ ...ctx, maxWaiting: 3 })
  t.match(await turn(), { pauseMs: Number })
  const paused = await read()
  t.match(paused, { status: 'running' })
  t.equal(await turn(), 'idle', 'nobody takes it before its pause is over')
  const waiting = async () => {
    const rows = await db
      .selectFrom('deliveries')
      .select('id')
      .where('plugin_id', '=', plugin.id)
      .where('status', '=', 'pending')
      .execute()
    return rows.map((row) => row.id)
  }
  t.equal((await waiting()).length, 3)
  await db
    .updateTable('deliveries')
    .set({ status: 'sent' })
    .where('id', 'in', await waiting())
    .execute()
  await db.updateTable('delivery_retries').set({ lease_until: null }).where('id', '=', id).execute()
  t.equal(await turn(), 'more')
  t.match(await read(), { status: 'completed', queued: 10, skipped: 0 })
})

t.test("a plugin's own key has its own deliveries sent, and sees its own jobs", async (t) => {
  const tenant = service.tenant()
  const plugin = await seedPlugin(db, tenant.id)
  const other = await seedPlugin(db, tenant.id)
  const own = clientFor(app, tenant.id, await pluginKey(service, tenant.id, plugin))
  const mine = await failed(tenant, plugin.id)
  const theirs = await failed(tenant, other.id)
  const all = await create(tenant, { plugin: other.slug, event: 'nothing.at_all' })
  const { id } = await create(own)
  const estimate = async (body: object) =>
    (await own.post('/api/plugins/events/retry', { ...body, dry_run: true })).json<{ count: number }>().count
  t.equal(await estimate({}), 1)
  for (const dry_run of [true, false]) {
    const refused = await own.post('/api/plugins/events/retry', { plugin: other.slug, dry_run })
    t.match(refused.json(), { status: 400, errors: [{ pointer: '/plugin' }] })
  }
  await work()
  const after = await statusesOf(tenant)
  t.equal(after.get(mine)?.status, 'pending')
  t.equal(after.get(theirs)?.status, 'failed')
  const { data } = (await own.get('/api/delivery-retries')).json<{ data: { id: string }[] }>()
  t.match(data, [{ id }])
  t.equal((await own.get(`/api/delivery-retries/${all.id}`)).statusCode, 404)
  t.equal((await own.post(`/api/delivery-retries/${all.id}/cancel`)).statusCode, 404)
})

t.test('requests that make no sense are refused, and so is the eleventh', async (t) => {
  const tenant = service.tenant()
  for (const [body, pointer] of [
    [{ status: ['sent'] }, '/status/0'],
    [{ event: 'a..b' }, '/event'],
    [{ since: '2026-02-31T00:00:00Z' }, '/since'],
    [{ q: 'x' }, '/q'],
    [{ plugin: 'nobody' }, '/plugin'],
    [{ plugin: 'nobody', dry_run: true }, '/plugin'],
  ] as const) {
    t.match((await tenant.post('/api/plugins/events/retry', body)).json(), {
      status: 400,
      errors: [{ pointer }],
    })
  }
  await Promise.all(Array.from({ length: 10 }, () => create(tenant)))
  t.match((await tenant.post('/api/plugins/events/retry', {})).json(), {
    status: 409,
    code: 'too_many_delivery_retries',
  })
})

t.test('the log takes several statuses', async (t) => {
  const tenant = service.tenant()
  const plugin = await seedPlugin(db, tenant.id)
  const bad = await failed(tenant, plugin.id)
  const event = await seedEvent(db, tenant.id)
  const sent = await seedDelivery(db, tenant.id, plugin.id, event, 'sent', {})
  const list = async (status: string) =>
    (await tenant.get(`/api/plugins/events?status=${status}`))
      .json<{ data: { id: string }[] }>()
      .data.map(({ id }) => id)
  t.strictSame(await list('failed,retry'), [bad])
  t.strictSame(await list('sent,failed'), [sent, bad])
  t.strictSame(await list('pending,retry'), [])
  t.equal((await tenant.get('/api/plugins/events?status=failed,lost')).statusCode, 400)
})
