import { sql, type Transaction } from 'kysely'
import t from 'tap'
import type { DB } from '#db/schema.ts'
import { newId } from '#lib/ids.ts'
import { type DeliveryFilter, listDeliveries } from '#modules/webhook-delivery/log/log-repository.ts'
import { startApp, type Tenant } from '#test/support/app.ts'
import { deliverDue, deliveriesOf, registerPlugin, sendEvent } from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'

const service = await startApp(t)
const { db } = service

interface Entry {
  event: string
  event_id: string
  plugin: string
}

async function listed(tenant: Tenant, query: string): Promise<Entry[]> {
  const response = await tenant.get(`/api/plugins/events?${query}`)
  if (response.statusCode !== 200) throw new Error(response.body)
  return response.json<{ data: Entry[] }>().data
}

t.test('the log can be narrowed by time, error, answer, reason, attempts, event and type', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  receiver.answer(({ path }, response) => response.writeHead(Number(path.slice(1))).end())
  const settings = { events: ['*'], retry_schedule: [] }
  for (const status of [204, 404, 502, 503]) {
    await registerPlugin(tenant, `${receiver.url}/${status}`, { ...settings, slug: `s${status}` })
  }
  await registerPlugin(tenant, 'http://127.0.0.1:9/', { ...settings, slug: 'closed' })
  const order = await sendEvent(tenant, 'order.created')
  const refund = await sendEvent(tenant, 'order.refund.created')
  const orders = await sendEvent(tenant, 'orders.closed')
  await deliverDue(service, tenant)
  const plugins = async (query: string) =>
    [...new Set((await listed(tenant, query)).map(({ plugin }) => plugin))].toSorted()
  const events = async (query: string) =>
    (await listed(tenant, `plugin=s204&${query}`)).map((e) => e.event_id)

  t.strictSame(await plugins('since=2099-01-01T00:00:00Z'), [])
  t.strictSame(await plugins('until=2020-01-01T00:00:00Z'), [])
  t.strictSame(await plugins('since=2020-01-01T00:00:00Z&until=2099-01-01T00:00:00Z&error_class=http_4xx'), [
    's404',
  ])
  t.strictSame(await plugins('error_class=connect_refused'), ['closed'])
  t.strictSame(await plugins('response_status=5xx'), ['s502', 's503'])
  t.strictSame(await plugins('response_status=503'), ['s503'])
  t.strictSame(await plugins('response_status=2xx'), ['s204'])
  t.strictSame(await plugins('response_status=204'), ['s204'])
  t.strictSame(await plugins('response_status=200'), [])
  t.strictSame(await plugins('reason=exhausted&response_status=4xx'), ['s404'])
  t.strictSame(await plugins('reason=gone'), [])
  t.strictSame(await plugins('attempt_count_min=2'), [])
  t.equal((await plugins('attempt_count_min=1')).length, 5)
  t.equal((await listed(tenant, `event_id=${order}`)).length, 5)
  t.strictSame(await events('event=order.*'), [refund, order])
  t.strictSame(await events('event=order.*&limit=1'), [refund])
  t.strictSame(await events('event=order.created'), [order])
  t.strictSame(await events('event=*'), [orders, refund, order])
  t.strictSame(await events('event=order.*&response_status=5xx'), [])
})

t.test('a reason that a plugin gives to what waits for it can be looked for', async (t) => {
  const tenant = service.tenant()
  await registerPlugin(tenant, 'http://127.0.0.1:9/', { slug: 'resting' })
  const { id } = await registerPlugin(tenant, 'http://127.0.0.1:9/', { slug: 'held' })
  await registerPlugin(tenant, 'http://127.0.0.1:9/', { slug: 'free' })
  await sendEvent(tenant)
  await tenant.post('/api/plugins/resting/pause')
  await db
    .updateTable('delivery_lanes')
    .set({ hold_until: sql<Date>`now() + interval '1 hour'`, hold_reason: 'breaker_open' })
    .where('plugin_id', '=', id)
    .execute()
  t.match(await listed(tenant, 'reason=plugin_paused'), [{ plugin: 'resting' }])
  t.match(await listed(tenant, 'reason=breaker_open'), [{ plugin: 'held' }])
  t.strictSame(await listed(tenant, 'reason=plugin_disabled'), [])
  await db.updateTable('delivery_lanes').set({ hold_reason: null }).where('plugin_id', '=', id).execute()
  await db.updateTable('deliveries').set({ reason: 'manual_retry' }).where('plugin_id', '=', id).execute()
  t.match(await listed(tenant, 'reason=manual_retry'), [{ plugin: 'held' }], 'a rate limit is no reason')
})

t.test('pages of a pattern over several types follow each other without gap or repetition', async (t) => {
  const tenant = service.tenant()
  await registerPlugin(tenant, 'http://127.0.0.1:9/', { events: ['*'] })
  const sent: string[] = []
  for (let index = 0; index < 12; index++) {
    const id = await sendEvent(tenant, ['order.a', 'order.b', 'product.a', 'order.c'][index % 4])
    if (index % 4 !== 2) sent.push(id)
  }
  const seen: string[] = []
  let cursor: string | null = null
  do {
    const after: string = cursor === null ? '' : `&cursor=${cursor}`
    const response = await tenant.get(`/api/plugins/events?event=order.*&limit=2${after}`)
    const page = response.json<{ data: Entry[]; next_cursor: string | null }>()
    seen.push(...page.data.map((entry) => entry.event_id))
    cursor = page.next_cursor
  } while (cursor !== null)
  t.strictSame(seen, sent.toReversed())
})

