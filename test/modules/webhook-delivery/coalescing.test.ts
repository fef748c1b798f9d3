import { CompiledQuery, sql } from 'kysely'
import type pg from 'pg'
import t from 'tap'
import { newId } from '#lib/ids.ts'
import { runReplayTurn } from '#modules/replay/worker.ts'
import { queueThese } from '#modules/webhook-delivery/bulk-retry/repository.ts'
import { fetchCoalesced, supersede } from '#modules/webhook-delivery/due/coalesced-repository.ts'
import type { DeliveryCounts } from '#modules/webhook-delivery/outcomes/tally.ts'
import { startApp, type Tenant } from '#test/support/app.ts'
import {
  deliverDue,
  deliveriesOf,
  laneOf,
  registerPlugin,
  statusesOf,
  TestClock,
} from '#test/support/deliveries.ts'
import { analyze, rowsRead } from '#test/support/plans.ts'
import { until } from '#test/support/sse-client.ts'
import { type Received, type Receiver, startReceiver } from '#test/support/receiver.ts'

const service = await startApp(t)
const { db } = service
const pool = service.app.pools.worker
const replays = {
  db: service.app.workerDb,
  signals: service.app.signals,
  leaseMs: 30_000,
  batchSize: 500,
  maxWaiting: 1_000,
}

interface Shown {
  id: string
  event_id: string
  status: string
  reason: string | null
  superseded_by: string | null
  next_attempt_at: string | null
}

const dataOf = ({ body }: Received) => (JSON.parse(body) as { data: { product_id?: string; n: number } }).data
const arrived = (receiver: Receiver) => receiver.received.map((each) => dataOf(each).n)
const read = async (tenant: Tenant, id: string | undefined) =>
  (await tenant.get(`/api/plugins/events/${id}`)).json<Shown>()
const list = async (tenant: Tenant, query: string) =>
  (await tenant.get(`/api/plugins/events?${query}`)).json<{ data: Shown[] }>().data
const idsOf = async (pluginId: string) => (await deliveriesOf(db, pluginId)).map(({ id }) => id)

const WINDOW_SECONDS = 60
const STOCK = { event: 'product.stock', coalesce: { key: 'product_id', window_seconds: WINDOW_SECONDS } }

async function coalescing(tenant: Tenant, url: string, fields: object = {}) {
  return registerPlugin(tenant, url, { events: [STOCK, 'order.*'], ...fields })
}

async function send(tenant: Tenant, n: number, product = 'p', event = 'product.stock'): Promise<string> {
  const response = await tenant.post('/api/events', { event, data: { product_id: product, n } })
  t.equal(response.statusCode, 202)
  return response.json<{ id: string }>().id
}

async function sendBurst(tenant: Tenant, numbers: readonly number[], product = 'p'): Promise<void> {
  for (let from = 0; from < numbers.length; from += 1_000) {
    const events = numbers
      .slice(from, from + 1_000)
      .map((n) => ({ event: 'product.stock', data: { product_id: product, n } }))
    t.equal((await tenant.post('/api/events', { events })).statusCode, 202)
  }
}

const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, index) => from + index)

