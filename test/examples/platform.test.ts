import { createServer, request as httpRequest } from 'node:http'
import { mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startApp, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { feedOf, type Shop, startShop } from './shop.ts'
import { eventually } from '#test/support/deliveries.ts'

const APRON = { name: 'Linen apron', price: 39.9, stock: 7, sku: 'APR-1' }

async function newCustomer({ call }: Shop, email = 'ana@example.com'): Promise<string> {
  return (await call('POST', '/api/customers', { email, name: 'Ana' })).body['customer_id'] as string
}

async function waiting({ call }: Shop): Promise<{ event: string }[]> {
  return (await call('GET', '/api/outbox')).body['data'] as { event: string }[]
}

t.test('who has no token or a wrong one gets nothing', async (t) => {
  const shop = await startShop(t, crypto.randomUUID())
  for (const authorization of ['', 'Bearer wrong', 'a-token-of-the-test']) {
    const { status, body } = await shop.call('GET', '/api/products', undefined, { authorization })
    t.equal(status, 401)
    t.match(body, { error: { code: 'unauthorized' } })
  }
})

t.test('where it is open, no token will do and a wrong one will not', async (t) => {
  const tenantId = crypto.randomUUID()
  const shop = await startShop(t, tenantId, { isOpen: true })
  const ask = (headers: Record<string, string>) => fetch(`${shop.platform.url}/api/leads/123`, { headers })
  t.equal((await ask({ authorization: 'Bearer wrong' })).status, 401)
  const open = await ask({})
  t.match([open.status, await open.json()], [200, { lead_id: '123', last_contacted: null }])
  t.equal((await ask({ 'x-tenant-id': crypto.randomUUID() })).status, 404, 'the lead is of one shop')
  t.same(await waiting(shop), [], 'and nobody is told of it')
})

t.test('an Idempotency-Key does a thing once, and belongs to one request', async (t) => {
  const shop = await startShop(t, crypto.randomUUID())
  const headers = { 'idempotency-key': 'flow_1:a' }
  const first = await shop.call('POST', '/api/products', APRON, headers)
  const again = await shop.call('POST', '/api/products', APRON, headers)
  t.equal(first.status, 201)
  t.equal(again.status, 201)
  t.same(again.body, first.body)
  t.equal(again.headers.get('idempotency-replayed'), 'true')
  const other = await shop.call('POST', '/api/products', { ...APRON, name: 'Cap' }, headers)
  t.equal(other.status, 422)
  t.match(other.body, { error: { code: 'idempotency_key_reused' } })
  t.same((await shop.call('GET', '/api/products')).body, { data: [first.body] })
  t.equal((await waiting(shop)).length, 1, 'it is told of once')
})

t.test('what failed is not kept under its Idempotency-Key', async (t) => {
  const shop = await startShop(t, crypto.randomUUID())
  const headers = { 'idempotency-key': 'flow_1:order' }
  const order = { customer_id: await newCustomer(shop), items: [{ product_id: 'none', quantity: 1 }] }
  t.equal((await shop.call('POST', '/api/orders', order, headers)).status, 422)
  const { body: product } = await shop.call('POST', '/api/products', APRON)
  const better = { ...order, items: [{ product_id: product['product_id'], quantity: 1 }] }
  t.equal((await shop.call('POST', '/api/orders', better, headers)).status, 201)
})

t.test('tenants do not see each other', async (t) => {
  const shop = await startShop(t, crypto.randomUUID())
  const { body } = await shop.call('POST', '/api/products', APRON, { 'idempotency-key': 'k' })
  const foreign = { 'x-tenant-id': crypto.randomUUID() }
  t.same((await shop.call('GET', '/api/products', undefined, foreign)).body, { data: [] })
  const path = `/api/products/${body['product_id'] as string}`
  t.equal((await shop.call('PUT', path, { name: 'Mine' }, foreign)).status, 404)
  t.equal((await shop.call('DELETE', path, undefined, foreign)).status, 404)
  const own = await shop.call('POST', '/api/products', APRON, { ...foreign, 'idempotency-key': 'k' })
  t.equal(own.status, 201, 'SKUs and keys are unique within a tenant')
  t.not(own.body['product_id'], body['product_id'])
})

t.test('what is wrong with a request is named, and nothing is bent or dropped', async (t) => {
  const { call } = await startShop(t, crypto.randomUUID())
  const cases = [
    ['/api/products', { name: 'A', price: 'free' }, /\/price must match pattern/],
    ['/api/products', { name: 'A', price: 1, colour: 'red' }, /additional properties: colour/],
    ['/api/customers', { email: 'nobody' }, /\/email must match format/],
    ['/api/customers', { name: 'Ana' }, /must have required property 'email'/],
    ['/api/orders', { customer_id: 'c', items: [] }, /\/items must NOT have fewer/],
  ] as const
  for (const [path, body, message] of cases) {
    const answer = await call('POST', path, body)
    t.equal(answer.status, 400, `${path} ${JSON.stringify(body)}`)
    t.match(answer.body, { error: { code: 'invalid_request', message } })
  }
})

t.test('an order takes stock, goes its way and says so', async (t) => {
  const shop = await startShop(t, crypto.randomUUID())
  const { body: product } = await shop.call('POST', '/api/products', APRON)
  const path = `/api/products/${product['product_id'] as string}`
  const customer_id = await newCustomer(shop)
  const orderOf = (quantity: number) =>
    shop.call('POST', '/api/orders', {
      customer_id,
      items: [{ product_id: product['product_id'], quantity }],
    })
  const { status, body: order } = await orderOf(2)
  t.equal(status, 201)
  t.match(order, { status: 'pending', total: 79.8, number: '1001', customer: { email: 'ana@example.com' } })
  t.equal((await shop.call('GET', path)).body['stock'], 5)

  const tooMuch = await orderOf(6)
  t.equal(tooMuch.status, 409)
  t.match(tooMuch.body, { error: { code: 'out_of_stock' } })
  t.equal((await shop.call('GET', path)).body['stock'], 5, 'nothing of a refused order stays')

  const statusPath = `/api/orders/${order['order_id'] as string}/status`
  t.equal((await shop.call('PUT', statusPath, { status: 'shipped' })).status, 409, 'not before it is paid')
  t.match((await shop.call('PUT', statusPath, { status: 'paid' })).body, { status: 'paid' })
  t.match((await shop.call('PUT', statusPath, { status: 'paid' })).body, { status: 'paid' })

  const { body: last } = await orderOf(5)
  t.equal((await shop.call('GET', path)).body['stock'], 0)
  await shop.call('PUT', `/api/orders/${last['order_id'] as string}/status`, { status: 'cancelled' })
  t.equal((await shop.call('GET', path)).body['stock'], 5, 'a cancelled order gives back what it took')

  t.same(
    (await waiting(shop)).map(({ event }) => event),
    [
      'product.created',
      'customer.created',
      'inventory.updated',
      'inventory.low',
      'order.created',
      'order.paid',
      'inventory.updated',
      'inventory.out',
      'order.created',
      'inventory.updated',
      'order.cancelled',
    ],
  )
})

t.test('every event reaches the service, and is as the catalogue says', async (t) => {
  const service = await startApp(t)
  const intakeUrl = await service.app.listen({ host: '127.0.0.1', port: 0 })
  const shop = await startShop(t, crypto.randomUUID(), { intakeUrl, intakeKey: TEST_PLATFORM_KEY })
  const sent = await everyEvent(shop)
  const feed = await feedOf(service, shop.tenantId, TEST_PLATFORM_KEY, sent.length)
  t.same(feed.map(({ event }) => event).sort(), sent.sort())
  for (const entry of feed) {
    t.equal(entry.schema_problems, undefined, `${entry.event} ${JSON.stringify(entry.schema_problems)}`)
    t.match(entry.source_id, /^evt_/)
  }
  await eventually('an empty outbox', async () => ((await waiting(shop)).length === 0 ? true : null))
})

t.test('no event is lost or doubled while the service is away and answers break off', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'platform-'))
  t.teardown(() => rm(directory, { recursive: true }))
  const databaseFile = join(directory, 'platform.db')
  const tenantId = crypto.randomUUID()
  const before = await startShop(t, tenantId, { databaseFile, intakeUrl: 'http://127.0.0.1:1' })
  await newCustomer(before, 'one@example.com')
  await newCustomer(before, 'two@example.com')
  await before.platform.close()

  const service = await startApp(t)
  const intake = await startBreakingProxy(t, await service.app.listen({ host: '127.0.0.1', port: 0 }))
  const shop = await startShop(t, tenantId, {
    databaseFile,
    intakeUrl: intake.url,
    intakeKey: TEST_PLATFORM_KEY,
  })
  await newCustomer(shop, 'three@example.com')
  await eventually('an empty outbox', async () => ((await waiting(shop)).length === 0 ? true : null))
  t.ok(intake.broken() > 0, 'answers were lost after the service had stored the events')
  const feed = await feedOf(service, tenantId, TEST_PLATFORM_KEY, 3)
  t.same(feed.map(({ data }) => data['email']).sort(), [
    'one@example.com',
    'three@example.com',
    'two@example.com',
  ])
})

