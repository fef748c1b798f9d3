import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { CATALOGUE } from '#modules/event/index.ts'
import { QueueLoops } from '#modules/webhook-delivery/health/queue-loops.ts'
import { validate } from '#lib/schema/safe/index.ts'
import { until } from '#test/infra/app-on.ts'
import { startApp, type Tenant } from '#test/support/app.ts'
import {
  deliverDue,
  deliveriesOf,
  laneOf,
  onlyDelivery,
  type RegisteredPlugin,
  registerPlugin,
  sendEvent,
  TestClock,
} from '#test/support/deliveries.ts'
import { type Receiver, startReceiver } from '#test/support/receiver.ts'

const service = await startApp(t)
const { app, db } = service

const DAY_MS = 86_400_000

interface Alert {
  event: string
  data: Record<string, unknown>
}

async function startObserver(t: Test, tenant: Tenant): Promise<{ heard: () => Alert[]; id: string }> {
  const observer = await startReceiver(t)
  const events = ['plugin.*', 'queue.*']
  const { id } = await registerPlugin(tenant, observer.url, { slug: 'observer', events })
  return { id, heard: () => observer.received.map(({ body }) => JSON.parse(body) as Alert) }
}

const namesOf = (alerts: readonly Alert[]): string[] => alerts.map(({ event }) => event)

function checkData(t: Test, { event, data }: Alert): void {
  const schema = CATALOGUE.get(event)?.schema
  t.ok(schema, event)
  if (schema !== undefined) t.strictSame(validate(schema, data), [], `${event} is as the catalogue has it`)
}

/** A plugin that fails with 503, has done so for so long, and is known to. */
async function startFailing(
  t: Test,
  tenant: Tenant,
  { days, attempts }: { days: number; attempts: number },
): Promise<{ plugin: RegisteredPlugin; receiver: Receiver }> {
  const receiver = await startReceiver(t)
  receiver.answer(404)
  const plugin = await registerPlugin(tenant, receiver.url)
  await db
    .updateTable('delivery_lanes')
    .set({
      failing_since: sql<Date>`now() - ${days} * interval '1 day'`,
      failing_attempts: attempts,
      consecutive_failures: attempts,
      failing_announced: true,
    })
    .where('plugin_id', '=', plugin.id)
    .execute()
  return { plugin, receiver }
}

t.test(
  'a plugin that is about to be disabled is told of once, with its cause, until it recovers',
  async (t) => {
    const tenant = service.tenant()
    const { heard } = await startObserver(t, tenant)
    const { plugin, receiver } = await startFailing(t, tenant, { days: 4.01, attempts: 12 })
    await sendEvent(tenant)
    await deliverDue(service, tenant)
    t.strictSame(namesOf(heard()), ['plugin.disabling_soon'])
    const [alert] = heard()
    if (alert === undefined) return
    checkData(t, alert)
    const lane = await laneOf(db, plugin.id)
    const since = lane.failing_since?.getTime() ?? 0
    t.match(alert.data, {
      plugin: plugin.slug,
      plugin_id: plugin.id,
      failing_since: new Date(since).toISOString(),
      disabled_at: new Date(since + 5 * DAY_MS).toISOString(),
      attempts_left: 7,
      cause: {
        event: 'product.created',
        delivery_id: (await onlyDelivery(db, plugin.id)).id,
        response_status: 404,
        error_class: 'http_4xx',
      },
      summary: /http_4xx, status 404/,
      what_to_do: /GET \/api\/plugins\/events\//,
    })

    await sendEvent(tenant)
    await deliverDue(service, tenant)
    t.equal(heard().length, 1, 'another worker does not tell it again')
    receiver.answer(204)
    await sendEvent(tenant)
    await deliverDue(service, tenant)
    t.strictSame(namesOf(heard()).slice(1), ['plugin.recovered'])
    for (const each of heard()) checkData(t, each)
    t.match(await laneOf(db, plugin.id), { disabling_announced: false, failing_announced: false })
  },
)

