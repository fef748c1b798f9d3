import t from 'tap'
import { startPlatformWorld } from './support.ts'

const world = await startPlatformWorld(t)

t.test('a new customer is welcomed, once', async (t) => {
  const shop = await world.open()
  const flow = await shop.install('welcome_customer', { shop_name: 'Linen & Co' })
  const ana = await shop.ask('POST', '/api/customers', { email: 'ana@example.com', name: 'Ana' })
  await shop.settle()
  t.match(await shop.sent(), [
    {
      channel: 'email',
      recipient: 'ana@example.com',
      subject: 'Welcome, Ana!',
      body: /^Hello Ana,\n[^]*Linen & Co$/,
    },
  ])
  t.same(await shop.outcomes(flow), ['completed/done'])

  await shop.send('customer.created', ana)
  await shop.settle()
  t.equal((await shop.sent()).length, 1, 'the same customer told of twice')
  t.same(await shop.outcomes(flow), ['completed/done', 'skipped/reentered_too_soon'])
})

t.test("the platform's customer is welcomed, its id being text or a number", async (t) => {
  for (const customerId of ['cust_123', 123]) {
    const shop = await world.open()
    const flow = await shop.install('welcome_customer')
    const customer = { customer_id: customerId, email: 'john@example.com', name: 'John Doe' }
    await shop.send('customer.created', customer)
    await shop.settle()
    t.match(await shop.sent(), [
      {
        channel: 'email',
        recipient: 'john@example.com',
        subject: 'Welcome, John Doe!',
        body: /^Hello John Doe/,
      },
    ])
    t.same(await shop.outcomes(flow), ['completed/done'])
    await shop.send('customer.created', customer)
    await shop.settle()
    t.equal((await shop.sent()).length, 1, `${typeof customerId}: told of twice`)
    t.same(await shop.outcomes(flow), ['completed/done', 'skipped/reentered_too_soon'])
  }
})

t.test('who has no address on the chosen channel is left alone', async (t) => {
  const shop = await world.open()
  const flow = await shop.install('welcome_customer', { channel: 'sms' })
  await shop.ask('POST', '/api/customers', { email: 'ana@example.com', name: 'Ana' })
  await shop.ask('POST', '/api/customers', { email: 'bo@example.com', name: 'Bo', phone: '+351912345678' })
  await shop.settle()
  t.match(await shop.sent(), [{ channel: 'sms', recipient: '+351912345678', message: /^Hello Bo/ }])
  t.same((await shop.outcomes(flow)).sort(), ['completed/done', 'completed/filtered'])
})

t.test('a customer without a name is greeted all the same', async (t) => {
  const shop = await world.open()
  await shop.install('welcome_customer', { subject: 'Hello{{trigger.name | default: ""}}' })
  await shop.ask('POST', '/api/customers', { email: 'ana@example.com' })
  await shop.settle()
  t.match(await shop.sent(), [{ subject: 'Hello', body: /^Hello and welcome,/ }])
})

t.test('a name that looks like a template is written as it is', async (t) => {
  const shop = await world.open()
  await shop.install('welcome_customer', { shop_name: '{{trigger.email}} & {{' })
  await shop.ask('POST', '/api/customers', { email: 'ana@example.com', name: '{{trigger.customer_id}}' })
  await shop.settle()
  t.match(await shop.sent(), [
    {
      subject: 'Welcome, {{trigger.customer_id}}!',
      body: /^Hello \{\{trigger\.customer_id\}\}[^]*\{\{trigger\.email\}\} & \{\{$/,
    },
  ])
})