t.test('a burst becomes one delivery of the newest, and so does the next', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const clock = new TestClock()
  const { id, slug } = await coalescing(tenant, receiver.url)
  await sendBurst(tenant, numbers(1_000))
  t.match(await deliverDue(service, tenant, clock), { processed: 0 })
  clock.advance(WINDOW_SECONDS * 1_000)
  t.match(await deliverDue(service, tenant, clock), { processed: 1, sent: 1, failed: 0 })
  t.strictSame(arrived(receiver), [999])
  t.strictSame(await statusesOf(db, id), { failed: 999, sent: 1 })

  await sendBurst(tenant, numbers(1_000, 1_000))
  clock.advance(WINDOW_SECONDS * 1_000)
  t.match(await deliverDue(service, tenant, clock), { processed: 1, sent: 1 })
  t.strictSame(arrived(receiver), [999, 1_999])

  const [last, first] = await list(tenant, 'status=sent')
  const superseded = await list(tenant, 'reason=superseded&limit=200')
  t.equal(superseded.length, 200)
  t.match(superseded[0], {
    status: 'failed',
    reason: 'superseded',
    superseded_by: last?.id,
    next_attempt_at: null,
  })
  const [oldest] = await idsOf(id)
  t.match(await read(tenant, oldest), { superseded_by: first?.id, attempts: [] })
  t.match((await tenant.get(`/api/events/${superseded[0]?.event_id}`)).json(), {
    deliveries: [{ status: 'failed', reason: 'superseded', superseded_by: last?.id }],
  })
  t.match((await tenant.get(`/api/plugins/${slug}`)).json(), {
    health: { consecutive_failures: 0, last_failure_at: null, breaker: 'closed' },
  })
  await service.app.statistics.flush()
  const stats = await tenant.get(`/api/stats/deliveries?plugin=${slug}`)
  t.match(stats.json(), {
    series: [{ totals: { attempts: 2, sent: 2, failed: 0, superseded: 1_998, errors: {} } }],
  })
})

t.test('what waits tells so, until the window of the first that waits is over', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const clock = new TestClock()
  const { id, slug } = await coalescing(tenant, receiver.url)
  await send(tenant, 0)
  const [first] = await idsOf(id)
  const due = (await read(tenant, first)).next_attempt_at
  const [row] = await deliveriesOf(db, id)
  t.equal(row?.due_at?.getTime(), (row?.created_at.getTime() ?? 0) + WINDOW_SECONDS * 1_000)
  await sql`update deliveries set due_at = due_at - interval '30 seconds' where id = ${first}`.execute(db)
  await send(tenant, 1)
  const [, second] = await idsOf(id)
  const shown = await read(tenant, second)
  t.match(shown, { status: 'pending', reason: 'coalescing', superseded_by: null })
  t.equal(Date.parse(shown.next_attempt_at ?? ''), Date.parse(due ?? '') - 30_000)
  t.strictSame(
    (await list(tenant, 'reason=coalescing')).map((each) => each.id),
    [second, first],
  )
  await tenant.post(`/api/plugins/${slug}/pause`)
  t.match(await read(tenant, second), { reason: 'plugin_paused' })
  t.strictSame(await list(tenant, 'reason=coalescing'), [])
  await tenant.post(`/api/plugins/${slug}/resume`)
  clock.advance((WINDOW_SECONDS - 29) * 1_000)
  t.match(await deliverDue(service, tenant, clock), { sent: 1 }, "before the newest's own window is over")
  t.strictSame(arrived(receiver), [1])
})

t.test('keys, types without coalescing and events without a key are apart', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const clock = new TestClock()
  const byDefault = { coalesce: { window_seconds: WINDOW_SECONDS } }
  const { id } = await coalescing(tenant, receiver.url, {
    events: [
      { event: 'product.stock', filter: { field: 'n', operator: 'lt', value: 0 }, ...byDefault },
      STOCK,
      { event: 'customer.*', ...byDefault },
      'order.*',
    ],
  })
  const emit = (event: string, data: object) => tenant.post('/api/events', { event, data })
  await send(tenant, 0, 'a')
  await send(tenant, 1, 'b')
  await send(tenant, 2, 'a')
  // The first subscription that takes an event decides; one with the same pattern has the same keys only by the same text.
  await send(tenant, -1, 'a')
  await emit('product.stock', { n: 3 })
  await emit('product.stock', { n: 4 })
  await emit('order.created', { order_id: 'o', total: 1, n: 5 })
  await emit('order.created', { order_id: 'o', total: 1, n: 6 })
  await emit('customer.created', { customer_id: 'c', email: 'a@b.c', n: 7 })
  await emit('customer.updated', { customer_id: 'c', email: 'a@b.c', n: 8 })
  t.match(await deliverDue(service, tenant, clock), { sent: 4 }, 'what has no key waits for nothing')
  t.strictSame(arrived(receiver).toSorted(), [3, 4, 5, 6])
  clock.advance(WINDOW_SECONDS * 1_000)
  t.match(await deliverDue(service, tenant, clock), { sent: 4 })
  t.strictSame(
    arrived(receiver)
      .slice(4)
      .toSorted((a, b) => a - b),
    [-1, 1, 2, 8],
  )
  const rows = await deliveriesOf(db, id)
  t.equal(rows.filter(({ reason }) => reason === 'superseded').length, 2)
  t.equal(
    rows.filter(({ coalesce_key: key, ordering_place: place }) => key !== null && place !== null).length,
    6,
  )
})

