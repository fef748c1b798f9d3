import t from 'tap'
import { DAY_MS, HOUR_MS, type PlatformAutomation, startPlatformWorld } from './support.ts'

const world = await startPlatformWorld(t)

const MIGUEL = { name: 'Miguel', email: 'miguel@example.com', phone: '+351934567890', source: 'website' }
const FIRST = 'Do you have any questions?'
const SECOND = 'Are you still interested?'

async function newLead(shop: PlatformAutomation, fields: object = MIGUEL): Promise<string> {
  return (await shop.ask('POST', '/api/leads', fields))['lead_id'] as string
}

async function subjects(shop: PlatformAutomation): Promise<(string | null)[]> {
  return (await shop.sent()).map(({ subject }) => subject)
}

t.test('a new lead is answered, once', async (t) => {
  const shop = await world.open()
  const flow = await shop.install('lead_welcome')
  const lead = await shop.ask('POST', '/api/leads', MIGUEL)
  await shop.ask('POST', '/api/leads', { name: 'Nobody' })
  await shop.send('lead.created', lead)
  await shop.settle()
  t.match(await shop.sent(), [
    { channel: 'email', recipient: MIGUEL.email, subject: 'Thank you for your interest, Miguel' },
  ])
  t.match(await shop.rows('leads'), [
    { email: MIGUEL.email, last_contacted: String },
    { name: 'Nobody', last_contacted: null },
  ])
  t.same(await shop.outcomes(flow), ['completed/done', 'completed/filtered', 'skipped/reentered_too_soon'])
})

t.test('a lead without contact gets one message after three days and another after seven', async (t) => {
  const shop = await world.open()
  const flow = await shop.install('lead_follow_up')
  const lead = await shop.ask('POST', '/api/leads', MIGUEL)
  await shop.send('lead.created', lead)
  await shop.after(3 * DAY_MS - HOUR_MS)
  t.same(await shop.sent(), [])
  await shop.after(2 * HOUR_MS)
  t.same(await subjects(shop), [FIRST])
  const contacted = async () =>
    (await shop.rows('leads')).map((row) => Date.parse(String(row['last_contacted'])))
  const [first] = await contacted()
  await shop.after(4 * DAY_MS - 2 * HOUR_MS)
  t.same(await subjects(shop), [FIRST])
  await shop.after(2 * HOUR_MS)
  t.same(await subjects(shop), [FIRST, SECOND])
  const [second] = await contacted()
  t.ok(Number(second) - Number(first) > 3 * DAY_MS, `${first} ${second}`)
  await shop.after(60 * DAY_MS)
  t.same(await subjects(shop), [FIRST, SECOND], 'and then no more')
  t.match(await shop.sent(), [{ recipient: MIGUEL.email }, { recipient: MIGUEL.email }])
  t.same(await shop.outcomes(flow), ['completed/done', 'skipped/reentered_too_soon'])
})

t.test('a lead that replied before the first message gets none', async (t) => {
  const shop = await world.open()
  const flow = await shop.install('lead_follow_up')
  await newLead(shop)
  await shop.after(2 * DAY_MS)
  const reply = { direction: 'inbound', channel: 'email', from: MIGUEL.email, to: 'shop@example.com' }
  await shop.ask('POST', '/api/messages', { ...reply, text: 'When do you open?' })
  await shop.after(30 * DAY_MS)
  t.same(await shop.sent(), [])
  t.same(await shop.outcomes(flow), ['cancelled/cancel_on'])
})

t.test('a reply that is matched only after the follow-up fell due still stops it', async (t) => {
  const shop = await world.open()
  const flow = await shop.install('lead_follow_up')
  await newLead(shop)
  await shop.settle()
  const reply = { direction: 'inbound', channel: 'email', from: MIGUEL.email, to: 'shop@example.com' }
  await shop.ask('POST', '/api/messages', { ...reply, text: 'When do you open?' })
  // The service was away, and looks at what is due first.
  shop.pass(4 * DAY_MS)
  await shop.engine().drain()
  await shop.settle()
  t.same(await shop.sent(), [])
  t.same(await shop.outcomes(flow), ['cancelled/cancel_on'])
})

t.test('a lead that replied to the first message gets no second one', async (t) => {
  const shop = await world.open()
  const flow = await shop.install('lead_follow_up')
  await newLead(shop)
  await shop.after(3 * DAY_MS + HOUR_MS)
  const reply = { direction: 'inbound', channel: 'whatsapp', from: MIGUEL.phone, to: '+351210000000' }
  await shop.ask('POST', '/api/messages', { ...reply, text: 'Yes!' })
  await shop.after(30 * DAY_MS)
  t.same(await subjects(shop), [FIRST])
  t.same(await shop.outcomes(flow), ['cancelled/cancel_on'])
})

