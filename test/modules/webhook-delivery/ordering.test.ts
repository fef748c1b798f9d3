import { CompiledQuery, sql } from 'kysely'
import type pg from 'pg'
import t from 'tap'
import { newId } from '#lib/ids.ts'
import { fetchOrdered, hurryKeys, setAside } from '#modules/webhook-delivery/due/ordered-repository.ts'
import { releaseStranded } from '#modules/webhook-delivery/due/stranded-repository.ts'
import { queueState } from '#modules/webhook-delivery/index.ts'
import { startApp, type Tenant } from '#test/support/app.ts'
import {
  deliverDue,
  deliveriesOf,
  registerPlugin,
  sendEvent,
  statusesOf,
  TestClock,
} from '#test/support/deliveries.ts'
import { analyze, rowsRead } from '#test/support/plans.ts'
import { type Received, type Receiver, startReceiver } from '#test/support/receiver.ts'

const service = await startApp(t)
const { db } = service

interface Shown {
  id: string
  status: string
  reason: string | null
  behind: string | null
  next_attempt_at: string | null
}

const dataOf = ({ body }: Received) => (JSON.parse(body) as { data: { product_id: string; n: number } }).data
const arrived = (receiver: Receiver) => receiver.received.map((each) => dataOf(each).n)
const read = async (tenant: Tenant, id: string | undefined) =>
  (await tenant.get(`/api/plugins/events/${id}`)).json<Shown>()
const idsOf = async (pluginId: string) => (await deliveriesOf(db, pluginId)).map(({ id }) => id)
const send = (tenant: Tenant, n: number, product = 'p') =>
  sendEvent(tenant, 'product.updated', { product_id: product, name: 'Apron', n })

/** Registers a plugin that keeps order, and shows that it answers. */
async function ordered(tenant: Tenant, url: string, fields: object = {}) {
  return registerPlugin(tenant, url, { ordering: 'key', ...fields })
}

t.test('deliveries of a key go out one at a time in the order of intake', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id } = await ordered(tenant, receiver.url, { max_in_flight: 8 })
  const open = new Map<string, number>()
  let most = 0
  receiver.answer((received, response) => {
    const { product_id: key } = dataOf(received)
    open.set(key, (open.get(key) ?? 0) + 1)
    most = Math.max(most, open.get(key) ?? 0)
    setImmediate(() => {
      open.set(key, (open.get(key) ?? 0) - 1)
      response.writeHead(204).end()
    })
  })
  // Far more of one key than are taken in hand together, among others.
  const events = Array.from({ length: 400 }, (_, n) => ({
    event: 'product.updated',
    id: crypto.randomUUID(),
    data: { product_id: n % 2 === 0 ? 'hot' : `p${n % 15}`, name: 'Apron', n },
  }))
  t.equal((await tenant.post('/api/events', { events })).statusCode, 202)
  t.match(await deliverDue(service, tenant), { sent: 400, failed: 0 })
  t.equal(most, 1)
  for (const [key, group] of Map.groupBy(receiver.received.map(dataOf), (data) => data.product_id)) {
    const order = group.map(({ n }) => n)
    t.strictSame(
      order,
      order.toSorted((a, b) => a - b),
      key,
    )
  }
  t.strictSame(await statusesOf(db, id), { sent: 400 })
})

t.test('with many keys what waits is handed on in memory, and nothing is set aside', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id } = await ordered(tenant, receiver.url, { max_in_flight: 8 })
  const events = Array.from({ length: 1_000 }, (_, n) => ({
    event: 'product.updated',
    data: { product_id: `p${n % 100}`, name: 'Apron', n },
  }))
  t.equal((await tenant.post('/api/events', { events })).statusCode, 202)
  t.match(await deliverDue(service, tenant), { sent: 1_000 })
  // Each that is set aside, and each that it was set aside behind, is written once more.
  const followed = (await deliveriesOf(db, id)).filter((row) => row.followed)
  t.equal(followed.length, 0)
})