t.test("a CloudEvent's subject is the key by default", async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const clock = new TestClock()
  await registerPlugin(tenant, receiver.url, {
    events: [{ event: '*', coalesce: { window_seconds: WINDOW_SECONDS } }],
  })
  for (const n of [0, 1, 2]) {
    const response = await tenant.post(
      '/api/events',
      JSON.stringify({
        specversion: '1.0',
        id: crypto.randomUUID(),
        source: '/shop',
        type: 'page.changed',
        subject: n === 1 ? '/b' : '/a',
        data: { n },
      }),
      { 'content-type': 'application/cloudevents+json' },
    )
    t.equal(response.statusCode, 202, response.body)
  }
  clock.advance(WINDOW_SECONDS * 1_000)
  t.match(await deliverDue(service, tenant, clock), { sent: 2 })
  t.strictSame(arrived(receiver).toSorted(), [1, 2])
})

t.test('one that waits for its retry is replaced, its own retry time counts for the newest', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const clock = new TestClock()
  const { id } = await coalescing(tenant, receiver.url, { retry_schedule: [3_600] })
  receiver.answer((received, response) => response.writeHead(dataOf(received).n < 2 ? 400 : 204).end())
  await send(tenant, 0)
  clock.advance(WINDOW_SECONDS * 1_000)
  t.match(await deliverDue(service, tenant, clock), { retried: 1 })
  await send(tenant, 1)
  clock.advance(WINDOW_SECONDS * 1_000)
  t.match(await deliverDue(service, tenant, clock), { retried: 1 })
  const [first, second] = await idsOf(id)
  t.match(await read(tenant, first), { status: 'failed', reason: 'superseded', superseded_by: second })
  t.match(await read(tenant, second), { status: 'retry', reason: null })
  // Asked for again while its retry is far away, an older one gives way to it.
  await db
    .updateTable('deliveries')
    .set({ status: 'pending', due_at: new Date(), reason: null })
    .where('id', '=', first ?? '')
    .execute()
  t.match(await deliverDue(service, tenant, clock), { processed: 0 })
  t.match(await read(tenant, first), { status: 'failed', reason: 'superseded', superseded_by: second })
  t.match(await read(tenant, second), { status: 'retry' })
  await send(tenant, 2)
  clock.advance(WINDOW_SECONDS * 1_000)
  t.match(await deliverDue(service, tenant, clock), { sent: 1 })
  t.strictSame(arrived(receiver), [0, 1, 2])
})

t.test('one that is under way is not replaced, and the newest goes after it', async (t) => {
  for (const status of [204, 400]) {
    const tenant = service.tenant()
    const receiver = await startReceiver(t)
    const { id } = await coalescing(tenant, receiver.url, { max_in_flight: 8, retry_schedule: [3_600] })
    const answers: (() => void)[] = []
    receiver.answer((received, response) => {
      answers.push(() => response.writeHead(dataOf(received).n === 0 ? status : 204).end())
    })
    const due = () => sql`update deliveries set due_at = now() where plugin_id = ${id} and status = 'pending'`
    await send(tenant, 100, 'p', 'order.created')
    const warm = deliverDue(service, tenant)
    await receiver.waitFor(1)
    answers.splice(0)[0]?.()
    t.match(await warm, { sent: 1 }, 'it has shown that it answers')
    receiver.received.splice(0)
    await send(tenant, 0)
    await due().execute(db)
    const worker = service.app.deliveries.createWorker({ tenantId: tenant.id })
    worker.start()
    try {
      await receiver.waitFor(1)
      for (const n of [1, 2, 3]) await send(tenant, n)
      await send(tenant, 9, 'other')
      await due().execute(db)
      worker.hint([id])
      await receiver.waitFor(2)
      t.strictSame(arrived(receiver), [0, 9], 'another key does not wait')
      t.strictSame(await statusesOf(db, id), { pending: 5, sent: 1 }, 'nothing of its key has ended')
      for (const answer of answers.splice(0)) answer()
      await receiver.waitFor(3)
      for (const answer of answers.splice(0)) answer()
    } finally {
      await worker.stop()
    }
    t.strictSame(arrived(receiver), [0, 9, 3])
    const reasons = (await deliveriesOf(db, id)).map((row) => [row.status, row.reason])
    const gone = ['failed', 'superseded']
    const first = status === 204 ? ['sent', null] : gone
    t.strictSame(reasons, [['sent', null], first, gone, gone, ['sent', null], ['sent', null]])
  }
})