t.test('a filter that makes no sense is refused with its field', async (t) => {
  const tenant = service.tenant()
  const cases = {
    'since=yesterday': '/querystring/since',
    'since=2026-02-30T00:00:00Z': '/querystring/since',
    'until=1969-01-01T00:00:00Z': '/querystring/until',
    'response_status=6xx': '/querystring/response_status',
    'response_status=abc': '/querystring/response_status',
    'error_class=bad': '/querystring/error_class',
    'reason=because': '/querystring/reason',
    'event=order*': '/querystring/event',
    'event_id=1': '/querystring/event_id',
    'attempt_count_min=-1': '/querystring/attempt_count_min',
    'attempt_count_min=1e99': '/querystring/attempt_count_min',
  }
  for (const [query, pointer] of Object.entries(cases)) {
    const response = await tenant.get(`/api/plugins/events?${query}`)
    t.match(response.json(), { status: 400, errors: [{ pointer }] }, query)
  }
})

t.test("rare rows among many are read by their index, and another tenant's are not in the way", async (t) => {
  const tenant = service.tenant()
  const { id: pluginId } = await registerPlugin(tenant, 'http://127.0.0.1:9/')
  const ids = Array.from({ length: 20_000 }, () => newId())
  await sql`
    insert into deliveries (tenant_id, id, plugin_id, event_id, event, status, due_at, attempt_count,
      last_response_status, last_error_class, reason)
    select ${tenant.id}::uuid, n.id, ${pluginId}::uuid, n.id, case when n.place = 1 then 'order.rare' else 'product.created' end,
      case when n.place = 1 then 'failed' else 'sent' end, null, case when n.place = 1 then 4 else 1 end,
      case when n.place = 1 then 503 else 204 end, case when n.place = 1 then 'http_5xx' end,
      case when n.place = 1 then 'exhausted' end
    from unnest(${ids}::uuid[]) with ordinality as n (id, place)`.execute(db)
  const waiting = await registerPlugin(tenant, 'http://127.0.0.1:9/')
  await sendEvent(tenant)
  t.equal((await tenant.post(`/api/plugins/${waiting.slug}/pause`)).statusCode, 200)
  await db
    .updateTable('deliveries')
    .set({ behind_since: new Date() })
    .where('plugin_id', '=', pluginId)
    .where('status', '=', 'pending')
    .execute()
  await sql`analyze deliveries`.execute(db)
  t.equal((await deliveriesOf(db, pluginId)).length, 20_001)
  const none = {
    tenantId: tenant.id,
    pluginId: null,
    pluginSlug: null,
    statuses: null,
    event: null,
    eventId: null,
    since: null,
    until: null,
    errorClass: null,
    responseStatus: null,
    reason: null,
    attemptCountMin: null,
    limit: 51,
  }
  const cases: [Partial<DeliveryFilter>, number][] = [
    [{ event: 'order.rare' }, 1],
    [{ event: 'order.*' }, 1],
    [{ errorClass: 'http_5xx' }, 1],
    [{ statuses: ['failed'] }, 1],
    [{ statuses: ['failed', 'retry'] }, 1],
    [{ statuses: ['failed', 'retry'], event: 'order.*' }, 1],
    [{ responseStatus: '503' }, 1],
    [{ responseStatus: '5xx' }, 1],
    [{ reason: 'exhausted' }, 1],
    [{ attemptCountMin: 2 }, 1],
    [{ until: new Date('2020-01-02T00:00:00Z') }, 0],
    [{ eventId: newId() }, 0],
    [{ reason: 'behind' }, 1],
    [{ reason: 'coalescing' }, 0],
    [{ reason: 'breaker_open' }, 0],
    [{ reason: 'plugin_disabled' }, 0],
    [{ reason: 'plugin_paused' }, 1],
    [{ pluginId: waiting.id }, 1],
    [{ pluginSlug: waiting.slug }, 1],
  ]
  for (const [filter, expected] of cases) {
    await db.transaction().execute(async (trx) => {
      const before = await rowsRead(trx)
      const rows = await listDeliveries(trx, { ...none, ...filter }, null)
      const read = (await rowsRead(trx)) - before
      t.equal(rows.length, expected, JSON.stringify(filter))
      t.ok(read < 1_000, `${JSON.stringify(filter)} reads ${read} rows`)
    })
  }
})

/** Rows of the log that this connection's statements have read. */
async function rowsRead(trx: Transaction<DB>): Promise<number> {
  const { rows } = await sql<{ read: number }>`
    select (seq_tup_read + coalesce(idx_tup_fetch, 0))::float8 as read
    from pg_stat_xact_user_tables where relname = 'deliveries'`.execute(trx)
  return rows[0]?.read ?? Infinity
}
