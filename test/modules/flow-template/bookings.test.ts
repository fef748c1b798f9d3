import t from 'tap'
import { DAY_MS, HOUR_MS, type PlatformAutomation, startPlatformWorld } from './support.ts'

const world = await startPlatformWorld(t)

const ANA = { email: 'ana@example.com', name: 'Ana', phone: '+351912345678' }

/** An appointment that starts so long from the shop's now. */
async function book(shop: PlatformAutomation, ahead: number, customer: object = ANA) {
  const { customer_id } = await shop.ask('POST', '/api/customers', customer)
  return shop.ask('POST', '/api/bookings', {
    customer_id,
    service: { service_id: 'srv_1', name: 'Fitting' },
    ...times(shop, ahead),
  })
}

function times(shop: PlatformAutomation, ahead: number): { starts_at: string; ends_at: string } {
  return { starts_at: shop.at(ahead), ends_at: shop.at(ahead + HOUR_MS) }
}

function move(shop: PlatformAutomation, booking: Record<string, unknown>, ahead: number) {
  return shop.ask('PUT', `/api/bookings/${booking['booking_id'] as string}`, times(shop, ahead))
}

function end(shop: PlatformAutomation, booking: Record<string, unknown>, status: string) {
  return shop.ask('PUT', `/api/bookings/${booking['booking_id'] as string}/status`, { status })
}