t.test('what was replaced is sent again when a person asks, and by no replay of what failed', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const clock = new TestClock()
  const { id, slug } = await coalescing(tenant, receiver.url)
  const burst = async () => {
    clock.advance(WINDOW_SECONDS * 1_000)
    return deliverDue(service, tenant, clock)
  }
  for (const n of [0, 1, 2]) await send(tenant, n)
  await burst()
  t.strictSame(arrived(receiver), [2])
  const [first] = await idsOf(id)

  await send(tenant, 3)
  t.equal((await tenant.post(`/api/plugins/events/${first}/retry`)).statusCode, 202)
  t.match(await deliverDue(service, tenant), { sent: 1 }, 'at once, whatever is newer')
  t.strictSame(arrived(receiver), [2, 0])
  t.match(await read(tenant, first), { status: 'sent', superseded_by: null })
  await burst()
  t.strictSame(arrived(receiver), [2, 0, 3])

  const replay = async (body: object) => {
    const response = await tenant.post(`/api/plugins/${slug}/replays`, body)
    t.equal(response.statusCode, 202, response.body)
    while ((await runReplayTurn(replays)) !== 'idle');
    const { id: job } = response.json<{ id: string }>()
    return (await tenant.get(`/api/replays/${job}`)).json<{ queued: number }>().queued
  }
  t.equal(await replay({ status: 'failed' }), 0)
  t.equal(await replay({ status: 'undelivered' }), 0)
  const retry = async (body: object) =>
    (await tenant.post('/api/plugins/events/retry', { plugin: slug, dry_run: true, ...body })).json<object>()
  t.match(await retry({}), { count: 0 })
  t.match(await retry({ reason: 'superseded' }), { count: 1 })

  await send(tenant, 4)
  t.equal(await replay({}), 5)
  await burst()
  t.strictSame(arrived(receiver), [2, 0, 3, 4], 'of what is replayed, too, only the newest is sent')
  t.strictSame((await statusesOf(db, id))['pending'], undefined)
})

t.test('what waits and is asked for by a person is sent whatever is newer', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const clock = new TestClock()
  const { id } = await coalescing(tenant, receiver.url)
  await send(tenant, 0)
  await send(tenant, 1)
  const [first] = await idsOf(id)
  t.equal((await tenant.post(`/api/plugins/events/${first}/retry`)).statusCode, 202)
  t.match(await deliverDue(service, tenant), { sent: 1 })
  t.strictSame(arrived(receiver), [0])
  clock.advance(WINDOW_SECONDS * 1_000)
  t.match(await deliverDue(service, tenant, clock), { sent: 1 })
  t.strictSame(arrived(receiver), [0, 1])
})