t.test('somebody of the shop who writes is contact', async (t) => {
  const shop = await world.open()
  const flow = await shop.install('lead_follow_up')
  await newLead(shop)
  await shop.after(DAY_MS)
  const byHand = { direction: 'outbound', channel: 'email', from: 'shop@example.com', to: MIGUEL.email }
  await shop.ask('POST', '/api/messages', { ...byHand, text: 'I am Rita.' })
  await shop.after(30 * DAY_MS)
  t.same(await shop.sent(), [])
  t.same(await shop.outcomes(flow), ['cancelled/cancel_on'])
})

t.test("an automation's own messages are no contact", async (t) => {
  const shop = await world.open()
  const flow = await shop.install('lead_follow_up')
  await shop.install('lead_welcome')
  await newLead(shop)
  await shop.after(8 * DAY_MS)
  t.same(await subjects(shop), ['Thank you for your interest, Miguel', FIRST])
  await shop.after(8 * DAY_MS)
  t.same(await subjects(shop), ['Thank you for your interest, Miguel', FIRST, SECOND])
  t.match(await shop.rows('messages'), [{ automated: true }, { automated: true }, { automated: true }])
  t.same(await shop.outcomes(flow), ['completed/done'])
})

t.test("another lead's reply changes nothing, and neither do leads without addresses", async (t) => {
  const shop = await world.open()
  const flow = await shop.install('lead_follow_up')
  await newLead(shop, { name: 'Miguel', email: MIGUEL.email })
  await newLead(shop, { name: 'Sofia', phone: '+351911111111' })
  await newLead(shop, { name: 'Rui', email: 'rui@example.com' })
  await shop.settle()
  const reply = { direction: 'inbound', channel: 'email', from: 'rui@example.com', to: 'shop@example.com' }
  await shop.ask('POST', '/api/messages', { ...reply, text: 'Hello?' })
  const stranger = { direction: 'inbound', channel: 'sms', from: '+351999999999', to: '+351210000000' }
  await shop.ask('POST', '/api/messages', { ...stranger, text: 'Wrong number' })
  await shop.after(3 * DAY_MS + HOUR_MS)
  t.match(await shop.sent(), [{ recipient: MIGUEL.email, subject: FIRST }])
  t.same(await shop.outcomes(flow), ['waiting/delay', 'completed/filtered', 'cancelled/cancel_on'])
})

t.test('a lead that somebody dealt with is not written to', async (t) => {
  const shop = await world.open()
  const flow = await shop.install('lead_follow_up')
  const lead = await newLead(shop)
  await shop.settle()
  await shop.ask('PUT', `/api/leads/${lead}`, { status: 'lost' })
  await shop.after(30 * DAY_MS)
  t.same(await shop.sent(), [])
  t.same(await shop.outcomes(flow), ['cancelled/cancel_on'])
})

t.test('a lead that is won becomes a customer, and the team is told', async (t) => {
  const shop = await world.open()
  const flow = await shop.install('crm_update')
  const lead = await newLead(shop)
  await shop.ask('PUT', `/api/leads/${lead}`, { status: 'qualified' })
  await shop.settle()
  t.same(await shop.rows('customers'), [], 'not before it is won')
  await shop.ask('PUT', `/api/leads/${lead}`, { status: 'won' })
  await shop.settle()
  t.match(await shop.rows('customers'), [
    { email: MIGUEL.email, name: 'Miguel', phone: MIGUEL.phone, tags: ['lead'] },
  ])
  t.match(await shop.sent(), [
    {
      channel: 'notification',
      subject: 'Lead Miguel: qualified',
      message: 'Miguel went from new to qualified.',
    },
    { channel: 'notification', subject: 'Lead Miguel: won', message: 'Miguel went from qualified to won.' },
  ])
  t.same(await shop.rows('tasks'), [])
  t.same(await shop.outcomes(flow), ['completed/done', 'completed/done'])
})

t.test('who is won and cannot be added by itself is a task for somebody', async (t) => {
  const shop = await world.open()
  const flow = await shop.install('crm_update', { won_status: 'qualified', assignee: 'rita' })
  await shop.ask('POST', '/api/customers', { email: MIGUEL.email })
  for (const fields of [MIGUEL, { name: 'Sofia' }]) {
    const lead = await newLead(shop, fields)
    await shop.ask('PUT', `/api/leads/${lead}`, { status: 'qualified' })
    await shop.settle()
  }
  t.match(await shop.rows('tasks'), [
    { title: 'Add Miguel as a customer', assignee: 'rita' },
    { title: 'Add Sofia as a customer', assignee: 'rita' },
  ])
  t.equal((await shop.rows('customers')).length, 1)
  t.match(await shop.sent(), [{ subject: 'Lead Miguel: qualified' }, { subject: 'Lead Sofia: qualified' }])
  t.same(await shop.outcomes(flow), ['completed/done', 'completed/done'])
})
