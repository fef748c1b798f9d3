import t from 'tap'
import { HOUR_MS, MINUTE_MS, type PlatformAutomation, startPlatformWorld } from './support.ts'

const world = await startPlatformWorld(t)

async function placeOrder(shop: PlatformAutomation): Promise<Record<string, unknown>> {
  const mark = crypto.randomUUID().slice(0, 8)
  const customer = await shop.ask('POST', '/api/customers', { email: `${mark}@example.com`, name: 'Ana' })
  const product = await shop.ask('POST', '/api/products', { name: 'Apron', price: 39.9 })
  const items = [{ product_id: product['product_id'], quantity: 2 }]
  return shop.ask('POST', '/api/orders', { customer_id: customer['customer_id'], items })
}

function setStatus(shop: PlatformAutomation, order: Record<string, unknown>, body: object) {
  return shop.ask('PUT', `/api/orders/${order['order_id'] as string}/status`, body)
}

t.test('the customer of an order that is not paid in time is reminded, once', async (t) => {
  const shop = await world.open()
  const flow = await shop.install('abandoned_cart', { hours: 6, shop_name: 'Linen & Co' })
  const order = await placeOrder(shop)
  await shop.after(6 * HOUR_MS - MINUTE_MS)
  t.same(await shop.sent(), [], 'not before')
  await shop.after(MINUTE_MS + 1_000)
  t.match(await shop.sent(), [
    {
      channel: 'email',
      recipient: (order['customer'] as { email: string }).email,
      subject: 'Your order 1001 is waiting for you',
      body: /your order over €79\.80 is not paid yet[^]*Linen & Co$/,
    },
  ])
  t.same(await shop.outcomes(flow), ['completed/done'])

  await shop.send('order.created', order)
  await shop.after(7 * HOUR_MS)
  t.equal((await shop.sent()).length, 1, 'the same order told of twice')
  t.same(await shop.outcomes(flow), ['completed/done', 'skipped/reentered_too_soon'])
})

t.test('who pays or cancels in time is not reminded, and others are', async (t) => {
  const shop = await world.open()
  const flow = await shop.install('abandoned_cart')
  const [paid, cancelled, open] = [await placeOrder(shop), await placeOrder(shop), await placeOrder(shop)]
  await shop.after(3 * HOUR_MS)
  await setStatus(shop, paid, { status: 'paid' })
  await setStatus(shop, cancelled, { status: 'cancelled' })
  await shop.after(2 * HOUR_MS)
  t.match(await shop.sent(), [{ subject: `Your order ${open['number'] as string} is waiting for you` }])
  t.same(await shop.outcomes(flow), ['completed/stopped', 'completed/stopped', 'completed/done'])
})

t.test('who has paid another order is not reminded of the one that was given up', async (t) => {
  const shop = await world.open()
  const flow = await shop.install('abandoned_cart')
  const given = await placeOrder(shop)
  const guest = { ...given, order_id: 'ord_guest', customer_id: null, number: '77' }
  await shop.send('order.created', guest)
  const other = { email: 'another@example.com', name: 'Eva' }
  await shop.send('order.created', { ...guest, order_id: 'ord_another', number: '78', customer: other })
  await shop.settle()
  await shop.send('order.paid', {
    ...guest,
    customer_id: given['customer_id'],
    order_id: 'ord_other',
    status: 'paid',
  })
  await shop.after(5 * HOUR_MS)
  t.match(await shop.sent(), [{ subject: 'Your order 78 is waiting for you' }])
  t.same((await shop.outcomes(flow)).sort(), ['completed/done', 'completed/stopped', 'completed/stopped'])
})

t.test('an order that is paid at once is not reminded of, in whichever order that is told', async (t) => {
  const shop = await world.open()
  const flow = await shop.install('abandoned_cart')
  const order = await placeOrder(shop)
  await setStatus(shop, order, { status: 'paid' })
  const early = { ...order, order_id: 'ord_early' }
  await shop.send('order.paid', { ...early, status: 'paid', payment: { method: 'card', reference: '' } })
  await shop.send('order.created', early)
  await shop.send('order.created', { ...order, order_id: 'ord_till', status: 'paid' })
  await shop.after(5 * HOUR_MS)
  t.same(await shop.sent(), [])
  t.same(await shop.outcomes(flow), ['completed/stopped', 'completed/stopped'])
})

t.test('the customer learns that an order is on its way, once and with its tracking number', async (t) => {
  const shop = await world.open()
  const flow = await shop.install('order_shipped')
  const order = await placeOrder(shop)
  await setStatus(shop, order, { status: 'paid' })
  await shop.settle()
  t.same(await shop.sent(), [], 'nothing while it is packed')
  const shipment = {
    carrier: 'DHL',
    tracking_number: '00340434',
    tracking_url: 'https://dhl.example/00340434',
  }
  const shipped = await setStatus(shop, order, { status: 'shipped', shipment })
  await shop.settle()
  t.match(await shop.sent(), [
    {
      recipient: (order['customer'] as { email: string }).email,
      subject: 'Your order 1001 is on its way',
      body: /Carrier: DHL\nTracking number: 00340434\nhttps:\/\/dhl\.example\/00340434\n/,
    },
  ])
  await shop.send('order.shipped', shipped)
  await shop.settle()
  t.equal((await shop.sent()).length, 1, 'the same order told of twice')
  t.same(await shop.outcomes(flow), ['completed/done', 'skipped/reentered_too_soon'])
})

t.test('each parcel of an order is told of, once', async (t) => {
  const shop = await world.open()
  const flow = await shop.install('order_shipped')
  const order = await placeOrder(shop)
  for (const tracking_number of ['1', '2', '1', null, null]) {
    await shop.send('order.shipped', { ...order, shipment: { carrier: 'DHL', tracking_number } })
    await shop.settle()
  }
  t.equal((await shop.sent()).length, 3)
  t.same(
    (await shop.outcomes(flow)).map((outcome) => outcome.split('/')[0]),
    ['completed', 'completed', 'skipped', 'completed', 'skipped'],
  )
})

t.test('an order that is shipped without tracking says so', async (t) => {
  const shop = await world.open()
  await shop.install('order_shipped')
  const order = await placeOrder(shop)
  await setStatus(shop, order, { status: 'paid' })
  await setStatus(shop, order, { status: 'shipped' })
  await shop.settle()
  t.match(await shop.sent(), [{ body: /Carrier: not known\nTracking number: none\n/ }])
})