t.test('before the last day nobody is warned, and what is disabled at once is not warned of', async (t) => {
  const tenant = service.tenant()
  const { heard } = await startObserver(t, tenant)
  await startFailing(t, tenant, { days: 3.99, attempts: 500 })
  await startFailing(t, tenant, { days: 5.01, attempts: 19 })
  await sendEvent(tenant)
  await deliverDue(service, tenant)
  t.strictSame(namesOf(heard()), ['plugin.disabled'])
  t.match(heard()[0]?.data, { reason: 'failing', cause: { response_status: 404 }, what_to_do: /resume/ })
})

t.test('two workers warn once, and a new streak of failures is warned of anew', async (t) => {
  const tenant = service.tenant()
  const { heard } = await startObserver(t, tenant)
  const { plugin } = await startFailing(t, tenant, { days: 4.5, attempts: 30 })
  await sendEvent(tenant)
  await sendEvent(tenant)
  await Promise.all([deliverDue(service, tenant), deliverDue(service, tenant)])
  await deliverDue(service, tenant)
  t.strictSame(namesOf(heard()), ['plugin.disabling_soon'])
  t.match(await laneOf(db, plugin.id), { disabling_announced: true })
  t.equal((await tenant.post(`/api/plugins/${plugin.slug}/resume`)).statusCode, 200)
  t.match(await laneOf(db, plugin.id), { disabling_announced: false })
})

t.test('news of plugins cause no warning of who does not take them', async (t) => {
  const tenant = service.tenant()
  const { heard } = await startObserver(t, tenant)
  const { plugin } = await startFailing(t, tenant, { days: 4.5, attempts: 30 })
  await tenant.patch(`/api/plugins/${plugin.slug}`, { events: ['plugin.*'] })
  await sendEvent(tenant, 'plugin.failing', { plugin: 'another', plugin_id: 'p1' })
  await deliverDue(service, tenant)
  t.strictSame(namesOf(heard()), ['plugin.failing'], 'what was sent, and nothing else')
})

const LATE_MS = 301_000
const at = (ms: number): Date => new Date(Date.now() + ms)

t.test('a queue that is behind is told of once, and so is that it has caught up', async (t) => {
  const tenant = service.tenant()
  const { heard } = await startObserver(t, tenant)
  const receiver = await startReceiver(t)
  const plugin = await registerPlugin(tenant, receiver.url)
  await sendEvent(tenant)
  const look = async (ms: number): Promise<void> =>
    app.deliveries.watchQueues({ tenantId: tenant.id, now: at(ms) })
  await look(200_000)
  const { id: deliveryId } = await onlyDelivery(db, plugin.id)
  t.equal((await laneOf(db, plugin.id)).behind_since, null, 'not yet')
  await Promise.all([look(LATE_MS), look(LATE_MS)])
  await look(LATE_MS)
  await deliverDue(service, tenant)
  t.strictSame(namesOf(heard()), ['queue.behind'])
  t.match(heard()[0]?.data, {
    plugin: plugin.slug,
    plugin_id: plugin.id,
    waiting: 1,
    reason: 'no_worker',
    cause: { event: 'product.created', delivery_id: deliveryId },
    summary: /late/,
    what_to_do: String,
  })
  t.ok(Number(heard()[0]?.data['waiting_seconds']) >= 300)
  await look(LATE_MS)
  await look(LATE_MS)
  await deliverDue(service, tenant)
  t.strictSame(namesOf(heard()), ['queue.behind', 'queue.caught_up'])
  for (const alert of heard()) checkData(t, alert)
  t.equal((await laneOf(db, plugin.id)).behind_since, null)
})

