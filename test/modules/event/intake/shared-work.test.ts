import t from 'tap'
import { startApp, type Tenant } from '#test/support/app.ts'
import { cpuTimer } from '#test/support/cpu-time.ts'
import { longestSilence } from '#test/support/silence.ts'
import { subscribe } from '../support.ts'

const service = await startApp(t)

/** Of CPU time, generous for slow machines: without turns it is many seconds. */
const MAX_SILENCE_MS = 1_000

/** Costs as much as it may: each item of the list is compared with the whole list, and with it again. */
function costly(levels = 4): unknown {
  let filter: unknown = { field: 'item', operator: 'equals', value: 1 }
  for (let level = 0; level < levels; level++) filter = { field: 'list', operator: 'all', value: filter }
  return filter
}
const event = (n: number) => ({ event: 'order.created', data: { n, total: 120, list: Array(300).fill(1) } })

interface Shown {
  event_id: string
  plugin: string
  status: string
  reason: string | null
  attempt_count: number
}

async function deliveriesOf(shop: Tenant, plugin: string): Promise<Shown[]> {
  const response = await shop.get(`/api/plugins/events?plugin=${plugin}&limit=100`)
  return response.json<{ data: Shown[] }>().data
}

t.test('thirty costly filters block nobody, and what they cannot say is on record', async (t) => {
  const shop = service.tenant()
  await shop.get('/api/plugins')
  for (let plugin = 0; plugin < 30; plugin++) {
    await subscribe(service, shop.id, [{ event: 'order.*', filter: costly() }], `costly-${plugin}`)
  }
  const cheap = { field: 'total', operator: 'gte', value: 100 }
  await subscribe(service, shop.id, [{ event: 'order.created', filter: cheap }], 'cheap')
  await subscribe(service, shop.id, ['order.created'], 'plain')

  const other = service.tenant()
  await subscribe(service, other.id, ['order.created'], 'other')
  const events = Array.from({ length: 40 }, (_, n) => event(n))
  const sent = shop.post('/api/events', { events })
  const silence = await longestSilence(sent)
  const answered = await sent
  t.equal(answered.statusCode, 202, answered.body)
  t.ok(silence < MAX_SILENCE_MS, `silent for ${silence} ms`)
  t.match(answered.json(), { summary: { accepted: 40 } })
  t.match(
    answered.json<{ results: unknown[] }>().results[0],
    { deliveries: 2 },
    'what cannot be told is not counted',
  )

  for (const plugin of ['cheap', 'plain']) {
    const deliveries = await deliveriesOf(shop, plugin)
    t.equal(deliveries.length, 40)
    t.ok(
      deliveries.every(({ status }) => status !== 'failed'),
      plugin,
    )
  }
  const failed = await deliveriesOf(shop, 'costly-7')
  t.equal(failed.length, 40)
  t.match(failed[0], { status: 'failed', reason: 'filter_budget', attempt_count: 0, next_attempt_at: null })
})

const members = (count: number) => Array.from({ length: count }, (_, n) => `"m${n}":0`).join(',')
/** A body that is read at once keeps the loop for 0.2 to 0.7 s each. */
const LARGE: Record<string, { body: string; status: number; detail: RegExp }> = {
  'an event of 600,000 members': {
    body: `{"event":"order.created","data":{${members(600_000)}}}`,
    status: 413,
    detail: /event_too_large/,
  },
  'an event of 4,000,000 numbers': {
    body: `{"event":"order.created","data":{"list":[${'0,'.repeat(4_000_000)}0]}}`,
    status: 413,
    detail: /event_too_large/,
  },
  '4,000,000 numbers in place of events': {
    body: `{"events":[${'0,'.repeat(4_000_000)}0]}`,
    status: 400,
    detail: /must be a list of 1 to 1000 events/,
  },
  'one event of them in a batch': {
    body: `{"events":[{"event":"order.created","data":{"n":1}},{"event":"order.created","data":{${members(550_000)}}}]}`,
    status: 202,
    detail: /"accepted":1,.*event_too_large/,
  },
  'another member beside the events': {
    body: `{"more":{${members(550_000)}},"events":[{"event":"order.created","data":{}}]}`,
    status: 413,
    detail: /event_too_large/,
  },
}

