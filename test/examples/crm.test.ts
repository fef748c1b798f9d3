import t from 'tap'
import { startApp, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { feedOf, idOf, type Shop, startShop } from './shop.ts'

const FITTING = { service_id: 'srv_1', name: 'Fitting' }
const DAY_MS = 24 * 3600 * 1000
const inDays = (days: number): string => new Date(Date.now() + days * DAY_MS).toISOString()

async function made(shop: Shop, path: string, body: object): Promise<string> {
  const answer = await shop.call('POST', path, body)
  if (answer.status !== 201) throw new Error(JSON.stringify(answer.body))
  return idOf(answer.body)
}

async function newBooking(shop: Shop): Promise<string> {
  const customer_id = await made(shop, '/api/customers', { email: 'ana@example.com', phone: '+351912345678' })
  const times = { starts_at: inDays(3), ends_at: inDays(3.1) }
  return made(shop, '/api/bookings', { customer_id, service: FITTING, ...times })
}

async function events(shop: Shop): Promise<string[]> {
  const { body } = await shop.call('GET', '/api/outbox')
  return (body['data'] as { event: string }[]).map(({ event }) => event)
}

t.test('what happens to leads, bookings and messages is told as the catalogue says', async (t) => {
  const service = await startApp(t)
  const intakeUrl = await service.app.listen({ host: '127.0.0.1', port: 0 })
  const shop = await startShop(t, crypto.randomUUID(), { intakeUrl, intakeKey: TEST_PLATFORM_KEY })
  const lead = await made(shop, '/api/leads', { name: 'Miguel', email: 'miguel@example.com' })
  await shop.call('PUT', `/api/leads/${lead}`, { assigned_to: 'rita', status: 'qualified' })
  const booking = await newBooking(shop)
  await shop.call('PUT', `/api/bookings/${booking}`, { starts_at: inDays(4), ends_at: inDays(4.1) })
  await shop.call('PUT', `/api/bookings/${booking}/status`, { status: 'cancelled' })
  await shop.call('PUT', `/api/bookings/${await secondBooking(shop, booking)}/status`, {
    status: 'completed',
  })
  const said = { channel: 'email', from: 'miguel@example.com', to: 'shop@example.com', text: 'Hello?' }
  await made(shop, '/api/messages', { direction: 'inbound', ...said })
  await shop.call('POST', '/api/notifications/sms', { to: '+351912345678', message: 'See you' })

  const feed = await feedOf(service, shop.tenantId, TEST_PLATFORM_KEY, 11)
  t.same(feed.map(({ event }) => event).sort(), [
    'booking.cancelled',
    'booking.completed',
    'booking.created',
    'booking.created',
    'booking.updated',
    'customer.created',
    'lead.created',
    'lead.status_changed',
    'lead.updated',
    'message.received',
    'message.sent',
  ])
  for (const { event, schema_problems } of feed) {
    t.equal(schema_problems, undefined, `${event} ${JSON.stringify(schema_problems)}`)
  }
  const dataOf = (type: string) => feed.find(({ event }) => event === type)?.data
  t.match(dataOf('lead.status_changed'), { status: 'qualified', previous_status: 'new', assigned_to: 'rita' })
  t.match(dataOf('booking.updated'), { changes: ['starts_at', 'ends_at'] })
  t.match(dataOf('message.received'), { lead_id: lead, customer_id: null, from: 'miguel@example.com' })
})

async function secondBooking(shop: Shop, first: string): Promise<string> {
  const { body } = await shop.call('GET', `/api/bookings/${first}`)
  const { customer_id } = body as { customer_id: string }
  const times = { starts_at: inDays(1), ends_at: inDays(1.1) }
  return made(shop, '/api/bookings', { customer_id, service: FITTING, ...times })
}

t.test('a message says whether an automation sent it or a person', async (t) => {
  const shop = await startShop(t, crypto.randomUUID())
  const mail = { to: 'miguel@example.com', subject: 'Hello', text: 'Hello' }
  await shop.call('POST', '/api/notifications/email', mail)
  await shop.call('POST', '/api/notifications/email', mail, { 'x-causation-depth': '1' })
  const byHand = {
    direction: 'outbound',
    channel: 'email',
    from: 'shop@example.com',
    to: 'miguel@example.com',
  }
  await made(shop, '/api/messages', { ...byHand, text: 'Hello again' })
  const { body } = await shop.call('GET', '/api/messages')
  t.same(
    (body['data'] as { text: string; automated: boolean }[]).map(({ text, automated }) => [text, automated]),
    [
      ['Hello again', false],
      ['Hello', true],
      ['Hello', false],
    ],
  )
  t.same(await events(shop), ['message.sent', 'message.sent', 'message.sent'])
})

t.test('a booking that has ended is neither moved nor ended again, and ends after it starts', async (t) => {
  const shop = await startShop(t, crypto.randomUUID())
  const path = `/api/bookings/${await newBooking(shop)}`
  const backwards = await shop.call('PUT', path, { ends_at: inDays(1) })
  t.match(backwards, { status: 422, body: { error: { code: 'wrong_times' } } })
  t.equal((await shop.call('PUT', `${path}/status`, { status: 'completed' })).status, 200)
  const late = await shop.call('PUT', `${path}/status`, { status: 'cancelled' })
  t.match(late, { status: 409, body: { error: { code: 'wrong_status' } } })
  t.equal((await shop.call('PUT', path, { staff: 'Rita' })).status, 409)
  t.same(await events(shop), ['customer.created', 'booking.created', 'booking.completed'])
})

t.test("leads, bookings and messages are their tenant's alone", async (t) => {
  const shop = await startShop(t, crypto.randomUUID())
  const lead = await made(shop, '/api/leads', { name: 'Miguel' })
  const booking = await newBooking(shop)
  const foreign = { 'x-tenant-id': crypto.randomUUID() }
  for (const list of ['leads', 'bookings', 'messages']) {
    t.same((await shop.call('GET', `/api/${list}`, undefined, foreign)).body, { data: [] })
  }
  for (const path of [`/api/leads/${lead}`, `/api/bookings/${booking}`]) {
    t.equal((await shop.call('GET', path, undefined, foreign)).status, 404)
  }
})