t.test('a retry of many sends what had failed whatever is newer', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const clock = new TestClock()
  const { id } = await coalescing(tenant, receiver.url, { retry_schedule: [] })
  let status = 400
  receiver.answer((_, response) => response.writeHead(status).end())
  await send(tenant, 0)
  clock.advance(WINDOW_SECONDS * 1_000)
  t.match(await deliverDue(service, tenant, clock), { failed: 1 })
  status = 204
  await send(tenant, 1)
  await db.transaction().execute(async (trx) => {
    await queueThese(trx, { tenantId: tenant.id, request: { reason: 'exhausted' } }, await idsOf(id))
  })
  t.match(await deliverDue(service, tenant), { sent: 1 })
  t.strictSame(arrived(receiver), [0, 0])
})

t.test('a replay keeps apart what intake did not coalesce', async (t) => {
  const burst = async (events: unknown[], sent: readonly number[]) => {
    const tenant = service.tenant()
    const receiver = await startReceiver(t)
    const clock = new TestClock()
    const { slug } = await coalescing(tenant, receiver.url, { events })
    for (const n of [-2, -1, 0, 1]) await send(tenant, n)
    const arrive = async () => {
      await deliverDue(service, tenant)
      clock.advance(WINDOW_SECONDS * 1_000)
      await deliverDue(service, tenant, clock)
      return arrived(receiver)
        .splice(0)
        .toSorted((a, b) => a - b)
    }
    t.strictSame(await arrive(), sent)
    receiver.received.splice(0)
    t.equal((await tenant.post(`/api/plugins/${slug}/replays`, {})).statusCode, 202)
    while ((await runReplayTurn(replays)) !== 'idle');
    t.strictSame(await arrive(), sent, 'the same again')
  }
  await burst(['*', STOCK], [-2, -1, 0, 1])
  const negative = { field: 'n', operator: 'lt', value: 0 }
  await burst([{ event: 'product.stock', filter: negative }, STOCK], [-2, -1, 1])
  await burst([{ ...STOCK, filter: negative }, 'product.*'], [-1, 0, 1])
})

t.test('an older one whose transaction is still open is not sent after a newer one', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const clock = new TestClock()
  await coalescing(tenant, receiver.url)
  await db.transaction().execute(async (trx) => {
    await service.app.events.emitIn(trx, {
      tenantId: tenant.id,
      event: 'product.stock',
      source: 'platform',
      data: { product_id: 'p', n: 0 },
    })
    await send(tenant, 1)
    clock.advance(WINDOW_SECONDS * 1_000)
    t.match(await deliverDue(service, tenant, clock, 300), { processed: 0 })
  })
  t.match(await deliverDue(service, tenant, clock), { sent: 1 })
  t.strictSame(arrived(receiver), [1])
})

t.test('more than one statement ends, and what somebody has locked, comes before the newest', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const clock = new TestClock()
  const { id } = await coalescing(tenant, receiver.url)
  await sendBurst(tenant, numbers(2_500))
  clock.advance(WINDOW_SECONDS * 1_000)
  const [first = ''] = await idsOf(id)
  let draining: Promise<DeliveryCounts> | undefined
  await db.transaction().execute(async (trx) => {
    await trx.selectFrom('deliveries').select('id').where('id', '=', first).forUpdate().execute()
    draining = deliverDue(service, tenant, clock)
    await until(async () => (await statusesOf(db, id))['failed'] === 2_498, 'all end that nobody has locked')
    t.strictSame(await statusesOf(db, id), { failed: 2_498, pending: 2 })
    t.strictSame(arrived(receiver), [])
  })
  t.match(await draining, { processed: 1, sent: 1 })
  t.strictSame(arrived(receiver), [2_499])
  t.strictSame(await statusesOf(db, id), { failed: 2_499, sent: 1 })
})

async function holdLane(pluginId: string) {
  await sql`update delivery_lanes set lease_token = 7, lease_until = now() + interval '1 minute' where plugin_id = ${pluginId}`.execute(
    db,
  )
}