t.test(
  'a key that is held for five minutes is told of once, with what goes first, and so is its end',
  async (t) => {
    const tenant = service.tenant()
    const { heard } = await startObserver(t, tenant)
    const receiver = await startReceiver(t)
    const settings = { ordering: 'key', retry_schedule: [3_600] }
    const plugin = await registerPlugin(tenant, receiver.url, settings)
    receiver.answer((received, response) =>
      response.writeHead(received.body.includes('"bad"') ? 400 : 204).end(),
    )
    for (const product_id of ['bad', 'bad', 'good']) {
      await sendEvent(tenant, 'product.created', { product_id, name: 'Apron' })
    }
    t.match(await deliverDue(service, tenant), { retried: 1 })
    const [first, second] = await deliveriesOf(db, plugin.id)
    t.ok(second?.behind_since, 'it is set aside')
    const look = async (ms: number): Promise<void> =>
      app.deliveries.watchQueues({ tenantId: tenant.id, now: at(ms) })
    await look(200_000)
    t.equal((await laneOf(db, plugin.id)).behind_since, null, 'not yet')
    await Promise.all([look(LATE_MS), look(LATE_MS)])
    await look(LATE_MS)
    t.same((await laneOf(db, plugin.id)).behind_since, second?.behind_since, 'as long as the key is held')
    receiver.answer(204)
    await tenant.post(`/api/plugins/events/${first?.id}/retry`)
    await deliverDue(service, tenant)
    t.strictSame(namesOf(heard()), ['queue.behind'])
    t.match(heard()[0]?.data, {
      plugin: plugin.slug,
      waiting: 1,
      reason: 'behind',
      cause: { event: 'product.created', delivery_id: first?.id },
      summary: /another of the same key goes first/,
      what_to_do: `GET /api/plugins/events/${first?.id} shows what goes first`,
    })
    await look(LATE_MS)
    await deliverDue(service, tenant)
    t.strictSame(namesOf(heard()), ['queue.behind', 'queue.caught_up'])
    for (const alert of heard()) checkData(t, alert)
  },
)

t.test('of keys of a plugin that is paused or failing nothing is told', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const settings = { ordering: 'key', retry_schedule: [3_600] }
  const plugins = [
    await registerPlugin(tenant, receiver.url, settings),
    await registerPlugin(tenant, receiver.url, settings),
  ]
  const [paused, failing] = plugins
  receiver.answer(400)
  for (let n = 0; n < 2; n++) await sendEvent(tenant, 'product.created', { product_id: 'p', name: 'Apron' })
  await deliverDue(service, tenant)
  await tenant.post(`/api/plugins/${paused?.slug}/pause`)
  const setFailures = async (consecutive_failures: number) =>
    db
      .updateTable('delivery_lanes')
      .set({ consecutive_failures })
      .where('plugin_id', '=', failing?.id ?? '')
      .execute()
  await setFailures(5)
  await app.deliveries.watchQueues({ tenantId: tenant.id, now: at(LATE_MS) })
  for (const { id } of plugins) t.equal((await laneOf(db, id)).behind_since, null)
  await setFailures(4)
  await app.deliveries.watchQueues({ tenantId: tenant.id, now: at(LATE_MS) })
  t.ok((await laneOf(db, failing?.id ?? '')).behind_since, 'of one that fails now and then it is')
  t.equal((await laneOf(db, paused?.id ?? '')).behind_since, null)
})

