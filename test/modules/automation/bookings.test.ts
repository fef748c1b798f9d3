import t from 'tap'
import { ANA, DAY_MS, HOUR_MS, idOf, made, startCrm } from './support.ts'

const crm = await startCrm(t)

const REMINDER = { name: 'Remind', type: 'booking_reminder', trigger: 'before_booking', delay_hours: 36 }
const CONFIRMATION = { name: 'Confirm', type: 'booking_confirmation', trigger: 'after_booking' }

t.test('the reminder goes out so many hours before the appointment, once', async (t) => {
  const shop = await crm.open()
  const { id, ...fields } = await shop.create({
    ...REMINDER,
    template: 'See you at {{trigger.starts_at | date: "%H:%M", variables.zone}}, {{variables.shop_name}}',
    shop_name: '{{ Linen',
  })
  t.match(fields, { channel: 'email', template: /%H:%M/ })
  const booking = await shop.book(3 * DAY_MS)
  await shop.after(35 * HOUR_MS)
  t.same(await shop.sent(), [], 'not before')
  await shop.after(2 * HOUR_MS)
  t.match(await shop.sent(), [
    { recipient: ANA.email, subject: 'See you soon', body: /^See you at \d\d:\d\d, \{\{ Linen$/ },
  ])
  await shop.send('booking.created', { ...booking, booking_id: idOf(booking, 'booking_id') })
  await shop.after(9 * DAY_MS)
  t.equal((await shop.sent()).length, 1)
  t.equal((await shop.outcomes(id))[0], 'completed/done')
})

t.test('times are written in the zone of the shop, unless the automation has one', async (t) => {
  const shop = await crm.open()
  t.equal((await shop.tenant.patch('/api/tenant', { time_zone: 'Asia/Tokyo' })).statusCode, 200)
  const template = '{{trigger.starts_at | date: "%H:%M", variables.zone}}'
  await shop.create({ ...CONFIRMATION, template })
  await shop.create({ ...CONFIRMATION, template, time_zone: 'Asia/Kolkata' })
  // Of a system that names no zone; the platform names one in each.
  const starts_at = shop.at(3 * DAY_MS)
  const booking = { booking_id: 'book_local', status: 'confirmed', starts_at, service: { name: 'Fitting' } }
  await shop.send('booking.created', { ...booking, customer: ANA })
  await shop.settle()
  const at = (timeZone: string): string =>
    new Date(starts_at).toLocaleTimeString('en-GB', {
      timeZone,
      hour: '2-digit',
      minute: '2-digit',
    })
  const bodies = (await shop.sent()).map(({ body }) => body)
  t.same(bodies.toSorted(), [at('Asia/Tokyo'), at('Asia/Kolkata')].toSorted())
})

t.test('a booking that is moved is reminded of at its new time, one that is cancelled never', async (t) => {
  const shop = await crm.open()
  const { id } = await shop.create(REMINDER)
  const moved = await shop.book(3 * DAY_MS)
  const cancelled = await shop.book(3 * DAY_MS, { email: 'bo@example.com' })
  await shop.after(DAY_MS)
  await shop.move(moved, 6 * DAY_MS)
  await shop.end(cancelled, 'cancelled')
  await shop.after(4 * DAY_MS)
  t.same(await shop.sent(), [], 'not at the old time')
  await shop.after(DAY_MS)
  t.match(await shop.sent(), [{ recipient: ANA.email }])
  await shop.after(9 * DAY_MS)
  t.equal((await shop.sent()).length, 1)
  t.same(await shop.outcomes(id), ['cancelled/cancel_on', 'cancelled/cancel_on', 'completed/done'])
})

t.test('a booking that is moved and no longer meets the conditions is not reminded of', async (t) => {
  const shop = await crm.open()
  const conditions = { field: 'starts_at', operator: 'within_next', value: '10 days' }
  const { id } = await shop.create({ ...REMINDER, conditions })
  const booking = await shop.book(3 * DAY_MS)
  await shop.after(HOUR_MS)
  await shop.move(booking, 30 * DAY_MS)
  await shop.after(40 * DAY_MS)
  t.same(await shop.sent(), [])
  t.same(await shop.outcomes(id), ['cancelled/cancel_on'])
})

t.test('a booking is confirmed once, and later only if it still stands', async (t) => {
  const shop = await crm.open()
  const atOnce = await shop.create(CONFIRMATION)
  const later = await shop.create({ ...CONFIRMATION, delay_hours: 2, subject: 'Still on' })
  const booking = await shop.book(3 * DAY_MS)
  await shop.settle()
  t.same(await shop.subjects(), ['Your appointment is confirmed'])
  await shop.after(HOUR_MS)
  await shop.end(booking, 'cancelled')
  const moved = await shop.book(3 * DAY_MS, { email: 'bo@example.com' })
  await shop.settle()
  await shop.move(moved, 4 * DAY_MS)
  await shop.after(3 * HOUR_MS)
  const confirmed = 'Your appointment is confirmed'
  t.same(await shop.subjects(), [confirmed, confirmed], 'nobody is told of a time that no longer holds')
  t.same(await shop.outcomes(atOnce.id), ['completed/done', 'completed/done'])
  t.same(await shop.outcomes(later.id), ['cancelled/cancel_on', 'cancelled/cancel_on'])
})

t.test('the customer is asked how it was, after the appointment', async (t) => {
  const shop = await crm.open()
  const { id, delay_hours } = await shop.create({
    name: 'How was it',
    type: 'post_session',
    trigger: 'after_booking',
  })
  t.equal(delay_hours, 24)
  await shop.end(await shop.book(-HOUR_MS), 'completed')
  await shop.after(23 * HOUR_MS)
  t.same(await shop.sent(), [])
  await shop.after(2 * HOUR_MS)
  t.match(await shop.sent(), [{ recipient: ANA.email, subject: 'How was it?' }])
  t.same(await shop.outcomes(id), ['completed/done'])
})

t.test('a CRM update does its action, and tells the team if it has something to say', async (t) => {
  const shop = await crm.open()
  await shop.create({
    name: 'Prepare',
    type: 'crm_update',
    trigger: 'before_booking',
    delay_hours: 24,
    action: {
      action_type: 'create_task',
      input: { title: 'Prepare for {{trigger.customer.name}}', priority: 'high' },
    },
    template: 'Prepare for {{trigger.customer.name}}',
  })
  await shop.book(3 * DAY_MS)
  await shop.after(2 * DAY_MS + HOUR_MS)
  t.match(await shop.rows('tasks'), [{ title: 'Prepare for Ana', priority: 'high' }])
  t.match(await shop.sent(), [{ channel: 'notification', message: 'Prepare for Ana' }])
})

t.test('each trigger of a CRM update has something ready-made to do', async (t) => {
  const shop = await crm.open()
  for (const trigger of ['new_lead', 'no_contact', 'message_received', 'after_booking', 'status_changed']) {
    await shop.create({
      name: trigger,
      type: 'crm_update',
      trigger,
      ...(trigger === 'no_contact' && { delay_hours: 5 }),
    })
  }
  const lead = await shop.lead({ name: 'Miguel', email: 'miguel@example.com' })
  const said = {
    direction: 'inbound',
    channel: 'sms',
    from: '+351911111111',
    to: '+351210000000',
    text: 'Hello',
  }
  await shop.ask('POST', '/api/messages', said)
  await shop.end(await shop.book(-HOUR_MS), 'completed')
  await shop.after(6 * HOUR_MS)
  await shop.ask('PUT', `/api/leads/${lead}`, { status: 'won' })
  await shop.settle()
  const titles = (await shop.rows<{ title: string }>('tasks')).map(({ title }) => title)
  t.same(titles.sort(), [
    'Answer +351911111111',
    'Appointment with Ana',
    'Look after Miguel',
    'Look after Miguel',
  ])
  t.match(await shop.sent(), [{ subject: 'Lead Miguel: won' }])
  t.ok((await shop.rows<{ email: string }>('customers')).some(({ email }) => email === 'miguel@example.com'))
})

t.test('every automation is to be seen as a flow', async (t) => {
  const shop = await crm.open()
  const { id } = await shop.create(REMINDER)
  const flow = await made<Record<string, unknown>>(shop.tenant.get(`/api/automation/flows/${id}`))
  t.match(flow, {
    id,
    name: 'Remind',
    status: 'active',
    problems: [],
    automation: { type: 'booking_reminder', trigger: 'before_booking', delay_hours: 36 },
  })
  const { data } = await made<{ data: { id: string }[] }>(
    shop.tenant.get('/api/automation/flows?event=booking.created'),
  )
  t.same(
    data.map((each) => each.id),
    [id],
  )
})
