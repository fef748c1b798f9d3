import t from 'tap'
import { classOf, QUEUE_BORDERS } from '#lib/histogram.ts'
import { newId } from '#lib/ids.ts'
import { clientFor, startApp } from '#test/support/app.ts'
import {
  deliverDue,
  eventually,
  registerPlugin,
  sendEvent,
  sendEvents,
  TestClock,
} from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { DAY_MS, HOUR_MS, MINUTE_MS, seedStats } from './support.ts'

const service = await startApp(t)
const { app, db } = service

interface Answer {
  step: string
  since: string
  until: string
  complete: boolean
  series: {
    key: string
    label: string | null
    totals: Record<string, unknown>
    points: Record<string, unknown>[]
  }[]
}

async function read(tenant: ReturnType<typeof service.tenant>, url: string): Promise<Answer> {
  const answer = await tenant.get(url)
  t.equal(answer.statusCode, 200, answer.body)
  return answer.json<Answer>()
}

t.test('a delivery is counted by what became of it, once its outcome is written', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { slug } = await registerPlugin(tenant, receiver.url)
  await sendEvent(tenant)
  await deliverDue(service, tenant)
  receiver.answer(503)
  await sendEvent(tenant)
  const clock = new TestClock()
  await deliverDue(service, tenant, clock)
  receiver.answer(200)
  clock.advance(HOUR_MS)
  await deliverDue(service, tenant, clock)

  const all = await read(tenant, '/api/stats/deliveries')
  t.match(all, { step: '5m', complete: false, series: [{ key: 'all', label: null }] })
  const [one] = all.series
  const counts = { attempts: 3, sent: 2, first_try: 1, retried: 1, failed: 0, errors: { http_5xx: 1 } }
  t.match(one?.totals, counts)
  t.type(one?.totals['p50_ms'], 'number')
  t.equal(
    one?.points.reduce((sum, { attempts }) => sum + Number(attempts), 0),
    3,
  )

  const byPlugin = await read(tenant, '/api/stats/deliveries?group=plugin&step=1m&since=' + since(HOUR_MS))
  t.match(byPlugin.series, [{ key: slug, totals: counts }])
  const byClass = await read(tenant, '/api/stats/deliveries?group=error_class')
  t.match(byClass.series, [
    { key: 'none', totals: { attempts: 2, sent: 2, retried: 0 } },
    { key: 'http_5xx', totals: { attempts: 1, sent: 0, retried: 1 } },
  ])
  const byEvent = await read(tenant, '/api/stats/deliveries?group=event&event=product.*')
  t.match(byEvent.series, [{ key: 'product.created', totals: counts }])
  t.strictSame((await read(tenant, '/api/stats/deliveries?event=order.*')).series, [])
  t.strictSame((await read(tenant, '/api/stats/deliveries?plugin=nobody')).series, [])
  t.match((await read(tenant, `/api/plugins/${slug}/stats`)).series, [{ key: 'all', totals: counts }])
  t.strictSame((await read(service.tenant(), '/api/stats/deliveries')).series, [], 'of nobody else')
})

interface Waits {
  queue_age_p50_ms: number | null
  queue_age_p99_ms: number | null
}

/** The queue ages of a tenant's deliveries: how many, and the classes that they fall into. */
async function queueAges(tenant: ReturnType<typeof service.tenant>) {
  const rows = await db
    .selectFrom('delivery_stats')
    .select('queue_age')
    .where('tenant_id', '=', tenant.id)
    .where('span', '=', 60)
    .execute()
  const classes = rows.flatMap(({ queue_age: ages }) =>
    ages.flatMap((count, index) => new Array<number>(count).fill(index)),
  )
  return classes.sort((a, b) => a - b)
}

t.test('how long a paused plugin has let its deliveries wait is their queue age', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { slug } = await registerPlugin(tenant, receiver.url)
  await tenant.patch(`/api/plugins/${slug}`, { status: 'paused' })
  const before = Date.now()
  await sendEvents(tenant, 3)
  const sent = Date.now()
  await deliverDue(service, tenant)
  t.strictSame(await queueAges(tenant), [], 'what no attempt has begun for has none')
  await eventually('a second has passed', async () => Promise.resolve(Date.now() - sent > 1_000))
  await tenant.patch(`/api/plugins/${slug}`, { status: 'active' })
  const atLeast = Date.now() - sent
  receiver.answer(503)
  const clock = new TestClock()
  await deliverDue(service, tenant, clock)
  const atMost = Date.now() - before
  const ages = await queueAges(tenant)
  t.equal(ages.length, 3)
  for (const age of ages) {
    t.ok(age >= classOf(QUEUE_BORDERS, atLeast - 1) && age <= classOf(QUEUE_BORDERS, atMost + 1), String(age))
  }
  receiver.answer(200)
  clock.advance(HOUR_MS)
  await deliverDue(service, tenant, clock)
  t.equal((await queueAges(tenant)).length, 3, 'later attempts do not count')
  for (const path of ['/api/stats/deliveries', `/api/plugins/${slug}/stats?group=event`]) {
    const [one] = (await read(tenant, path)).series
    for (const figures of [one?.totals, one?.points.find((point) => point['queue_age_p50_ms'] !== null)]) {
      const waits = figures as unknown as Waits
      const border = QUEUE_BORDERS[classOf(QUEUE_BORDERS, atLeast - 1) - 1] ?? 0
      t.ok(Number(waits.queue_age_p50_ms) >= Math.floor(border), path)
      t.ok(Number(waits.queue_age_p99_ms) >= Number(waits.queue_age_p50_ms), path)
    }
  }
})