t.test('one that fails holds back only its key, which its deliveries tell', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const clock = new TestClock()
  const { id, slug } = await ordered(tenant, receiver.url, { retry_schedule: [60] })
  receiver.answer((received, response) => {
    response
      .writeHead(dataOf(received).product_id === 'bad' && receiver.received.length < 5 ? 400 : 204)
      .end()
  })
  for (const [n, key] of ['bad', 'bad', 'good', 'bad', 'good'].entries()) await send(tenant, n, key)
  t.match(await deliverDue(service, tenant, clock), { sent: 2, retried: 1 })
  t.strictSame(arrived(receiver), [0, 2, 4])
  const [first, second, , third] = await idsOf(id)
  for (const each of [second, third]) {
    t.match(await read(tenant, each), {
      status: 'pending',
      reason: 'behind',
      behind: first,
      next_attempt_at: null,
    })
  }
  t.match(await read(tenant, first), { status: 'retry', reason: null, behind: null })
  const listed = (await tenant.get('/api/plugins/events?reason=behind')).json<{ data: Shown[] }>().data
  t.strictSame(
    listed.map((each) => each.id),
    [third, second],
  )
  const { event_id: eventId } = (await deliveriesOf(db, id))[1] ?? {}
  t.match((await tenant.get(`/api/events/${eventId}`)).json(), {
    deliveries: [{ reason: 'behind', behind: first }],
  })

  const health = async () => (await tenant.get(`/api/plugins/${slug}`)).json<{ health: object }>().health
  t.match(await health(), { key_held_since: null })
  const since = new Date(Date.now() - 600_000)
  await db
    .updateTable('deliveries')
    .set({ behind_since: since })
    .where('id', '=', third ?? '')
    .execute()
  t.match(
    await health(),
    { key_held_since: since.toISOString() },
    'what is held for longer than five minutes is told',
  )
  t.ok((await queueState(service.app.pools.api)).keyHeldSeconds >= 600)

  await tenant.post(`/api/plugins/${slug}/pause`)
  t.match(await read(tenant, second), { reason: 'plugin_paused' })
  await tenant.post(`/api/plugins/${slug}/resume`)
  clock.advance(90_000)
  receiver.answer(204)
  t.match(await deliverDue(service, tenant, clock), { sent: 3 })
  t.strictSame(arrived(receiver), [0, 2, 4, 0, 1, 3])
  t.match(await read(tenant, second), { status: 'sent', reason: null, behind: null })
  t.equal((await queueState(service.app.pools.api)).keyHeldSeconds, 0)
})

t.test('whatever ends a delivery releases the next', async (t) => {
  for (const [end, how] of Object.entries({
    'no delay is left': async () => undefined,
    'it is ended by hand': async (pluginId: string) =>
      db
        .updateTable('deliveries')
        .set({ status: 'failed', reason: 'erased', due_at: null })
        .where('plugin_id', '=', pluginId)
        .where('status', '=', 'retry')
        .execute(),
    'it is unsubscribed': async (_: string, tenant: Tenant, slug: string) =>
      tenant.patch(`/api/plugins/${slug}`, { events: ['product.updated'] }),
    'it is skipped': async (_: string, tenant: Tenant, slug: string, n: () => Promise<unknown>) => {
      await tenant.post(`/api/plugins/${slug}/resume`, { backlog: 'skip' })
      await n()
    },
  })) {
    const tenant = service.tenant()
    const receiver = await startReceiver(t)
    const isFinal = end === 'no delay is left'
    const { id, slug } = await ordered(tenant, receiver.url, { retry_schedule: isFinal ? [] : [3_600] })
    receiver.answer((received, response) => response.writeHead(dataOf(received).n === 0 ? 400 : 204).end())
    await sendEvent(tenant, 'product.created', { product_id: 'p', name: 'Apron', n: 0 })
    for (const n of [1, 2]) await send(tenant, n)
    await deliverDue(service, tenant)
    if (!isFinal) t.strictSame(arrived(receiver), [0])
    await how(id, tenant, slug, () => send(tenant, 3))
    await deliverDue(service, tenant)
    t.strictSame(arrived(receiver), end === 'it is skipped' ? [0, 3] : [0, 1, 2], end)
  }
})

t.test(
  'what is unsubscribed while it stands between others ends at once, and holds none of them',
  async (t) => {
    const tenant = service.tenant()
    const receiver = await startReceiver(t)
    const clock = new TestClock()
    const { id, slug } = await ordered(tenant, receiver.url, { retry_schedule: [60] })
    receiver.answer(400)
    const created = (n: number) => sendEvent(tenant, 'product.created', { product_id: 'p', name: 'Apron', n })
    await send(tenant, 0)
    await created(1)
    await send(tenant, 2)
    await created(3)
    t.match(await deliverDue(service, tenant, clock), { retried: 1 })
    receiver.answer(204)
    t.equal((await tenant.patch(`/api/plugins/${slug}`, { events: ['product.updated'] })).statusCode, 200)
    t.match(await deliverDue(service, tenant, clock), { processed: 0 })
    const ends = async () => (await deliveriesOf(db, id)).map(({ status, reason }) => [status, reason])
    const unsubscribed = ['failed', 'unsubscribed']
    t.strictSame(await ends(), [['retry', null], unsubscribed, ['pending', null], unsubscribed])
    clock.advance(90_000)
    t.match(await deliverDue(service, tenant, clock), { sent: 2 })
    t.strictSame(arrived(receiver), [0, 0, 2])
  },
)