for (const [name, { body, status, detail }] of Object.entries(LARGE)) {
  t.test(`a body of 8 MiB with ${name} is not read in one go`, async (t) => {
    const shop = service.tenant()
    const sent = shop.post('/api/events', body)
    const silence = await longestSilence(sent)
    const answer = await sent
    t.equal(answer.statusCode, status, answer.body.slice(0, 500))
    t.match(answer.body, detail)
    const atOnce = cpuTimer()
    JSON.parse(body)
    t.ok(silence < MAX_SILENCE_MS && silence < atOnce(), `silent for ${silence} ms`)
  })
}

t.test('a batch that is read in pieces is stored as it was written', async (t) => {
  const shop = service.tenant()
  const item = (n: number) =>
    `{"event": "order.created", "id": "e${n}", "data": {"10": ${n}.10, "9": "\\ud83d\\ude00 ä", "pad": "${'x'.repeat(500)}"}}`
  const items = Array.from({ length: 400 }, (_, n) =>
    n === 7 ? '{"event": "order.created", "data": {"a": 1, "a": 2}}' : item(n),
  )
  const answer = await shop.post('/api/events', `{\n  "events": [\n    ${items.join(',\n    ')}\n  ]\n}`)
  t.equal(answer.statusCode, 202, answer.body)
  const { summary, results } = answer.json<{ summary: object; results: { id: string; problem?: object }[] }>()
  t.match(summary, { accepted: 399, rejected: 1 })
  t.match(JSON.stringify(results[7]), /duplicate_key.*\/events\/7\/data/)
  const stored = await shop.get(`/api/events/${results[399]?.id ?? ''}`)
  t.match(stored.body, '{"10": 399.10, "9": "\\ud83d\\ude00 ä"')
})

t.test('one event is answered beside requests with hundreds that cost much', async (t) => {
  const shop = service.tenant()
  for (let plugin = 0; plugin < 20; plugin++) {
    await subscribe(service, shop.id, [{ event: 'order.*', filter: costly() }], `costly-${plugin}`)
  }
  const honest = service.tenant()
  await subscribe(service, honest.id, ['order.created'], 'honest')
  await honest.post('/api/events', { event: 'order.created', data: {} })

  let left = 4
  const large = Array.from({ length: left }, () =>
    shop
      .post('/api/events', { events: Array.from({ length: 500 }, (_, n) => event(n)) })
      .finally(() => left--),
  )
  t.equal((await honest.post('/api/events', { event: 'order.created', data: {} })).statusCode, 202)
  t.ok(left > 0, 'before them all')
  for (const response of await Promise.all(large)) t.equal(response.statusCode, 202)
})

t.test('a delivery that could not be told is sent when somebody asks for it', async (t) => {
  const shop = service.tenant()
  await subscribe(service, shop.id, [{ event: 'order.*', filter: costly() }], 'costly')
  const { id } = (await shop.post('/api/events', event(1))).json<{ id: string }>()
  t.match(await deliveriesOf(shop, 'costly'), [{ event_id: id, status: 'failed', reason: 'filter_budget' }])
  const again = await shop.post(`/api/events/${id}/replay`, {})
  t.match(again.json(), { deliveries: 1, plugins: ['costly'] })
  t.match(await deliveriesOf(shop, 'costly'), [{ event_id: id, status: 'pending' }])
})

t.test('a costly filter that is met before it is stopped is met', async (t) => {
  const shop = service.tenant()
  const filter = { any: [{ field: 'total', operator: 'gt', value: 1 }, costly()] }
  await subscribe(service, shop.id, [{ event: 'order.*', filter }], 'either')
  t.match((await shop.post('/api/events', event(1))).json(), { deliveries: 1 })
})
