import { randomUUID } from 'node:crypto'
import t from 'tap'
import { startApp, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { subscribe } from '../support.ts'

const service = await startApp(t)
const { db } = service

interface Result {
  index: number
  status: string
  id?: string
  deliveries?: number
  problem?: { code: string; status: number; request_id: string; errors?: { pointer: string }[] }
}

const results = (response: { json: () => unknown }) => (response.json() as { results: Result[] }).results
const countEvents = async (tenantId: string) =>
  (await db.selectFrom('events').select('id').where('tenant_id', '=', tenantId).execute()).length

t.test(
  'a batch has one result for each event, and the good ones are stored by one transaction',
  async (t) => {
    const tenant = service.tenant()
    await subscribe(service, tenant.id, ['a.*'])
    const response = await tenant.post('/api/events', {
      events: [
        { event: 'a.one', data: {} },
        { event: 'a.two', data: {}, id: 'two' },
        { event: 'a.two', data: {}, id: 'two' },
        { event: 'a.two', data: { other: true }, id: 'two' },
        { event: 'a.three', data: 3 },
        'nonsense',
        { event: 'a.four', data: {}, tenant_id: randomUUID() },
        { event: 'b.five', data: {} },
      ],
    })
    t.equal(response.statusCode, 202)
    const found = results(response)
    t.strictSame(
      found.map(({ index, status, problem }) => [index, status, problem?.code]),
      [
        [0, 'accepted', undefined],
        [1, 'accepted', undefined],
        [2, 'duplicate', undefined],
        [3, 'rejected', 'event_conflict'],
        [4, 'rejected', 'invalid_request'],
        [5, 'rejected', 'invalid_request'],
        [6, 'rejected', 'tenant_mismatch'],
        [7, 'accepted', undefined],
      ],
    )
    t.equal(found[2]?.id, found[1]?.id)
    t.strictSame(found[4]?.problem?.errors?.[0]?.pointer, '/events/4/data')
    t.strictSame(found[5]?.problem?.errors?.[0]?.pointer, '/events/5')
    t.type(found[4]?.problem?.request_id, 'string')
    t.strictSame(
      found.map(({ deliveries }) => deliveries),
      [1, 1, 1, undefined, undefined, undefined, undefined, 0],
    )

    const events = await db
      .selectFrom('events')
      .select(['position'])
      .where('tenant_id', '=', tenant.id)
      .execute()
    t.equal(events.length, 3)
    t.equal(new Set(events.map(({ position }) => position)).size, 1, 'one transaction')
  },
)

t.test('1,000 events with a thousand ids are one batch, and again they are duplicates', async (t) => {
  const tenant = service.tenant()
  await subscribe(service, tenant.id, ['*'])
  const events = Array.from({ length: 1_000 }, (_, n) => ({ event: 'a.b', data: { n }, id: `e${n}` }))
  t.ok(results(await tenant.post('/api/events', { events })).every(({ status }) => status === 'accepted'))
  const again = results(await tenant.post('/api/events', { events: events.toReversed() }))
  t.ok(again.every(({ status, deliveries }) => status === 'duplicate' && deliveries === 1))
  t.equal(await countEvents(tenant.id), 1_000)
})

t.test('batches with the same ids in another order do not deadlock', async (t) => {
  const tenant = service.tenant()
  const events = Array.from({ length: 200 }, (_, n) => ({ event: 'a.b', data: { n }, id: `e${n}` }))
  const responses = await Promise.all(
    Array.from({ length: 8 }, (_, n) =>
      tenant.post('/api/events', { events: n % 2 === 0 ? events : events.toReversed() }),
    ),
  )
  const all = responses.flatMap(results)
  t.equal(all.filter(({ status }) => status === 'accepted').length, 200)
  t.equal(all.filter(({ status }) => status === 'duplicate').length, 1_400)
})

t.test('an empty, an oversized and a malformed batch are refused as a whole', async (t) => {
  const tenant = service.tenant()
  const event = { event: 'a.b', data: {} }
  for (const [body, pointer] of [
    [{ events: [] }, '/events'],
    [{ events: Array.from({ length: 1_001 }, () => event) }, '/events'],
    [{ events: event }, '/events'],
    [{ events: [event], event: 'a.b' }, '/event'],
  ] as const) {
    const response = await tenant.post('/api/events', body)
    t.equal(response.statusCode, 400)
    t.match(response.json(), { code: 'invalid_request', errors: [{ pointer }] })
  }
  const keyed = await tenant.post('/api/events', { events: [event] }, { 'idempotency-key': 'k' })
  t.match(keyed.json(), { code: 'invalid_request', errors: [{ pointer: '/headers/idempotency-key' }] })
  t.equal(await countEvents(tenant.id), 0)
})

t.test('a platform key may name the tenant of each event of a batch', async (t) => {
  const [one, other] = [randomUUID(), randomUUID()]
  const response = await service.app.inject({
    method: 'POST',
    url: '/api/events',
    headers: { authorization: `Bearer ${TEST_PLATFORM_KEY}` },
    payload: {
      events: [
        { event: 'a.b', data: {}, tenant_id: one },
        { event: 'a.b', data: {}, tenant_id: other },
        { event: 'a.b', data: {} },
      ],
    },
  })
  t.strictSame(
    results(response).map(({ status, problem }) => problem?.code ?? status),
    ['accepted', 'accepted', 'tenant_required'],
  )
  t.equal(await countEvents(one), 1)
  t.equal(await countEvents(other), 1)
})

t.test('a batch of more than 1 MiB is taken, one of more than 8 MiB is not', async (t) => {
  const tenant = service.tenant()
  const batch = (kib: number) => ({
    events: Array.from({ length: 100 }, () => ({ event: 'a.b', data: { text: 'x'.repeat(kib * 1024) } })),
  })
  t.equal((await tenant.post('/api/events', batch(20))).statusCode, 202)
  const tooLarge = await tenant.post('/api/events', batch(90))
  t.equal(tooLarge.statusCode, 413)
  t.equal(tooLarge.json<{ code: string }>().code, 'payload_too_large')
})

t.test(
  'a batch that would make too many deliveries is refused as a whole, and taken in halves',
  async (t) => {
    const PLUGINS = 60
    const tenant = service.tenant()
    for (let number = 0; number < PLUGINS; number++) await subscribe(service, tenant.id, ['a.*'])
    const batch = Array.from({ length: 400 }, (_, number) => ({
      event: 'a.one',
      data: {},
      id: `event-${number}`,
    }))
    const refused = await tenant.post('/api/events', { events: batch })
    t.match(refused.json(), {
      status: 413,
      code: 'too_many_deliveries',
      detail: /400 events .* 24000 deliveries.*halves/,
    })
    t.equal(await countEvents(tenant.id), 0)
    for (const half of [batch.slice(0, 200), batch.slice(200)]) {
      const accepted = await tenant.post('/api/events', { events: half })
      t.match(accepted.json(), { summary: { accepted: 200 } })
    }
    const { count } = await db
      .selectFrom('deliveries')
      .select(({ fn }) => fn.countAll<string>().as('count'))
      .where('tenant_id', '=', tenant.id)
      .executeTakeFirstOrThrow()
    t.equal(Number(count), 400 * PLUGINS)
  },
)