t.test('many that are unsubscribed end, however they move in the queue', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  receiver.answer(400)
  const { id, slug } = await ordered(tenant, receiver.url, { retry_schedule: [3_600] })
  const events = Array.from({ length: 900 }, (_, n) => ({
    event: 'product.created',
    data: { product_id: 'p', name: 'Apron', n },
  }))
  for (const half of [events.slice(0, 450), events.slice(450)])
    await tenant.post('/api/events', { events: half })
  await deliverDue(service, tenant)
  await send(tenant, 900)
  receiver.answer(204)
  await tenant.patch(`/api/plugins/${slug}`, { events: ['product.updated'] })
  await deliverDue(service, tenant)
  t.strictSame(await statusesOf(db, id), { failed: 900, sent: 1 })
})

t.test('what is sent again takes its place behind what waits', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const clock = new TestClock()
  const { id, slug } = await ordered(tenant, receiver.url, { retry_schedule: [60] })
  receiver.answer(400)
  await send(tenant, 0)
  await deliverDue(service, tenant, clock)
  clock.advance(90_000)
  await deliverDue(service, tenant, clock)
  await send(tenant, 1)
  await deliverDue(service, tenant, clock)
  const [first, second] = await idsOf(id)
  t.match(await read(tenant, first), { status: 'failed', reason: 'exhausted' })
  t.match(await read(tenant, second), { status: 'retry' })
  t.equal((await tenant.post(`/api/plugins/events/${first}/retry`)).statusCode, 202)
  await deliverDue(service, tenant, clock)
  t.match(await read(tenant, first), { status: 'pending', reason: 'behind', behind: second })
  t.strictSame(arrived(receiver), [0, 0, 1], 'it does not overtake')
  receiver.answer(204)
  clock.advance(90_000)
  await deliverDue(service, tenant, clock)
  t.strictSame(arrived(receiver), [0, 0, 1, 1, 0])

  await tenant.post(`/api/plugins/${slug}/pause`)
  await send(tenant, 2)
  t.equal((await tenant.post(`/api/plugins/events/${second}/retry`)).statusCode, 202)
  const replay = await tenant.post(`/api/plugins/${slug}/replays`, { status: 'sent' })
  t.equal(replay.statusCode, 202)
  await tenant.post(`/api/plugins/${slug}/resume`)
  await deliverDue(service, tenant, clock)
  t.strictSame(arrived(receiver).slice(5, 7), [2, 1], 'a resend is behind, too')
})

const pool = service.app.pools.worker

/** What a worker is about to set aside, as it has read it. */
async function readFollowers(tenant: Tenant, pluginId: string) {
  const rows = await fetchOrdered(pool, [{ pluginId, live: 16, bulk: 16 }], [], null)
  return rows.flatMap(({ id, place, behind, behind_place: behindPlace }) =>
    id === null || place === null || behind === null || behindPlace === null
      ? []
      : [{ tenantId: tenant.id, id, place, behind, behindPlace }],
  )
}