t.test('who is paused, held back or failing, or waits for alerts only, is not behind', async (t) => {
  const tenant = service.tenant()
  const observer = await startObserver(t, tenant)
  const receiver = await startReceiver(t)
  const plugins = [
    await registerPlugin(tenant, receiver.url),
    await registerPlugin(tenant, receiver.url),
    await registerPlugin(tenant, receiver.url),
  ]
  const [paused, held, failing] = plugins
  await sendEvent(tenant)
  await sendEvent(tenant, 'queue.behind', {
    plugin: 'another',
    plugin_id: 'p1',
    waiting_seconds: 1,
    reason: 'slow',
  })
  await tenant.post(`/api/plugins/${paused?.slug ?? ''}/pause`)
  const clock = new TestClock()
  const lane = (id = '') => db.updateTable('delivery_lanes').where('plugin_id', '=', id)
  await lane(held?.id)
    .set({ hold_until: at(3_600_000), hold_reason: 'retry_after' })
    .execute()
  await lane(failing?.id).set({ failing_since: clock.now(), consecutive_failures: 1 }).execute()
  await app.deliveries.watchQueues({ tenantId: tenant.id, now: at(LATE_MS) })
  for (const id of [observer.id, ...plugins.map((plugin) => plugin.id)]) {
    t.equal((await laneOf(db, id)).behind_since, null)
  }
  await lane(failing?.id)
    .set({ failing_since: null, last_failure_at: at(0), hold_until: at(1_000), hold_reason: 'breaker_open' })
    .execute()
  await app.deliveries.watchQueues({ tenantId: tenant.id, now: at(300_500) })
  t.equal((await laneOf(db, failing?.id ?? '')).behind_since, null, 'it has not been free for so long')
  await lane(failing?.id)
    .set({ last_failure_at: at(LATE_MS), hold_until: at(0) })
    .execute()
  await app.deliveries.watchQueues({ tenantId: tenant.id, now: at(LATE_MS) })
  t.ok((await laneOf(db, failing?.id ?? '')).behind_since, 'one failure now and then does not hide it')
})

t.test('a queue of which it cannot be told keeps no other from being told of', async (t) => {
  const tenant = service.tenant()
  const { heard } = await startObserver(t, tenant)
  const receiver = await startReceiver(t)
  const broken = await registerPlugin(tenant, receiver.url)
  await sendEvent(tenant)
  const late = await registerPlugin(tenant, receiver.url)
  await sendEvent(tenant)
  await refuseNoteOf(t, broken.id)
  const look = app.deliveries.watchQueues({ tenantId: tenant.id, now: at(LATE_MS) })
  await t.rejects(look, { message: /nothing is noted of it/ })
  t.equal((await laneOf(db, broken.id)).behind_since, null)
  await deliverDue(service, tenant)
  t.strictSame(
    heard().map(({ event, data }) => [event, data['plugin_id']]),
    [['queue.behind', late.id]],
  )
})

t.test('while queues cannot be told of, what is set aside behind nothing is released', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const broken = await registerPlugin(tenant, receiver.url)
  await sendEvent(tenant)
  const ago = sql<Date>`now() - interval '6 minutes'`
  await db.updateTable('deliveries').set({ due_at: ago }).where('plugin_id', '=', broken.id).execute()
  await db.updateTable('plugins').set({ status_changed_at: ago }).where('id', '=', broken.id).execute()
  const ordered = await registerPlugin(tenant, receiver.url, { ordering: 'key' })
  await sendEvent(tenant)
  await db
    .updateTable('deliveries')
    .set({ due_at: sql<Date>`'infinity'`, behind_since: ago })
    .where('plugin_id', '=', ordered.id)
    .execute()
  await refuseNoteOf(t, broken.id)

  const warnings: string[] = []
  const loops = new QueueLoops({
    pool: app.pools.worker,
    watch: { db: app.workerDb, events: app.events, signals: app.signals },
    log: { warn: (_fields: unknown, text?: string) => void warnings.push(text ?? '') },
    everyMs: 20,
  })
  t.teardown(() => loops.stop())
  loops.start()
  await until(
    () => onlyDelivery(db, ordered.id),
    ({ behind_since }) => behind_since === null,
  )
  await until(
    async () => loops.standing,
    ({ failingMs }) => failingMs > 0,
  )
  t.strictSame([...new Set(warnings)], ['not all queues were looked at: the next look is in a minute'])
})

/** Has the database refuse to note that a plugin's queue is behind. */
async function refuseNoteOf(t: Test, pluginId: string): Promise<void> {
  const drop = sql`drop trigger if exists refused on delivery_lanes`
  await sql`
    create or replace function refuse_note() returns trigger language plpgsql
      as $$ begin raise 'nothing is noted of it'; end $$`.execute(db)
  await sql`
    create trigger refused before update of behind_since on delivery_lanes for each row
    when (new.plugin_id = ${sql.lit(pluginId)} and new.behind_since is not null)
    execute function refuse_note()`.execute(db)
  t.teardown(() => drop.execute(db))
}
