import { sql } from 'kysely'
import t from 'tap'
import { stringifyWritten } from '#lib/json/written.ts'
import { readFeed } from '#modules/event/feed/feed.ts'
import { selectCaused, selectStarted } from '#modules/event/feed/list-repository.ts'
import type { FeedQuery } from '#modules/event/feed/schemas.ts'
import { newId } from '#lib/ids.ts'
import { clientFor, startApp, type Tenant } from '#test/support/app.ts'
import { analyze, rowsRead } from '#test/support/plans.ts'
import { feedSettled, pluginKey, subscribe } from '../support.ts'

const service = await startApp(t)
const { app, db } = service

interface Page {
  data: { id: string; event: string; data?: { n?: number } }[]
  next_cursor: string
  has_more: boolean
}
const read = async (tenant: Tenant, query: Record<string, string | number> = {}): Promise<Page> => {
  await feedSettled(service)
  const parameters = Object.entries({ order: 'desc', ...query }).map(
    ([name, value]) => `${name}=${encodeURIComponent(value)}`,
  )
  const response = await tenant.get(`/api/events?${parameters.join('&')}`)
  if (response.statusCode !== 200) throw new Error(response.body)
  return response.json<Page>()
}
const numbers = (page: Page) => page.data.map(({ data }) => data?.n)
const send = async (tenant: Tenant, n: number, more: object = {}) =>
  (await tenant.post('/api/events', { event: 'a.b', data: { n }, ...more })).json<{ id: string }>()

t.test('the newest come first, page by page, whatever comes meanwhile', async (t) => {
  const tenant = service.tenant()
  for (let n = 0; n < 5; n++) await send(tenant, n)
  const first = await read(tenant, { limit: 2 })
  t.strictSame([numbers(first), first.has_more], [[4, 3], true])
  await send(tenant, 5)
  const second = await read(tenant, { limit: 2, cursor: first.next_cursor })
  t.strictSame([numbers(second), second.has_more], [[2, 1], true])
  const last = await read(tenant, { limit: 2, after: second.next_cursor })
  t.strictSame([numbers(last), last.has_more], [[0], false])
  const beyond = await read(tenant, { cursor: last.next_cursor })
  t.strictSame([numbers(beyond), beyond.has_more], [[], false])
  t.strictSame(numbers(await read(tenant)), [5, 4, 3, 2, 1, 0])
  t.strictSame(numbers(await read(tenant, { order: 'asc', limit: 2 })), [0, 1])
})

t.test('events of one batch are paged one by one against the feed, too', async (t) => {
  const tenant = service.tenant()
  await tenant.post('/api/events', {
    events: Array.from({ length: 5 }, (_, n) => ({ event: 'a.b', data: { n } })),
  })
  const seen: unknown[] = []
  let page = await read(tenant, { limit: 2 })
  for (seen.push(...numbers(page)); page.has_more; seen.push(...numbers(page))) {
    page = await read(tenant, { limit: 2, cursor: page.next_cursor })
  }
  t.strictSame(seen.toSorted(), [0, 1, 2, 3, 4])
})