/** As the messages write it, in Lisbon. */
function written(time: unknown): string {
  const parts = new Intl.DateTimeFormat('en-US', {
    timeZone: 'Europe/Lisbon',
    weekday: 'long',
    day: 'numeric',
    month: 'long',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).formatToParts(new Date(time as string))
  const part = (type: string) => parts.find((each) => each.type === type)?.value ?? ''
  return `${part('weekday')} ${part('day')} ${part('month')} ${part('year')}, ${part('hour')}:${part('minute')}`
}

async function reminders(shop: PlatformAutomation): Promise<(string | undefined)[]> {
  return (await shop.sent()).map(({ body }) => /Fitting, (.*)\./.exec(body ?? '')?.[1])
}

t.test('a booking is confirmed, once, in the time zone of the booking', async (t) => {
  const shop = await world.open()
  const flow = await shop.install('booking_confirmation')
  const booking = await book(shop, 3 * DAY_MS)
  await shop.send('booking.created', booking)
  await shop.settle()
  t.match(await shop.sent(), [
    { channel: 'email', recipient: ANA.email, subject: 'Your appointment is confirmed' },
  ])
  t.same(await reminders(shop), [written(booking['starts_at'])])
  await move(shop, booking, 4 * DAY_MS)
  await shop.settle()
  t.equal((await shop.sent()).length, 1, 'moving it is no confirmation')
  t.same(await shop.outcomes(flow), ['completed/done', 'skipped/reentered_too_soon'])
})

t.test('a requested booking is confirmed when it is, and what is over or cancelled never', async (t) => {
  const shop = await world.open()
  await shop.install('booking_confirmation', { channel: 'sms' })
  await book(shop, -DAY_MS)
  const { customer } = await book(shop, -2 * DAY_MS, { email: 'bo@example.com' })
  const request = { booking_id: 'book_1', customer: { ...(customer as object), phone: '+351911111111' } }
  const pending = { ...request, status: 'pending', ...times(shop, 3 * DAY_MS) }
  await shop.send('booking.created', pending)
  await shop.send('booking.created', { ...pending, booking_id: 'book_2', status: 'cancelled' })
  await shop.settle()
  t.same(await shop.sent(), [])
  await shop.send('booking.updated', { ...pending, status: 'confirmed', changes: ['status'] })
  await shop.send('booking.updated', {
    ...pending,
    booking_id: 'book_3',
    status: 'confirmed',
    changes: ['staff'],
  })
  await shop.settle()
  t.match(await shop.sent(), [
    { channel: 'sms', recipient: '+351911111111', message: /confirmed: appointment,/ },
  ])
})

t.test('the reminder goes out a day before the appointment, once', async (t) => {
  const shop = await world.open()
  const flow = await shop.install('booking_reminder')
  const booking = await book(shop, 3 * DAY_MS)
  await shop.after(2 * DAY_MS - HOUR_MS)
  t.same(await shop.sent(), [], 'not before')
  await shop.after(HOUR_MS + 1_000)
  t.match(await shop.sent(), [{ channel: 'email', recipient: ANA.email, subject: 'See you soon' }])
  t.same(await reminders(shop), [written(booking['starts_at'])])
  await shop.send('booking.created', booking)
  await shop.after(DAY_MS)
  t.equal((await shop.sent()).length, 1, 'the same booking told of twice')
  t.same(await shop.outcomes(flow), ['completed/done', 'completed/filtered'])
})

t.test('a booking that is moved is reminded of at its new time, once', async (t) => {
  const shop = await world.open()
  const flow = await shop.install('booking_reminder')
  const booking = await book(shop, 3 * DAY_MS)
  await shop.after(DAY_MS)
  const moved = await move(shop, booking, 5 * DAY_MS)
  await shop.after(3 * DAY_MS)
  t.same(await shop.sent(), [], 'not at the old time')
  await shop.after(DAY_MS + 1_000)
  t.same(await reminders(shop), [written(moved['starts_at'])])
  await shop.after(3 * DAY_MS)
  t.equal((await shop.sent()).length, 1)
  t.same(await shop.outcomes(flow), ['cancelled/restarted', 'completed/done'])
})

t.test('a booking that is moved ahead is reminded of before its new time', async (t) => {
  const shop = await world.open()
  await shop.install('booking_reminder')
  const booking = await book(shop, 9 * DAY_MS)
  await shop.settle()
  const moved = await move(shop, booking, 2 * DAY_MS)
  await shop.after(DAY_MS + 1_000)
  t.same(await reminders(shop), [written(moved['starts_at'])])
  await shop.after(9 * DAY_MS)
  t.equal((await shop.sent()).length, 1)
})

t.test('a booking that is moved after its reminder is reminded of again', async (t) => {
  const shop = await world.open()
  await shop.install('booking_reminder')
  const booking = await book(shop, 2 * DAY_MS)
  await shop.after(DAY_MS + HOUR_MS)
  const moved = await move(shop, booking, 4 * DAY_MS)
  await shop.after(3 * DAY_MS + 1_000)
  t.same(await reminders(shop), [written(booking['starts_at']), written(moved['starts_at'])])
})

t.test('a booking that is moved to within a day is told of at once', async (t) => {
  const shop = await world.open()
  await shop.install('booking_reminder')
  const booking = await book(shop, 5 * DAY_MS)
  await shop.settle()
  const moved = await move(shop, booking, 5 * HOUR_MS)
  await shop.settle()
  t.same(await reminders(shop), [written(moved['starts_at'])])
  await shop.after(6 * DAY_MS)
  t.equal((await shop.sent()).length, 1)
})

t.test('another change of a booking neither moves nor repeats its reminder', async (t) => {
  const shop = await world.open()
  const flow = await shop.install('booking_reminder')
  const booking = await book(shop, 2 * DAY_MS)
  await shop.settle()
  const path = `/api/bookings/${booking['booking_id'] as string}`
  await shop.ask('PUT', path, { staff: 'Rita' })
  await shop.after(DAY_MS + 1_000)
  await shop.ask('PUT', path, { staff: 'Rui' })
  await shop.after(2 * DAY_MS)
  t.equal((await shop.sent()).length, 1)
  t.same(await shop.outcomes(flow), ['completed/done'])
})

t.test('a booking that is cancelled is not reminded of, moved or not', async (t) => {
  const shop = await world.open()
  const flow = await shop.install('booking_reminder')
  const first = await book(shop, 3 * DAY_MS)
  const second = await book(shop, 3 * DAY_MS, { email: 'bo@example.com' })
  await shop.after(DAY_MS)
  await end(shop, first, 'cancelled')
  await move(shop, second, 4 * DAY_MS)
  await shop.after(DAY_MS)
  await end(shop, second, 'cancelled')
  await shop.after(9 * DAY_MS)
  t.same(await shop.sent(), [])
  t.same(await shop.outcomes(flow), ['cancelled/cancel_on', 'cancelled/restarted', 'cancelled/cancel_on'])
})

t.test('who books at short notice gets no reminder on the heels of the booking', async (t) => {
  const shop = await world.open()
  const flow = await shop.install('booking_reminder')
  await book(shop, 23 * HOUR_MS)
  await shop.after(2 * DAY_MS)
  t.same(await shop.sent(), [])
  t.same(await shop.outcomes(flow), ['completed/filtered'])
})

t.test('nobody is reminded of an appointment that is over', async (t) => {
  const shop = await world.open()
  await shop.install('booking_reminder')
  await book(shop, 2 * DAY_MS)
  await shop.settle()
  // The service was away in between.
  shop.pass(3 * DAY_MS)
  await shop.settle()
  t.same(await shop.sent(), [])
})

t.test('the customer is asked how it was a day after the appointment, once', async (t) => {
  const shop = await world.open()
  const flow = await shop.install('post_session', { hours: 24, shop_name: 'Linen & Co' })
  const booking = await book(shop, -HOUR_MS)
  const cancelled = await book(shop, 2 * DAY_MS, { email: 'bo@example.com' })
  await end(shop, cancelled, 'cancelled')
  const completed = await end(shop, booking, 'completed')
  await shop.send('booking.completed', completed)
  await shop.after(23 * HOUR_MS)
  t.same(await shop.sent(), [], 'not before')
  await shop.after(2 * HOUR_MS)
  t.match(await shop.sent(), [{ recipient: ANA.email, subject: 'How was it?', body: /Linen & Co$/ }])
  await shop.after(30 * DAY_MS)
  t.equal((await shop.sent()).length, 1)
  t.same(await shop.outcomes(flow), ['completed/done', 'skipped/reentered_too_soon'])
})