t.test('a statement ends 1,000 in all, of every key some', async (t) => {
  const tenant = service.tenant()
  const { id: pluginId } = await coalescing(tenant, 'http://127.0.0.1:9/', { status: 'paused' })
  const [keys, ofKey] = [30, 50]
  await sql`
    insert into deliveries (tenant_id, id, plugin_id, event_id, event, coalesce_key, ordering_place)
    select ${tenant.id}::uuid, gen_random_uuid(), ${pluginId}::uuid, gen_random_uuid(), 'product.stock', md5('k' || n % ${keys}::int)::uuid, n
    from generate_series(1, ${keys * ofKey}::int) n`.execute(db)
  await holdLane(pluginId)
  const found = [...new Set((await deliveriesOf(db, pluginId)).map((row) => row.coalesce_key ?? ''))]
  const end = () =>
    supersede(
      pool,
      found.map((key) => ({ pluginId, leaseToken: 7, key })),
      null,
    )
  const first = await end()
  t.strictSame(await statusesOf(db, pluginId), { failed: 1_000, pending: keys * ofKey - 1_000 })
  t.equal(first.length, keys)
  t.ok(first.every(({ complete, superseded }) => !complete && (superseded?.['product.stock'] ?? 0) >= 33))
  t.ok((await end()).every(({ complete }) => complete))
  t.strictSame(await statusesOf(db, pluginId), { failed: keys * (ofKey - 1), pending: keys })
})

t.test(
  'when looking for the newest fails, other plugins get what is due, and it is tried again',
  async (t) => {
    const tenant = service.tenant()
    const [receiver, other] = [await startReceiver(t), await startReceiver(t)]
    const { id } = await coalescing(tenant, receiver.url)
    await sql`create function refuse_superseded() returns trigger language plpgsql as
    $$begin raise exception 'refused for a test'; end$$`.execute(db)
    await sql`create trigger refuse_superseded before update on deliveries for each row
    when (new.reason = 'superseded') execute function refuse_superseded()`.execute(db)
    const allow = async () => sql`drop function if exists refuse_superseded cascade`.execute(db)
    t.teardown(allow)
    await send(tenant, 0)
    await send(tenant, 1)
    await sql`update deliveries set due_at = now() where plugin_id = ${id}`.execute(db)
    await registerPlugin(tenant, other.url, { events: ['order.created'] })
    await send(tenant, 2, 'p', 'order.created')
    const worker = service.app.deliveries.createWorker({ tenantId: tenant.id })
    worker.start()
    try {
      await other.waitFor(1)
      t.equal((await statusesOf(db, id))['failed'], undefined, 'nothing has ended')
      await allow()
      await until(() => arrived(receiver).includes(1), 'the newest arrives')
    } finally {
      await worker.stop()
    }
    t.strictSame(arrived(receiver).toSorted(), [1, 2])
  },
)

t.test('who has lost the lane ends nothing', async (t) => {
  const tenant = service.tenant()
  const { id } = await coalescing(tenant, 'http://127.0.0.1:9/')
  await send(tenant, 0)
  await send(tenant, 1)
  await sql`update delivery_lanes set lease_token = 7, lease_until = now() + interval '1 minute' where plugin_id = ${id}`.execute(
    db,
  )
  const key = (await deliveriesOf(db, id))[0]?.coalesce_key ?? ''
  const by = (leaseToken: number) => supersede(pool, [{ pluginId: id, leaseToken, key }], null)
  t.strictSame(await by(6), [])
  t.strictSame(await statusesOf(db, id), { pending: 2 })
  t.match(await by(7), [{ complete: true, sendable: true, superseded: { 'product.stock': 1 } }])
  t.match(await by(7), [{ complete: true, sendable: true, superseded: null }], 'a second time ends nothing')
  t.strictSame(await statusesOf(db, id), { failed: 1, pending: 1 })
  t.match(await laneOf(db, id), { consecutive_failures: 0 })
})

