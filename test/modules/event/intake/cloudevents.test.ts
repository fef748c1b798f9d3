import { CloudEvent, HTTP } from 'cloudevents'
import t from 'tap'
import { startApp, type Tenant } from '#test/support/app.ts'

const service = await startApp(t)
const { db } = service

const order = (extra: object = {}) =>
  new CloudEvent({
    type: 'shop.order.created',
    source: 'https://shop.example/orders',
    id: 'A-234',
    time: '2026-03-01T10:00:00.000Z',
    datacontenttype: 'application/json',
    data: { total: 79.8, note: 'äpple' },
    ...extra,
  })

const send = (tenant: Tenant, { headers, body }: { headers: object; body: unknown }) =>
  tenant.post('/api/events', body, headers as Record<string, string>)

t.test('structured, binary and batch mode of the SDK are the same event', async (t) => {
  const tenant = service.tenant()
  const structured = await send(tenant, HTTP.structured(order()))
  t.equal(structured.statusCode, 202, structured.body)
  const first = structured.json<{ id: string }>()
  t.match(first, {
    source_id: 'https://shop.example/orders A-234',
    event: 'shop.order.created',
    duplicate: false,
  })
  const binary = await send(tenant, HTTP.binary(order()))
  t.match(binary.json(), { id: first.id, duplicate: true })
  const batch = await send(tenant, {
    headers: { 'content-type': 'application/cloudevents-batch+json; charset=utf-8' },
    body: JSON.stringify([order(), order({ id: 'A-235' })]),
  })
  t.match(batch.json(), { results: [{ status: 'duplicate', id: first.id }, { status: 'accepted' }] })

  const [event] = await db.selectFrom('events').selectAll().where('id', '=', first.id).execute()
  t.equal(event?.source, 'cloudevents')
  t.strictSame(JSON.parse(event?.body ?? ''), {
    event: 'shop.order.created',
    tenant_id: tenant.id,
    timestamp: '2026-03-01T10:00:00.000Z',
    data: { total: 79.8, note: 'äpple' },
    cloudevent: {
      id: 'A-234',
      time: '2026-03-01T10:00:00.000Z',
      type: 'shop.order.created',
      source: 'https://shop.example/orders',
      specversion: '1.0',
      datacontenttype: 'application/json',
    },
  })
})

t.test('the same id of another source is another event', async (t) => {
  const tenant = service.tenant()
  await send(tenant, HTTP.structured(order()))
  const other = await send(tenant, HTTP.structured(order({ source: '/orders', data: {} })))
  t.match(other.json(), { source_id: '/orders A-234', duplicate: false })
})

t.test('a source and id that are too long for one of our ids still stand for one event', async (t) => {
  const tenant = service.tenant()
  const long = order({ source: `https://shop.example/${'x'.repeat(400)}` })
  t.match((await send(tenant, HTTP.structured(long))).json(), { duplicate: false, source_id: /^sha256:/ })
  t.match((await send(tenant, HTTP.binary(long))).json(), { duplicate: true })
})

t.test('attributes of binary mode are percent-decoded', async (t) => {
  const tenant = service.tenant()
  const { headers, body } = HTTP.binary(order())
  const response = await send(tenant, { headers: { ...headers, 'ce-id': 'A-%C3%A4' }, body })
  t.match(response.json(), { source_id: 'https://shop.example/orders A-ä' })
})

t.test(
  'what is not JSON, and what is not a CloudEvent, is refused with the attribute that is wrong',
  async (t) => {
    const tenant = service.tenant()
    const structured = (event: object) =>
      send(tenant, {
        headers: { 'content-type': 'application/cloudevents+json' },
        body: JSON.stringify({ specversion: '1.0', type: 'a.b', source: '/s', id: '1', ...event }),
      })
    for (const [event, pointer] of [
      [{ data_base64: 'AAE=' }, '/data_base64'],
      [{ datacontenttype: 'text/plain', data: {} }, '/datacontenttype'],
      [{ data: 'text' }, '/data'],
      [{ specversion: '0.3' }, '/specversion'],
      [{ type: 'com Example' }, '/type'],
      [{ type: 'com..example' }, '/type'],
      [{ subject: '' }, '/subject'],
      [{ subject: 7 }, '/subject'],
      [{ dataschema: 'a\u0007b' }, '/dataschema'],
      [{ extension: { nested: true } }, '/extension'],
      [{ 'my-extension': 'x' }, '/my-extension'],
      [{ Capital: 'x' }, '/Capital'],
      [{ source: '' }, '/source'],
      [{ id: undefined }, '/id'],
      [{ time: 'yesterday' }, '/time'],
    ] as const) {
      const response = await structured(event)
      t.equal(response.statusCode, 400, pointer)
      t.match(response.json(), { code: 'invalid_request', errors: [{ pointer }] })
    }
    t.match((await structured({})).json(), { duplicate: false }, 'data may be missing')
    const binary = HTTP.binary(order())
    const untyped = { ...binary.headers, 'ce-type': '' }
    t.match((await send(tenant, { headers: untyped, body: binary.body })).json(), {
      errors: [{ pointer: '/headers/ce-type' }],
    })
    const text = await send(tenant, {
      headers: { ...binary.headers, 'content-type': 'text/plain' },
      body: 'hello',
    })
    t.equal(text.statusCode, 415)
  },
)

t.test('a bad event of a batch is told by its place', async (t) => {
  const tenant = service.tenant()
  const response = await send(tenant, {
    headers: { 'content-type': 'application/cloudevents-batch+json' },
    body: JSON.stringify([order(), { specversion: '1.0' }]),
  })
  t.match(response.json(), {
    results: [
      { index: 0, status: 'accepted' },
      { index: 1, status: 'rejected', problem: { errors: [{ pointer: '/1/type' }] } },
    ],
  })
})

t.test('CloudEvents are decided on their bytes like every body', async (t) => {
  const tenant = service.tenant()
  const response = await send(tenant, {
    headers: { 'content-type': 'application/cloudevents+json' },
    body: '{"specversion":"1.0","specversion":"1.0"}',
  })
  t.equal(response.statusCode, 400)
  t.match(response.json(), { code: 'invalid_json', reason: 'duplicate_key' })
  const elsewhere = await tenant.post('/plugins/automation/webhook', '{}', {
    'content-type': 'application/cloudevents+json',
  })
  t.equal(elsewhere.statusCode, 400, 'the same parser serves the intake routes only')
})