t.test(
  'how long a rate limit has held deliveries is their queue age, of a replay since it asked',
  async (t) => {
    const tenant = service.tenant()
    const receiver = await startReceiver(t)
    const { slug } = await registerPlugin(tenant, receiver.url, { rate_limit_per_second: 1 })
    const [event = ''] = await sendEvents(tenant, 3)
    const sent = Date.now()
    await deliverDue(service, tenant)
    const held = receiver.received[2]?.at ?? 0
    const ages = await queueAges(tenant)
    t.equal(ages.length, 3)
    t.ok((ages[2] ?? 0) >= classOf(QUEUE_BORDERS, held - sent - 50), 'the last waited for the rate')
    t.ok((ages[0] ?? 0) < (ages[2] ?? 0), 'the first did not')
    const late = await registerPlugin(tenant, receiver.url)
    const asked = Date.now()
    await tenant.post(`/api/events/${event}/replay`, { plugin: late.slug })
    await deliverDue(service, tenant)
    const [replayed] = (await read(tenant, `/api/stats/deliveries?plugin=${late.slug}`)).series
    const border = QUEUE_BORDERS[classOf(QUEUE_BORDERS, Date.now() - asked + 1)] ?? 0
    t.equal(replayed?.totals['attempts'], 1)
    t.ok(Number(replayed?.totals['queue_age_p50_ms']) <= border, 'since the replay, not since the event')
    const all = await read(tenant, `/api/stats/deliveries?plugin=${slug}`)
    t.ok(
      Number(all.series[0]?.totals['queue_age_p99_ms']) > Number(all.series[0]?.totals['queue_age_p50_ms']),
    )
  },
)

t.test('what is given up is counted, with the class of its last error', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  receiver.answer(410)
  await registerPlugin(tenant, receiver.url)
  await sendEvent(tenant)
  await deliverDue(service, tenant)
  const { series } = await read(tenant, '/api/stats/deliveries')
  t.match(series, [{ totals: { attempts: 1, sent: 0, retried: 0, failed: 1, errors: { http_4xx: 1 } } }])
})

t.test("a plugin's key sees its own deliveries, and no other plugin's page", async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const [mine, other] = [
    await registerPlugin(tenant, receiver.url),
    await registerPlugin(tenant, receiver.url, { slug: 'other' }),
  ]
  await sendEvent(tenant)
  await deliverDue(service, tenant)
  const made = await tenant.post('/api/keys', { name: 'own', kind: 'plugin', plugin: mine.slug })
  const plugin = clientFor(app, tenant.id, made.json<{ key: string }>().key)
  const { series } = await read(plugin, '/api/stats/deliveries?group=plugin')
  t.match(series, [{ key: mine.slug, totals: { sent: 1 } }])
  t.equal(series.length, 1)
  t.strictSame((await read(plugin, `/api/stats/deliveries?plugin=${other.slug}`)).series, [])
  t.equal((await plugin.get(`/api/plugins/${other.slug}/stats`)).statusCode, 403)
  t.match((await plugin.get(`/api/plugins/${mine.slug}/stats`)).json(), { series: [{ totals: { sent: 1 } }] })
  t.equal((await plugin.get('/api/stats/executions')).statusCode, 403)
})

t.test('the ten largest have a series, the rest is other; a deleted plugin keeps its own', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id, slug } = await registerPlugin(tenant, receiver.url)
  await tenant.delete(`/api/plugins/${slug}`)
  const at = new Date(Date.now() - HOUR_MS)
  const events = Array.from({ length: 12 }, (_, index) => `shop.event_${index}`)
  await seedStats(
    service,
    'deliveries',
    tenant.id,
    events.map((event, index) => ({
      at,
      keys: { plugin_id: id, event, error_class: '' },
      counts: { attempts: 100 - index, sent: 100 - index, first_try: 100 - index },
      latency: { 5: 100 - index },
    })),
  )
  const { series } = await read(tenant, '/api/stats/deliveries?group=event')
  t.strictSame(
    series.map(({ key }) => key),
    [...events.slice(0, 10), 'other'],
  )
  t.match(series.at(-1)?.totals, { attempts: 90 + 89 })
  t.match((await read(tenant, '/api/stats/deliveries?group=plugin')).series, [{ key: id }])
  for (const path of [`/api/stats/deliveries?plugin=${slug}`, `/api/plugins/${slug}/stats`]) {
    t.match((await read(tenant, path)).series, [{ totals: { attempts: 1_134 } }], path)
  }
  await registerPlugin(tenant, receiver.url, { slug })
  t.strictSame((await read(tenant, `/api/plugins/${slug}/stats`)).series, [], 'the slug is another one now')
})