t.test('the list is narrowed by type, source, plugin, time and the beginning of an id', async (t) => {
  const tenant = service.tenant()
  const plugin = await subscribe(service, tenant.id, ['*'])
  const own = clientFor(app, tenant.id, await pluginKey(service, tenant.id, plugin))
  await tenant.put(`/api/event-segments/loyal`, { plugin: plugin.slug })
  const { id } = await send(tenant, 0, { id: 'order-17' })
  await send(tenant, 1, { id: 'order-18', event: 'a.c' })
  await send(tenant, 2, { id: 'Lead 50% äö', event: 'b.c' })
  await send(own, 3, { event: 'loyal.earned' })
  t.strictSame(numbers(await read(tenant, { event: 'a.*' })), [1, 0])
  t.strictSame(numbers(await read(tenant, { event: 'a.*', order: 'asc' })), [0, 1])
  t.strictSame(numbers(await read(tenant, { event: 'b.c' })), [2])
  t.strictSame(numbers(await read(tenant, { source: 'plugin' })), [3])
  t.strictSame(numbers(await read(tenant, { source: 'api', limit: 2 })), [2, 1])
  t.strictSame(numbers(await read(tenant, { plugin: plugin.slug })), [3])
  t.strictSame(numbers(await read(tenant, { plugin: 'nobody' })), [])
  t.strictSame(numbers(await read(tenant, { q: 'order-' })), [1, 0])
  t.strictSame(numbers(await read(tenant, { q: 'order-17' })), [0])
  t.strictSame(numbers(await read(tenant, { q: 'Lead 50%' })), [2])
  t.strictSame(numbers(await read(tenant, { q: 'order_' })), [], 'no character stands for others')
  t.strictSame(numbers(await read(tenant, { q: id })), [0])
  t.strictSame(numbers(await read(tenant, { q: id.slice(0, 35).toUpperCase() })), [0])
  t.strictSame(numbers(await read(tenant, { q: id.replaceAll('-', '').slice(0, 30) })), [0])
  t.strictSame(numbers(await read(tenant, { q: 'order-', event: 'a.c', order: 'asc' })), [1])
  const { data } = await read(tenant, { q: 'order-18' })
  const at = (data[0] as unknown as { received_at: string }).received_at
  t.strictSame(numbers(await read(tenant, { since: at })), [3, 2, 1])
  t.strictSame(numbers(await read(tenant, { until: at })), [0])
  t.strictSame(numbers(await read(own, { q: 'order-' })), [1, 0], 'a plugin searches what it gets')
  for (const query of ['order=newest', 'source=none', 'q=', 'plugin=', 'cursor=x']) {
    t.equal((await tenant.get(`/api/events?${query}`)).statusCode, 400, query)
  }
  t.strictSame(numbers(await read(service.tenant(), { q: 'order-' })), [], 'another shop has none of it')
})

t.test('an event names what it started and caused, to the shop alone', async (t) => {
  const tenant = service.tenant()
  const plugin = await subscribe(service, tenant.id, ['*'])
  const own = clientFor(app, tenant.id, await pluginKey(service, tenant.id, plugin))
  const { id } = await send(tenant, 0)
  const flow = (
    await tenant.post('/api/automation/flows', {
      name: 'Greet',
      triggers: [{ type: 'event', event_types: ['a.b'] }],
      steps: [{ id: 'task', type: 'action', action_type: 'create_task', input: { title: 'x' } }],
    })
  ).json<{ id: string }>()
  const execution = newId()
  await sql`
    insert into automation_executions (tenant_id, id, flow_id, version, status, event_id, trigger_kind, trigger, state, expires_at)
    values (${tenant.id}, ${execution}, ${flow.id}, 1, 'failed', ${id}, 'event', '{}', '{}', now())`.execute(
    db,
  )
  const caused = await send(tenant, 1, { event: 'c.d' })
  await sql`update events set causation_id = ${id} where tenant_id = ${tenant.id} and id = ${caused.id}`.execute(
    db,
  )
  const { executions, caused: events } = (await tenant.get(`/api/events/${id}`)).json<
    Record<string, unknown>
  >()
  t.strictSame(executions, [{ id: execution, flow_id: flow.id, flow_name: 'Greet', status: 'failed' }])
  t.match(events, [{ id: caused.id, event: 'c.d', publisher: 'platform' }])
  t.match((await own.get(`/api/events/${id}`)).json(), { executions: [], caused: [] })
})