t.test('two deliveries never wait for one another, and what waits for nothing is released', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id } = await ordered(tenant, receiver.url, { retry_schedule: [] })
  await send(tenant, 0)
  await send(tenant, 1)
  const [first = '', second] = await idsOf(id)
  const stale = await readFollowers(tenant, id)
  t.match(stale, [{ id: second, behind: first }])
  await db
    .updateTable('deliveries')
    .set({ status: 'failed', reason: 'exhausted', due_at: null })
    .where('id', '=', first)
    .execute()
  t.equal((await tenant.post(`/api/plugins/events/${first}/retry`)).statusCode, 202)
  t.equal((await setAside(pool, stale)).size, 0, 'the one before stands behind it by now')
  const fresh = await readFollowers(tenant, id)
  t.match(fresh, [{ id: first, behind: second }])
  t.strictSame([...(await setAside(pool, fresh))], [first])
  t.equal((await setAside(pool, fresh)).size, 0)
  const aside = await db
    .selectFrom('deliveries')
    .select(sql<boolean>`isfinite(behind_since)`.as('is_finite'))
    .where('id', '=', first)
    .executeTakeFirst()
  t.strictSame(aside, { is_finite: true }, 'a second time changes nothing')
  t.match(await deliverDue(service, tenant), { sent: 2 })
  t.strictSame(arrived(receiver), [1, 0])

  await send(tenant, 2)
  await send(tenant, 3)
  await sql`
    update deliveries set due_at = 'infinity', behind_since = now() - interval '6 minutes'
    where plugin_id = ${id} and status = 'pending'`.execute(db)
  t.match(await deliverDue(service, tenant), { processed: 0 })
  const released = new Set<string>()
  let after: Awaited<ReturnType<typeof releaseStranded>>['next'] = null
  do {
    const look = await releaseStranded(pool, { after, limit: 1 })
    for (const pluginId of look.pluginIds) released.add(pluginId)
    after = look.next
  } while (after !== null)
  t.ok(released.has(id))
  const waiting = await readFollowers(tenant, id)
  t.strictSame(waiting, [], 'the second still waits for the first')
  await sql`update deliveries set followed = true where plugin_id = ${id} and due_at < 'infinity'`.execute(db)
  t.match(await deliverDue(service, tenant), { sent: 2 })
  t.strictSame(arrived(receiver), [1, 0, 2, 3])
})

t.test('what is released is due since when it was', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id } = await ordered(tenant, receiver.url)
  await send(tenant, 0)
  await send(tenant, 1)
  const [, second] = await idsOf(id)
  const dueAt = async () => (await deliveriesOf(db, id)).find((each) => each.id === second)?.due_at
  const before = await dueAt()
  t.equal((await setAside(pool, await readFollowers(tenant, id))).size, 1)
  await db
    .updateTable('deliveries')
    .set({ status: 'failed', due_at: null })
    .where('plugin_id', '=', id)
    .where('followed', '=', true)
    .execute()
  t.ok(before)
  t.strictSame(await dueAt(), before)
})

t.test('a replay leaves alone what is set aside', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id, slug } = await ordered(tenant, receiver.url, { retry_schedule: [3_600] })
  receiver.answer(400)
  await send(tenant, 0)
  await send(tenant, 1)
  await deliverDue(service, tenant)
  const [, second] = await deliveriesOf(db, id)
  t.match(second, { bulk: false, behind_since: Date })
  const replayed = await tenant.post(`/api/events/${second?.event_id ?? ''}/replay`, { plugin: slug })
  t.equal(replayed.statusCode, 202)
  t.match((await deliveriesOf(db, id))[1], { bulk: false, behind_since: second?.behind_since ?? null })
})

t.test('the first sixteen of a key become live together', async (t) => {
  const tenant = service.tenant()
  const { id } = await ordered(tenant, 'http://127.0.0.1:9/', { status: 'paused' })
  for (let n = 0; n < 18; n++) await send(tenant, n)
  await db.updateTable('deliveries').set({ bulk: true }).where('plugin_id', '=', id).execute()
  const rows = await deliveriesOf(db, id)
  const key = rows[0]?.ordering_key ?? ''
  const hurried = await hurryKeys(pool, [{ tenantId: tenant.id, pluginId: id, key }])
  t.strictSame(
    hurried.toSorted(),
    rows
      .slice(0, 16)
      .map((row) => row.id)
      .toSorted(),
  )
})

t.test('a live delivery that waits behind a replayed one makes it live', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  receiver.answer(400)
  const { id } = await ordered(tenant, receiver.url, { retry_schedule: [3_600] })
  await send(tenant, 0)
  await deliverDue(service, tenant)
  const [first] = await idsOf(id)
  await db.updateTable('deliveries').set({ bulk: true }).where('plugin_id', '=', id).execute()
  await send(tenant, 1)
  await deliverDue(service, tenant)
  const [head, next] = await deliveriesOf(db, id)
  t.match(head, { id: first, bulk: false, followed: true })
  t.match(next, { bulk: false, status: 'pending' })
  t.ok(next?.behind_since)
})