t.test('it is refused together with order, whichever comes last, and where it says nothing', async (t) => {
  const tenant = service.tenant()
  const refused = async (response: { statusCode: number; json: () => unknown }, pointers: string[]) => {
    t.equal(response.statusCode, 400)
    const { errors } = response.json() as { errors: { pointer: string; detail: string }[] }
    t.strictSame(
      errors.map(({ pointer }) => pointer),
      pointers,
    )
    return errors
  }
  const body = { name: 'both', webhook_url: 'http://127.0.0.1:9/', events: ['order.*', STOCK] }
  const both = ['/ordering', '/events/1/coalesce']
  const [error] = await refused(await tenant.post('/api/plugins', { ...body, ordering: 'key' }), both)
  t.match(error?.detail, /events\[1\]\.coalesce/)
  const { slug } = await coalescing(tenant, body.webhook_url, { events: body.events })
  t.match((await tenant.get(`/api/plugins/${slug}`)).json(), { events: ['order.*', STOCK] })
  await refused(await tenant.patch(`/api/plugins/${slug}`, { ordering: 'key' }), both)
  t.equal(
    (await tenant.patch(`/api/plugins/${slug}`, { ordering: 'key', events: ['order.*'] })).statusCode,
    200,
  )
  await refused(await tenant.patch(`/api/plugins/${slug}`, { events: body.events }), both)
  for (const [coalesce, pointer] of [
    [{ key: 'a..b', window_seconds: 5 }, '/events/0/coalesce/key'],
    [{ key: 'a', window_seconds: 0 }, '/events/0/coalesce/window_seconds'],
    [{ key: 'a', window_seconds: 3_601 }, '/events/0/coalesce/window_seconds'],
    [{ key: 'a' }, '/events/0/coalesce'],
    [{ window_seconds: 5, ms: 1 }, '/events/0/coalesce'],
  ] as const) {
    const events = [{ event: 'product.stock', coalesce }]
    const response = await tenant.patch(`/api/plugins/${slug}`, { events })
    t.equal(response.statusCode, 400, response.body)
    t.ok(response.body.includes(pointer), response.body)
  }
})

const WAITING = 20_000

t.test('looking for the newest reads what it ends, with a long queue and as many keys', async (t) => {
  const tenant = service.tenant()
  const { id: one } = await coalescing(tenant, 'http://127.0.0.1:9/', { status: 'paused' })
  const { id: many } = await coalescing(tenant, 'http://127.0.0.1:9/', { status: 'paused' })
  for (const [pluginId, key] of [
    [one, sql`md5('one')::uuid`],
    [many, sql`md5(n::text)::uuid`],
  ] as const) {
    await sql`
      insert into deliveries (tenant_id, id, plugin_id, event_id, event, coalesce_key, ordering_place)
      select ${tenant.id}::uuid, gen_random_uuid(), ${pluginId}::uuid, gen_random_uuid(), 'product.stock', ${key}, n
      from generate_series(1, ${WAITING}::int) n`.execute(db)
  }
  await analyze(db, 'deliveries')
  await sql`update delivery_lanes set lease_token = 7, lease_until = now() + interval '1 minute' where tenant_id = ${tenant.id}`.execute(
    db,
  )
  const read = async (ask: (watched: pg.Pool) => Promise<unknown>) => {
    let asked: pg.QueryConfig | undefined
    const watched = { query: async (query: pg.QueryConfig) => ((asked = query), { rows: [] }) }
    await ask(watched as unknown as pg.Pool)
    const [rows] = await rowsRead(service.app.pools.api, (kysely) =>
      kysely.executeQuery(CompiledQuery.raw(asked?.text ?? '', asked?.values ?? [])),
    )
    return rows ?? Infinity
  }
  for (const pluginId of [one, many]) {
    const except = { ids: [newId()], keys: [newId()] }
    t.ok(
      (await read((look) => fetchCoalesced(look, [{ pluginId, live: 256, bulk: 256 }], except, null))) <
        1_000,
    )
  }
  const keysOf = async (pluginId: string) =>
    [...new Set((await deliveriesOf(db, pluginId)).slice(0, 16).map((row) => row.coalesce_key ?? ''))].map(
      (key) => ({
        pluginId,
        leaseToken: 7,
        key,
      }),
    )
  const [hot, apart] = [await keysOf(one), await keysOf(many)]
  t.ok((await read((look) => supersede(look, hot, null))) < 10_000)
  t.ok((await read((look) => supersede(look, apart, null))) < 500)
})
