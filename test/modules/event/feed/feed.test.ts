import { randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import pg from 'pg'
import t from 'tap'
import { ensureFeedEpoch } from '#modules/event/feed/epoch-repository.ts'
import { lowestIdAt } from '#lib/id-range.ts'
import { clientFor, startApp, type Tenant } from '#test/support/app.ts'
import { feedSettled, pluginKey, subscribe } from '../support.ts'

const service = await startApp(t)
const { app, db } = service

interface Page {
  data: { id: string; event: string; data?: { n?: number } }[]
  next_cursor: string
  has_more: boolean
}

/** With everything in it that is committed by now. */
const read = async (tenant: Tenant, query: Record<string, string | number> = {}): Promise<Page> => {
  await feedSettled(service)
  return readNow(tenant, query)
}
const readNow = async (tenant: Tenant, query: Record<string, string | number> = {}): Promise<Page> => {
  const parameters = Object.entries(query).map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
  const response = await tenant.get(`/api/events?${parameters.join('&')}`)
  if (response.statusCode !== 200) throw new Error(response.body)
  return response.json<Page>()
}
const numbers = (page: Page) => page.data.map(({ data }) => data?.n)
const send = async (tenant: Tenant, n: number, event = 'a.b') =>
  (await tenant.post('/api/events', { event, data: { n } })).json<{ id: string }>()

t.test('pages follow each other without gap or repetition, and the last cursor goes on later', async (t) => {
  const tenant = service.tenant()
  for (let n = 0; n < 7; n++) await send(tenant, n)
  const first = await read(tenant, { limit: 3 })
  t.strictSame([numbers(first), first.has_more], [[0, 1, 2], true])
  const second = await read(tenant, { limit: 3, after: first.next_cursor })
  t.strictSame([numbers(second), second.has_more], [[3, 4, 5], true])
  const third = await read(tenant, { limit: 3, cursor: second.next_cursor })
  t.strictSame([numbers(third), third.has_more], [[6], false])
  const empty = await read(tenant, { after: third.next_cursor })
  t.strictSame([numbers(empty), empty.has_more], [[], false])
  await send(tenant, 7)
  t.strictSame(numbers(await read(tenant, { after: empty.next_cursor })), [7])
})

t.test('events of one batch share a position and still are paged one by one', async (t) => {
  const tenant = service.tenant()
  const events = Array.from({ length: 5 }, (_, n) => ({ event: 'a.b', data: { n } }))
  await tenant.post('/api/events', { events })
  const seen: unknown[] = []
  let after: string | undefined
  for (let more = true; more;) {
    const page: Page = await read(tenant, { limit: 2, ...(after !== undefined && { after }) })
    seen.push(...numbers(page))
    after = page.next_cursor
    more = page.has_more
  }
  t.strictSame(seen.toSorted(), [0, 1, 2, 3, 4])
})

t.test('a reader misses nothing while transactions commit in another order than they began', async (t) => {
  const tenant = service.tenant()
  await send(tenant, 0)
  await feedSettled(service)
  const early = new pg.Client({ connectionString: service.databaseUrl })
  const late = new pg.Client({ connectionString: service.databaseUrl })
  await Promise.all([early.connect(), late.connect()])
  t.teardown(() => Promise.all([early.end(), late.end()]))
  const insert = (client: pg.Client, n: number) =>
    client.query(
      `insert into events (tenant_id, id, fingerprint, event, source, occurred_at, body)
       values ($1, $2, '', 'a.b', 'api', now(), $3)`,
      [
        tenant.id,
        randomUUID(),
        JSON.stringify({
          event: 'a.b',
          tenant_id: tenant.id,
          timestamp: '2026-03-01T10:00:00Z',
          data: { n },
        }),
      ],
    )

  await early.query('begin')
  await insert(early, 1)
  await late.query('begin')
  await insert(late, 2)
  await late.query('commit')

  const first = await readNow(tenant)
  t.strictSame([numbers(first), first.has_more], [[0], false], 'the later event waits for the earlier one')
  const still = await readNow(tenant, { after: first.next_cursor })
  t.strictSame(numbers(still), [])
  await early.query('commit')
  const rest = await read(tenant, { after: still.next_cursor })
  t.strictSame(numbers(rest), [1, 2])
  t.strictSame(numbers(await read(tenant, { after: rest.next_cursor })), [])
})

t.test('a writer that is rolled back holds nobody up afterwards', async (t) => {
  const tenant = service.tenant()
  const client = new pg.Client({ connectionString: service.databaseUrl })
  await client.connect()
  t.teardown(() => client.end())
  await client.query('begin')
  await client.query('select feed_position()')
  await send(tenant, 1)
  const before = await readNow(tenant)
  t.strictSame(numbers(before), [])
  await client.query('rollback')
  t.strictSame(numbers(await read(tenant, { after: before.next_cursor })), [1])
})

t.test('after a dump was restored into another cluster, new events stand behind the old ones', async (t) => {
  const tenant = service.tenant()
  await send(tenant, 1)
  const before = await read(tenant)
  // As a dump of a cluster with far more transactions behind it would leave it.
  await db
    .updateTable('events')
    .set((eb) => ({ position: eb('position', '+', 1_000_000_000) }))
    .where('tenant_id', '=', tenant.id)
    .execute()
  await db.updateTable('feed_epochs').set({ system_identifier: 'another cluster' }).execute()
  await Promise.all([1, 2, 3].map(() => ensureFeedEpoch(db)))
  const epochs = await db.selectFrom('feed_epochs').select('epoch').orderBy('epoch').execute()
  t.strictSame(
    epochs.map(({ epoch }) => epoch),
    [1, 2],
  )
  await send(tenant, 2)
  t.strictSame(numbers(await read(tenant)), [1, 2])
  t.strictSame(numbers(await read(tenant, { after: before.next_cursor })).at(-1), 2)
})

t.test('the feed can be narrowed to a type or to everything below one', async (t) => {
  const tenant = service.tenant()
  for (const [n, event] of [
    'order.paid',
    'order.line.added',
    'orders.x',
    'lead.won',
    'order.paid',
  ].entries()) {
    await send(tenant, n, event)
  }
  t.strictSame(numbers(await read(tenant, { event: 'order.*' })), [0, 1, 4])
  t.strictSame(numbers(await read(tenant, { event: 'order.paid' })), [0, 4])
  const first = await read(tenant, { event: 'order.paid', limit: 1 })
  t.strictSame([numbers(first), first.has_more], [[0], true])
  const second = await read(tenant, { event: 'order.paid', limit: 1, after: first.next_cursor })
  t.strictSame([numbers(second), second.has_more], [[4], false])
})

t.test('cursors and patterns that make no sense are refused', async (t) => {
  const tenant = service.tenant()
  const forged = (parts: unknown) => Buffer.from(JSON.stringify(parts)).toString('base64url')
  for (const after of [
    'nonsense',
    forged(['1', 'x']),
    forged([1, randomUUID()]),
    forged(['x', randomUUID()]),
    forged(['9223372036854775808', randomUUID()]),
    forged(['-2', randomUUID()]),
  ]) {
    const response = await tenant.get(`/api/events?after=${after}`)
    t.equal(response.statusCode, 400, after)
    t.equal(response.json<{ code: string }>().code, 'invalid_cursor')
  }
  const pattern = await tenant.get('/api/events?event=Order*')
  t.match(pattern.json(), { code: 'invalid_request', errors: [{ pointer: '/querystring/event' }] })
})

t.test('no tenant sees the events of another, not even by a cursor', async (t) => {
  const [one, other] = [service.tenant(), service.tenant()]
  await send(one, 1)
  const start = await read(one, { limit: 1 })
  await send(other, 2)
  t.strictSame(numbers(await read(other, { after: start.next_cursor })), [2])
  t.strictSame(numbers(await read(one)), [1])
})

t.test("a plugin's key sees what the plugin is subscribed to, filters included", async (t) => {
  const tenant = service.tenant()
  const filter = { field: 'n', operator: 'gt', value: 2 }
  const plugin = await subscribe(service, tenant.id, ['lead.*', { event: 'order.paid', filter }])
  const key = await pluginKey(service, tenant.id, plugin)
  for (const [n, event] of ['lead.won', 'order.paid', 'cart.left', 'order.paid', 'cart.left'].entries()) {
    await send(tenant, n, event)
  }
  const asPlugin = clientFor(app, tenant.id, key)
  const page = await read(asPlugin)
  t.strictSame([numbers(page), page.has_more], [[0, 3], false])
  t.strictSame(numbers(await read(asPlugin, { event: 'order.*' })), [3])
})

t.test('numbers come out of the feed as they went in', async (t) => {
  const tenant = service.tenant()
  await tenant.post('/api/events', '{"event":"a.b","data":{"big":12345678901234567890}}')
  await feedSettled(service)
  const response = await tenant.get('/api/events')
  t.match(response.body, '"data":{"big":12345678901234567890}')
})

t.test('the feed can be cut by time and asked for one source id', async (t) => {
  const tenant = service.tenant()
  await tenant.post('/api/events', { event: 'a.b', data: { n: 0 }, id: 'order 1' })
  for (let n = 1; n < 4; n++) await send(tenant, n)
  const { rows } = await sql<{ at: Date }>`
    update events set received_at = received_at - interval '10 minutes' * (3 - (body::json->'data'->>'n')::int)
    where tenant_id = ${tenant.id} returning received_at as at`.execute(db)
  const [oldest, , middle] = rows.map(({ at }) => at).toSorted((a, b) => Number(a) - Number(b))
  const since = middle?.toISOString() ?? ''
  t.strictSame(numbers(await read(tenant, { since })), [2, 3])
  t.strictSame(numbers(await read(tenant, { until: since })), [0, 1])
  t.strictSame(
    numbers(await read(tenant, { since: oldest?.toISOString() ?? '', until: since, limit: 1 })),
    [0],
  )
  t.match(await read(tenant, { since: '2099-01-01T00:00:00Z' }), { data: [], has_more: false })
  t.match(await read(tenant, { until: '2020-01-01T00:00:00Z' }), { data: [], has_more: false })
  t.strictSame(numbers(await read(tenant, { source_id: 'order 1' })), [0])
  t.strictSame(numbers(await read(tenant, { source_id: 'order 2' })), [])
  t.match((await tenant.get('/api/events?since=soon')).json(), {
    errors: [{ pointer: '/querystring/since' }],
  })
})

t.test('a time leads into the middle of the feed without reading what is before it', async (t) => {
  const tenant = service.tenant()
  const monthAgo = lowestIdAt(Date.now() - 30 * 86_400_000)
  await sql`
    insert into events (tenant_id, id, fingerprint, event, source, occurred_at, received_at, position, body)
    select ${tenant.id}::uuid, (substr(${monthAgo}, 1, 24) || lpad(to_hex(n), 12, '0'))::uuid, '', 'old.one', 'api',
      now(), now() - interval '30 days', n, '{}' from generate_series(1, 5000) n`.execute(db)
  await send(tenant, 1)
  const since = new Date(Date.now() - 3_600_000).toISOString()
  t.strictSame(numbers(await read(tenant, { since })), [1], 'on the first page')
  const until = new Date(Date.now() - 60 * 86_400_000).toISOString()
  t.match(await read(tenant, { until }), { data: [], has_more: false })
})