t.test(
  'the step is the finest that the period has, and a step that it has not is refused with those it has',
  async (t) => {
    const tenant = service.tenant()
    const until = '2026-05-31T00:00:00Z'
    for (const [ms, step] of [
      [HOUR_MS, '1m'],
      [DAY_MS, '5m'],
      [7 * DAY_MS, '1h'],
      [30 * DAY_MS, '1d'],
    ] as const) {
      const answer = await read(tenant, `/api/stats/deliveries?since=${since(ms)}`)
      t.equal(answer.step, step, `${ms / HOUR_MS} h`)
    }
    const past = await read(tenant, `/api/stats/deliveries?since=2026-05-01T10:20:30Z&until=${until}`)
    t.match(past, {
      step: '1d',
      since: '2026-05-01T00:00:00.000Z',
      until: '2026-05-31T00:00:00.000Z',
      complete: true,
    })
    for (const [query, pointer, detail] of [
      [`since=${since(7 * DAY_MS)}&step=5m`, 'step', /2017 points, and 500 .*this period goes with 1h, 1d/],
      [
        `since=${since(3 * DAY_MS)}&until=${since(3 * DAY_MS - HOUR_MS)}&step=1m`,
        'step',
        /kept for 2 days.*5m, 1h, 1d/,
      ],
      ['since=2020-01-01T00:00:00Z', 'since', /at most 500 days/],
      ['since=2030-01-01T00:00:00Z&until=2029-01-01T00:00:00Z', 'since', /before until/],
      ['since=yesterday', 'since', /./],
      ['step=2m', 'step', /./],
      ['group=shop', 'group', /./],
      ['steps=1m', 'steps', /./],
    ] as const) {
      const answer = await tenant.get(`/api/stats/deliveries?${query}`)
      t.equal(answer.statusCode, 400, query)
      const [error] = answer.json<{ errors: { pointer: string; detail: string }[] }>().errors
      t.match(error, { pointer: `/querystring/${pointer}`, detail }, query)
    }
    t.match((await tenant.get('/api/plugins/nobody/stats')).json(), { code: 'plugin_not_found' })
  },
)

t.test('for accept: text/csv there is a line for each point', async (t) => {
  const tenant = service.tenant()
  const at = new Date(Math.floor(Date.now() / DAY_MS) * DAY_MS - DAY_MS)
  const keys = { plugin_id: newId(), event: '=cmd,"x"', error_class: '' }
  await seedStats(service, 'deliveries', tenant.id, [
    { at, keys, counts: { attempts: 2, sent: 2, first_try: 1 }, latency: { 0: 2 }, queueAge: { 0: 2 } },
    {
      at,
      keys: { ...keys, error_class: 'timeout' },
      counts: { attempts: 1, retried: 1 },
      latency: { 20: 1 },
    },
  ])
  const query = `since=${at.toISOString()}&group=event&step=1d`
  const answer = await tenant.get(`/api/stats/deliveries?${query}`, { accept: 'text/csv' })
  t.match(answer.headers, { 'content-type': /^text\/csv/, vary: /accept/ })
  const [head, line, ...rest] = answer.body.split('\r\n')
  t.equal(
    head,
    't,key,attempts,sent,first_try,retried,failed,superseded,p50_ms,p95_ms,p99_ms,queue_age_p50_ms,queue_age_p95_ms,queue_age_p99_ms,errors',
  )
  t.match(line, new RegExp(`^${at.toISOString()},"'=cmd,""x""",3,2,1,1,0,0,1,\\d+,\\d+,5,10,10,timeout=1$`))
  t.strictSame(rest, [''])
})

t.test('sums of several processes meet in one row', async (t) => {
  const tenantId = newId()
  const at = new Date()
  const seed = { at, keys: { plugin_id: newId(), event: 'a.b', error_class: '' }, counts: { attempts: 1 } }
  await Promise.all(
    Array.from({ length: 8 }, () =>
      seedStats(service, 'deliveries', tenantId, [{ ...seed, latency: { 3: 1 } }]),
    ),
  )
  const rows = await db.selectFrom('delivery_stats').selectAll().where('tenant_id', '=', tenantId).execute()
  t.match(rows, [{ span: 60, attempts: 8, sent: 0 }])
  t.equal(rows[0]?.latency[3], 8)
  t.equal(rows[0]?.bucket.getTime(), Math.floor(at.getTime() / MINUTE_MS) * MINUTE_MS)
})

function since(ms: number): string {
  return new Date(Date.now() - ms).toISOString()
}