t.test('what the service refuses is kept aside and holds nothing up', async (t) => {
  const service = await startApp(t)
  const intakeUrl = await service.app.listen({ host: '127.0.0.1', port: 0 })
  const tenant = service.tenant()
  await tenant.put('/api/tenant/settings', { unknown_event_types: 'reject' })
  const shop = await startShop(t, tenant.id)
  await newCustomer(shop)
  const [taken] = (await shop.call('GET', '/api/outbox')).body['data'] as { id: string }[]
  await tenant.post('/api/events', { event: 'customer.created', id: taken?.id, data: { id: 'another' } })
  shop.platform.sendEventsTo({ url: intakeUrl, key: TEST_PLATFORM_KEY })
  await newCustomer(shop, 'bo@example.com')
  const left = await eventually('one refused event', async () => {
    const entries = (await shop.call('GET', '/api/outbox')).body['data'] as { id: string; refusal: string }[]
    return entries.length === 1 ? entries : null
  })
  t.match(left, [{ id: taken?.id, refusal: 'event_conflict' }])
  const feed = await feedOf(service, tenant.id, TEST_PLATFORM_KEY, 2)
  t.same(feed[1]?.data['email'], 'bo@example.com')
})

/** Does what makes the platform say each thing that it can say. @returns the events, in order */
async function everyEvent(shop: Shop): Promise<string[]> {
  const { call } = shop
  const put = (path: string, body: unknown) => call('PUT', path, body)
  const { body: product } = await call('POST', '/api/products', APRON)
  const productPath = `/api/products/${product['product_id'] as string}`
  await put(productPath, { price: 34.9 })
  const customerId = await newCustomer(shop)
  await put(`/api/customers/${customerId}`, { phone: '+351912345678' })
  const order = { customer_id: customerId, items: [{ product_id: product['product_id'], quantity: 2 }] }
  const { body: first } = await call('POST', '/api/orders', order)
  const status = `/api/orders/${first['order_id'] as string}/status`
  await put(status, { status: 'paid', payment: { method: 'card', reference: 'pay_1' } })
  await put(status, { status: 'shipped', shipment: { carrier: 'DHL', tracking_number: '0034' } })
  await put(status, { status: 'delivered' })
  const { body: second } = await call('POST', '/api/orders', order)
  await put(`/api/orders/${second['order_id'] as string}/status`, {
    status: 'cancelled',
    reason: 'Ordered twice',
  })
  await put(productPath, { stock: 0 })
  await call('DELETE', productPath)
  return [
    'product.created',
    'product.updated',
    'customer.created',
    'customer.updated',
    'inventory.updated',
    'inventory.low',
    'order.created',
    'order.paid',
    'order.shipped',
    'order.delivered',
    'inventory.updated',
    'order.created',
    'inventory.updated',
    'order.cancelled',
    'inventory.updated',
    'inventory.out',
    'product.updated',
    'product.deleted',
  ]
}

/** Hands requests on, and cuts the line instead of answering the first two. */
async function startBreakingProxy(t: Test, target: string): Promise<{ url: string; broken: () => number }> {
  let broken = 0
  const server = createServer((incoming, outgoing) => {
    const { method, url, headers } = incoming
    incoming.pipe(
      httpRequest(target + (url ?? ''), { method, headers }, (answer) => {
        if (broken < 2) {
          broken++
          answer.resume().on('end', () => incoming.socket.destroy())
        } else {
          outgoing.writeHead(answer.statusCode ?? 500, answer.headers)
          answer.pipe(outgoing)
        }
      }),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, broken: () => broken }
}
