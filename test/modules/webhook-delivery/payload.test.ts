import t from 'tap'
import { bodyToSend } from '#modules/event/index.ts'
import { parseSecret, verifyWebhook } from '#lib/secrets/signature.ts'
import { startApp, type Tenant } from '#test/support/app.ts'
import { deliverDue, deliveriesOf, registerPlugin, TestClock } from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'

const service = await startApp(t)
const { db } = service

const DATA =
  '{"order_id":"o_1","total":1.10,"customer":{"email":"a@b.c","name":"Ana"},"items":[{"sku":"s1","qty":2}]}'

/** Sends an event whose data is this text. @returns its id */
async function send(tenant: Tenant, data = DATA, event = 'order.created'): Promise<string> {
  const response = await tenant.post('/api/events', `{"event":"${event}","data":${data}}`)
  t.equal(response.statusCode, 202)
  return response.json<{ id: string }>().id
}

const dataOf = (body: string): string => /"data":(.*)\}$/.exec(body)?.[1] ?? ''

t.test(
  'a plugin gets what its subscription chooses, as it was written, signed and shown in the log',
  async (t) => {
    const tenant = service.tenant()
    const receiver = await startReceiver(t)
    const chosen = { event: 'order.*', include: ['total', 'items.sku', 'nothing'] }
    const { id, slug, secret } = await registerPlugin(tenant, receiver.url, { events: [chosen] })
    t.match((await tenant.get(`/api/plugins/${slug}`)).json(), { events: [chosen] })
    await send(tenant)
    await deliverDue(service, tenant)
    const [request] = receiver.received
    t.equal(dataOf(request?.body ?? ''), '{"total":1.10,"items":[{"sku":"s1"}]}')
    t.match(JSON.parse(request?.body ?? '{}'), { event: 'order.created', tenant_id: tenant.id })
    const nowSeconds = Math.floor(Date.now() / 1_000)
    t.equal(
      verifyWebhook(request?.headers ?? {}, request?.body ?? '', [parseSecret(secret)], {
        toleranceSeconds: 3_600,
        nowSeconds,
      }),
      'valid',
    )
    const [delivery] = await deliveriesOf(db, id)
    const log = (await tenant.get(`/api/plugins/events/${delivery?.id ?? ''}`)).json<{
      request_body: string
    }>()
    t.equal(log.request_body, request?.body)
  },
)

t.test('what is excluded stays away, and a thin event says where it is', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  await registerPlugin(tenant, receiver.url, {
    events: [
      { event: 'order.*', exclude: ['customer.email', 'items'] },
      { event: 'product.*', payload: 'thin' },
    ],
  })
  await send(tenant)
  await deliverDue(service, tenant)
  t.equal(
    dataOf(receiver.received[0]?.body ?? ''),
    '{"order_id":"o_1","total":1.10,"customer":{"name":"Ana"}}',
  )
  const id = await send(tenant, DATA, 'product.created')
  await deliverDue(service, tenant)
  const body = receiver.received[1]?.body ?? ''
  t.equal(dataOf(body), `{"id":"${id}","url":"/api/events/${id}"}`)
  const { data } = JSON.parse(body) as { data: { url: string } }
  const attributes = '"cloudevent":{"subject":"p_1","traceparent":"00-1"}'
  t.equal(
    bodyToSend(`{"event":"product.created","data":{"a":"}","b":[1]},${attributes}}`, 'thin', {
      eventId: 'e',
      origin: 'https://a.test',
    }),
    `{"event":"product.created","data":{"id":"e","url":"https://a.test/api/events/e"},${attributes}}`,
    "a CloudEvent's attributes say what it is about",
  )
  t.match((await tenant.get(data.url)).json(), { id, data: { order_id: 'o_1' } })
})