t.test('what is rare among very many is found without reading the rest', async (t) => {
  const tenant = service.tenant()
  const plugin = await subscribe(service, tenant.id, [])
  const count = 20_000
  await sql`
    insert into events (tenant_id, id, source_id, fingerprint, event, source, publisher_plugin_id, causation_id,
      occurred_at, position, body)
    select ${tenant.id}::uuid, (lpad(to_hex(n), 8, '0') || '-0000-7000-8000-000000000000')::uuid, 'order-' || n, '',
      case when n % 5000 = 0 then 'rare.one' else 'a.b' end, 'api', case when n % 5000 = 0 then ${plugin.id}::uuid end,
      case when n % 5000 = 0 then ${plugin.id}::uuid end, now(), n, '{}'
    from generate_series(1, ${count}) n`.execute(db)
  await analyze(db, 'events')
  const reads = async (query: Partial<FeedQuery>) => {
    const all: FeedQuery = { order: 'desc', limit: 50, ...query }
    let found = 0
    const counts = await rowsRead(app.pools.api, async (watched) => {
      found = (await readFeed({ db: watched }, tenant.id, null, all)).data.length
    })
    return { found, most: Math.max(...counts) }
  }
  const few = 500
  for (const [query, found] of [
    [{}, 50],
    [{ event: 'rare.one' }, 4],
    [{ event: 'rare.*' }, 4],
    [{ plugin: plugin.slug }, 4],
    [{ q: 'order-1999' }, 11],
    [{ q: '00004e2' }, 1],
    [{ q: 'order-' }, 50],
    [{ q: '0000' }, 50],
    [{ order: 'asc', event: 'rare.one' }, 4],
  ] as const) {
    const { found: number, most } = await reads(query)
    t.equal(number, found, JSON.stringify(query))
    t.ok(
      most < (query.q === 'order-' || query.q === '0000' ? 2_500 : few),
      `${JSON.stringify(query)}: ${most}`,
    )
  }
  const caused = await rowsRead(app.pools.api, (watched) => selectCaused(watched, tenant.id, plugin.id, 50))
  t.ok(Math.max(...caused) < few, `caused: ${caused.join()}`)
  const started = await rowsRead(app.pools.api, (watched) => selectStarted(watched, tenant.id, plugin.id, 50))
  t.ok(Math.max(...started) < few, `started: ${started.join()}`)
})

t.test('an event that comes between what is looked up and the scan is not passed', async (t) => {
  const tenant = service.tenant()
  await send(tenant, 0, { event: 'order.created', id: 'sale-0' })
  const slug = 'late'
  const cases: [string, Partial<FeedQuery>, (n: number) => Promise<unknown>][] = [
    ['recursive hop', { event: 'order.*' }, (n) => send(tenant, n, { event: 'order.late' })],
    ['source_id >=', { q: 'sale-' }, (n) => send(tenant, n, { id: 'sale-1' })],
    [
      'from "plugins"',
      { plugin: slug },
      async (n) => {
        const plugin = await subscribe(service, tenant.id, [], slug)
        const own = clientFor(app, tenant.id, await pluginKey(service, tenant.id, plugin))
        await tenant.put('/api/event-segments/late', { plugin: slug })
        await send(own, n, { event: 'late.sent' })
      },
    ],
  ]
  for (const [index, [statement, query, late]] of cases.entries()) {
    const asked: FeedQuery = { order: 'asc', limit: 10, ...query }
    await feedSettled(service)
    const first = await readFeed({ db: after(statement, () => late(index + 1)) }, tenant.id, null, asked)
    await feedSettled(service)
    const next = await readFeed({ db }, tenant.id, null, { ...asked, cursor: first.next_cursor })
    t.match(JSON.parse(stringifyWritten(next)), { data: [{ data: { n: index + 1 } }] }, statement)
  }
})

/** The database, where something happens once right after a statement that contains the text. */
function after(text: string, work: () => Promise<unknown>) {
  let queryId: object | null = null
  return db.withPlugin({
    transformQuery: ({ node, queryId: id }) => {
      const { sql: compiled } = db.getExecutor().compileQuery(node, id)
      if (compiled.includes(text)) queryId ??= id
      return node
    },
    transformResult: async ({ result, queryId: id }) => {
      if (id === queryId) await work()
      return result
    },
  })
}