t.test('an event whose transaction is still open keeps its place before a later one', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  await ordered(tenant, receiver.url)
  await db.transaction().execute(async (trx) => {
    await service.app.events.emitIn(trx, {
      tenantId: tenant.id,
      event: 'product.updated',
      source: 'platform',
      data: { product_id: 'p', name: 'Apron', n: 0 },
    })
    await send(tenant, 1)
    t.match(await deliverDue(service, tenant, undefined, 300), { processed: 0 })
  })
  t.match(await deliverDue(service, tenant), { sent: 2 })
  t.strictSame(arrived(receiver), [0, 1])
})

t.test('without a key deliveries wait for nothing; ordering can be turned on and off', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id, slug } = await ordered(tenant, receiver.url, {
    ordering_key: 'group.id',
    retry_schedule: [3_600],
  })
  receiver.answer((received, response) => response.writeHead(dataOf(received).n === 0 ? 400 : 204).end())
  const grouped = (n: number, group: object | null) =>
    sendEvent(tenant, 'product.updated', { product_id: 'p', name: 'Apron', n, group })
  await grouped(0, { id: 7 })
  await grouped(1, { id: '7' })
  await grouped(2, { id: [7] })
  await grouped(3, null)
  t.match(await deliverDue(service, tenant), { sent: 2, retried: 1 })
  t.strictSame(arrived(receiver).toSorted(), [0, 2, 3])
  const off = await tenant.patch(`/api/plugins/${slug}`, { ordering: 'none', ordering_key: null })
  t.match(off.json(), { ordering: 'none', ordering_key: null })
  await grouped(4, { id: 7 })
  t.match(await deliverDue(service, tenant), { sent: 1 })
  t.strictSame(arrived(receiver).at(-1), 4)
  t.match((await deliveriesOf(db, id)).at(-1), { ordering_key: null, ordering_place: null })
  for (const [given, pointer] of [
    [{ ordering_key: 'a..b' }, '/ordering_key'],
    [{ ordering: 'lane' }, '/ordering'],
  ] as const) {
    const refused = await tenant.patch(`/api/plugins/${slug}`, given)
    t.equal(refused.statusCode, 400)
    t.match(refused.json(), { errors: [{ pointer }] })
  }
})

const WAITING = 20_000

t.test('looking for work reads a batch, with a long queue of one key and with as many keys', async (t) => {
  const tenant = service.tenant()
  const { id: one } = await ordered(tenant, 'http://127.0.0.1:9/', { status: 'paused' })
  const { id: many } = await ordered(tenant, 'http://127.0.0.1:9/', { status: 'paused' })
  for (const [pluginId, key] of [
    [one, sql`md5('one')::uuid`],
    [many, sql`md5(n::text)::uuid`],
  ] as const) {
    await sql`
      insert into deliveries (tenant_id, id, plugin_id, event_id, event, ordering_key, ordering_place)
      select ${tenant.id}::uuid, gen_random_uuid(), ${pluginId}::uuid, gen_random_uuid(), 'product.updated', ${key}, n
      from generate_series(1, ${WAITING}::int) n`.execute(db)
  }
  await analyze(db, 'deliveries')
  const look = async (pluginId: string) => {
    let asked: pg.QueryConfig | undefined
    const watched = { query: async (query: pg.QueryConfig) => ((asked = query), { rows: [] }) }
    await fetchOrdered(watched as unknown as pg.Pool, [{ pluginId, live: 256, bulk: 256 }], [newId()], null)
    const [read] = await rowsRead(service.app.pools.api, (kysely) =>
      kysely.executeQuery(CompiledQuery.raw(asked?.text ?? '', asked?.values ?? [])),
    )
    return read ?? Infinity
  }
  t.ok((await look(one)) < 1_000)
  t.ok((await look(many)) < 1_000)
  await sql`
    update deliveries set due_at = 'infinity', behind_since = now(), followed = true
    where plugin_id = ${one} and ordering_place > 1`.execute(db)
  await analyze(db, 'deliveries')
  t.ok((await look(one)) < 20, 'what is set aside is not read again')
  await sql`update deliveries set followed = true where plugin_id = ${one} and ordering_place = 1`.execute(db)
  const ends = sql`update deliveries set status = 'sent', due_at = null where plugin_id = ${one} and ordering_place = 1`
  await ends.execute(db)
  const { rows } = await sql<{ place: string }>`
    select ordering_place::text as place from deliveries
    where plugin_id = ${one} and status = 'pending' and behind_since is null order by ordering_place`.execute(
    db,
  )
  t.strictSame(
    rows.map(({ place }) => Number(place)),
    Array.from({ length: 16 }, (_, index) => index + 2),
  )
})