t.test('the first subscription that takes an event decides what is sent of it', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const large = { field: 'total', operator: 'gt', value: 100 }
  await registerPlugin(tenant, receiver.url, {
    events: [
      { event: 'order.created', filter: large, include: ['order_id'] },
      { event: 'order.*', exclude: ['order_id'] },
      '*',
    ],
  })
  await registerPlugin(tenant, receiver.url, {
    slug: 'whole',
    events: ['order.*', { event: 'order.created', include: ['order_id'] }],
  })
  await send(tenant, '{"order_id":1,"total":99}')
  await send(tenant, '{"order_id":2,"total":101}')
  await deliverDue(service, tenant)
  t.strictSame(receiver.received.map(({ body }) => dataOf(body)).sort(), [
    '{"order_id":1,"total":99}',
    '{"order_id":2,"total":101}',
    '{"order_id":2}',
    '{"total":99}',
  ])
})

t.test('a filtered subscription with a choice still holds back what does not meet its filter', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id, slug } = await registerPlugin(tenant, receiver.url, {
    events: [{ event: 'order.*', filter: { field: 'total', operator: 'gt', value: 100 }, payload: 'thin' }],
  })
  const eventId = await send(tenant)
  t.strictSame(await deliveriesOf(db, id), [])
  const { filtered } = (await tenant.get(`/api/events/${eventId}`)).json<{ filtered: unknown }>()
  t.match(JSON.stringify(filtered), slug)
})

t.test('the choice is kept with the delivery: for its attempts, and when it is sent again', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id, slug } = await registerPlugin(tenant, receiver.url, {
    events: [{ event: 'order.*', include: ['order_id'] }],
  })
  receiver.answer(500)
  await send(tenant)
  await deliverDue(service, tenant)
  t.equal((await tenant.patch(`/api/plugins/${slug}`, { events: ['order.*'] })).statusCode, 200)
  receiver.answer(204)
  const clock = new TestClock()
  clock.advance(36_000)
  t.match(await deliverDue(service, tenant, clock), { sent: 1 })
  const [first] = await deliveriesOf(db, id)
  t.equal((await tenant.post(`/api/plugins/events/${first?.id ?? ''}/retry`)).statusCode, 202)
  t.match(await deliverDue(service, tenant), { sent: 1 })
  t.strictSame(
    receiver.received.map(({ body }) => dataOf(body)),
    Array(3).fill('{"order_id":"o_1"}'),
  )
  await send(tenant)
  await deliverDue(service, tenant)
  t.equal(dataOf(receiver.received[3]?.body ?? ''), DATA, 'what comes now is sent as it is chosen now')
})

t.test('what never went to a plugin is sent to it as it chooses by type', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const eventId = await send(tenant)
  const { slug } = await registerPlugin(tenant, receiver.url, {
    events: [{ event: 'order.*', exclude: ['customer', 'items'] }],
  })
  const resent = await tenant.post(`/api/events/${eventId}/replay`, { plugin: slug })
  t.equal(resent.statusCode, 202, resent.body)
  await deliverDue(service, tenant)
  t.equal(dataOf(receiver.received[0]?.body ?? ''), '{"order_id":"o_1","total":1.10}')
})

t.test('what cannot be chosen is refused where it stands', async (t) => {
  const tenant = service.tenant()
  const cases: [object, string][] = [
    [{ include: ['a'], exclude: ['b'] }, '/events/0/exclude'],
    [{ exclude: ['a'], payload: 'thin' }, '/events/0/payload'],
    [{ include: ['a', 'items[0].sku'] }, '/events/0/include/1'],
    [{ exclude: ['a..b'] }, '/events/0/exclude/0'],
    [{ exclude: ['a', 'items.0.email'] }, '/events/0/exclude/1'],
    [{ include: [] }, '/events/0/include'],
    [{ include: Array.from({ length: 51 }, (_, index) => `a${index}`) }, '/events/0/include'],
    [{ payload: 'fat' }, '/events/0/payload'],
  ]
  for (const [choice, pointer] of cases) {
    const response = await tenant.post('/api/plugins', {
      name: 'x',
      webhook_url: 'https://plugin.example/webhooks',
      events: [{ event: 'order.*', ...choice }],
    })
    t.equal(response.statusCode, 400, pointer)
    t.match(response.json(), { errors: [{ pointer }] })
  }
})
