import t from 'tap'
import { DAY_MS, HOUR_MS, idOf, MIGUEL, MINUTE_MS, startCrm } from './support.ts'

const crm = await startCrm(t)

const FOLLOW_UP = {
  name: 'Follow up',
  type: 'lead_followup',
  trigger: 'no_contact',
  delay_hours: 48,
  channel: 'email',
  subject: 'Still there, {{trigger.name}}?',
  template: 'Hello {{trigger.name}}, any questions? {{variables.shop_name}}',
  shop_name: 'Linen & Co',
}
const REPLY = { direction: 'inbound', channel: 'email', from: MIGUEL.email, to: 'shop@example.com' }
const BY_HAND = { direction: 'outbound', channel: 'email', from: 'shop@example.com', to: MIGUEL.email }

t.test('a new lead is welcomed at once, by the ready-made text, once', async (t) => {
  const shop = await crm.open()
  const { id, ...made } = await shop.create({ name: 'Welcome', type: 'lead_followup', trigger: 'new_lead' })
  t.match(made, { delay_hours: 0, channel: 'email', enabled: true, customised: false, times_triggered: 0 })
  const lead = await shop.ask('POST', '/api/leads', MIGUEL)
  await shop.ask('POST', '/api/leads', { name: 'Nobody' })
  await shop.send('lead.created', { ...lead, lead_id: idOf(lead, 'lead_id') })
  await shop.settle()
  t.match(await shop.sent(), [
    { channel: 'email', recipient: MIGUEL.email, subject: 'Thank you for your interest, Miguel' },
  ])
  t.same(await shop.outcomes(id), ['completed/done', 'completed/filtered', 'skipped/reentered_too_soon'])
  const { times_triggered, last_triggered } = await shop.read(id)
  t.equal(times_triggered, 2, 'a lead without an address starts it, one told of twice does not')
  t.ok(Math.abs(Date.parse(String(last_triggered)) - shop.now().getTime()) < MINUTE_MS)
})

t.test('a lead without contact is written to when the hours are over, once', async (t) => {
  const shop = await crm.open()
  const { id } = await shop.create(FOLLOW_UP)
  await shop.lead()
  await shop.after(47 * HOUR_MS)
  t.same(await shop.sent(), [])
  await shop.after(2 * HOUR_MS)
  t.match(await shop.sent(), [
    {
      recipient: MIGUEL.email,
      subject: 'Still there, Miguel?',
      body: 'Hello Miguel, any questions? Linen & Co',
    },
  ])
  await shop.after(30 * DAY_MS)
  t.equal((await shop.sent()).length, 1)
  t.same(await shop.outcomes(id), ['completed/done'])
})

t.test('contact ends a follow-up: a reply, a message by hand, a change of status', async (t) => {
  for (const contact of ['reply', 'by hand', 'status']) {
    const shop = await crm.open()
    const { id } = await shop.create({
      ...FOLLOW_UP,
      trigger: contact === 'reply' ? 'new_lead' : 'no_contact',
    })
    const lead = await shop.lead()
    await shop.after(DAY_MS)
    if (contact === 'reply') await shop.ask('POST', '/api/messages', { ...REPLY, text: 'Yes' })
    if (contact === 'by hand') await shop.ask('POST', '/api/messages', { ...BY_HAND, text: 'I am Rita' })
    if (contact === 'status') await shop.ask('PUT', `/api/leads/${lead}`, { status: 'lost' })
    await shop.after(9 * DAY_MS)
    t.same(await shop.sent(), [], contact)
    t.same(await shop.outcomes(id), ['cancelled/cancel_on'], contact)
  }
})

t.test("an automation's own message is no contact", async (t) => {
  const shop = await crm.open()
  await shop.create({ name: 'Welcome', type: 'lead_followup', trigger: 'new_lead' })
  const { id } = await shop.create(FOLLOW_UP)
  await shop.lead()
  await shop.after(3 * DAY_MS)
  t.same(await shop.subjects(), ['Thank you for your interest, Miguel', 'Still there, Miguel?'])
  t.match(await shop.rows('messages'), [{ automated: true }, { automated: true }])
  t.same(await shop.outcomes(id), ['completed/done'])
})

t.test('a change of status is followed up from the last change, if the conditions hold', async (t) => {
  const shop = await crm.open()
  const { id } = await shop.create({
    ...FOLLOW_UP,
    trigger: 'status_changed',
    delay_hours: 0.5,
    conditions: [
      { field: 'status', operator: 'in', value: ['contacted', 'qualified'] },
      { any: [{ field: 'source', operator: 'equals', value: 'website' }] },
    ],
  })
  const lead = await shop.lead()
  const other = await shop.lead({
    ...MIGUEL,
    email: 'rui@example.com',
    phone: '+351911111111',
    source: 'fair',
  })
  await shop.ask('PUT', `/api/leads/${other}`, { status: 'qualified' })
  await shop.ask('PUT', `/api/leads/${lead}`, { status: 'contacted' })
  await shop.after(20 * MINUTE_MS)
  await shop.ask('PUT', `/api/leads/${lead}`, { status: 'qualified' })
  await shop.after(20 * MINUTE_MS)
  t.same(await shop.sent(), [], 'the clock starts anew')
  await shop.after(20 * MINUTE_MS)
  t.match(await shop.sent(), [{ recipient: MIGUEL.email }])
  await shop.ask('PUT', `/api/leads/${lead}`, { status: 'contacted' })
  await shop.after(5 * MINUTE_MS)
  await shop.ask('PUT', `/api/leads/${lead}`, { status: 'lost' })
  await shop.after(DAY_MS)
  t.equal((await shop.sent()).length, 1, 'a status that is not meant ends it')
  t.same(await shop.outcomes(id), ['cancelled/cancel_on', 'completed/done', 'cancelled/cancel_on'])
  t.equal((await shop.read(id)).times_triggered, 3)
})

t.test('a message is answered after a while, unless somebody did, and robots once a day', async (t) => {
  const shop = await crm.open()
  const { id } = await shop.create({
    name: 'Answer',
    type: 'lead_followup',
    trigger: 'message_received',
    delay_hours: 1,
  })
  await shop.ask('POST', '/api/messages', { ...REPLY, text: 'Hello?' })
  await shop.ask('POST', '/api/messages', { ...REPLY, from: 'rui@example.com', text: 'Hello?' })
  await shop.ask('POST', '/api/messages', { ...REPLY, channel: 'sms', from: '+351911111111', text: 'Hello?' })
  await shop.after(30 * MINUTE_MS)
  await shop.ask('POST', '/api/messages', { ...BY_HAND, to: 'rui@example.com', text: 'Yes?' })
  await shop.after(HOUR_MS)
  t.match(await shop.sent(), [{ recipient: MIGUEL.email, subject: 'We have received your message' }])
  await shop.ask('POST', '/api/messages', { ...REPLY, text: 'I am a robot' })
  await shop.after(3 * HOUR_MS)
  t.equal((await shop.sent()).length, 1)
  t.same(await shop.outcomes(id), [
    'completed/done',
    'cancelled/cancel_on',
    'completed/filtered',
    'skipped/reentered_too_soon',
  ])
})

t.test('text messages go to the phone, notifications to the team', async (t) => {
  const shop = await crm.open()
  const fields = { name: 'New', type: 'lead_followup', trigger: 'new_lead' }
  await shop.create({ ...fields, channel: 'sms', template: 'Hello {{trigger.name}}' })
  await shop.create({ ...fields, channel: 'notification' })
  await shop.lead()
  await shop.settle()
  t.same(
    new Set((await shop.sent()).map(({ channel, recipient }) => `${channel} ${String(recipient)}`)),
    new Set([`sms ${MIGUEL.phone}`, 'notification null']),
  )
})

t.test('an AI prompt is asked for the message, and the text stands in where there is no AI', async (t) => {
  const shop = await crm.open()
  await shop.create({
    ...FOLLOW_UP,
    trigger: 'new_lead',
    delay_hours: 0,
    ai_prompt: 'Greet {{trigger.name}}',
  })
  await shop.lead()
  await shop.settle()
  t.match(await shop.sent(), [{ body: 'Hello Miguel, any questions? Linen & Co' }])
  const { data } = (await shop.tenant.get('/api/automation/messages')).json<{ data: unknown[] }>()
  t.match(data, [{ source: 'template', fallback_reason: 'not_configured' }])
})

t.test('a lead that was written to says when, and what nobody was told of says nothing', async (t) => {
  const shop = await crm.open()
  const { id } = await shop.create({ name: 'Welcome', type: 'lead_followup', trigger: 'new_lead' })
  await shop.create({ name: 'Tell', type: 'lead_followup', trigger: 'new_lead', channel: 'notification' })
  const lead = await shop.lead()
  const quiet = await shop.lead({ name: 'Nobody' })
  await shop.settle()
  const { last_contacted } = await shop.ask('GET', `/api/leads/${lead}`)
  t.ok(
    Math.abs(Date.parse(String(last_contacted)) - shop.now().getTime()) < MINUTE_MS,
    String(last_contacted),
  )
  t.equal((await shop.ask('GET', `/api/leads/${quiet}`))['last_contacted'], null)
  const [execution] = await shop.executions(id)
  t.match(await shop.steps(execution?.id ?? ''), [
    { type: 'condition' },
    { type: 'message' },
    { type: 'action', status: 'succeeded', input: { id: lead, last_contacted } },
  ])
  const changes = await shop.tenant.get('/api/events?event=lead.updated')
  t.match(changes.json(), {
    data: [{ data: { lead_id: lead, last_contacted, changes: ['last_contacted'] } }],
  })
})

t.test('who wrote a message is contacted by the answer if it is a lead', async (t) => {
  const shop = await crm.open()
  const { id } = await shop.create({ name: 'Answer', type: 'lead_followup', trigger: 'message_received' })
  const lead = await shop.lead()
  await shop.ask('POST', '/api/messages', { ...REPLY, text: 'Hello?' })
  await shop.ask('POST', '/api/messages', { ...REPLY, from: 'stranger@example.com', text: 'Hello?' })
  await shop.settle()
  t.equal((await shop.sent()).length, 2)
  t.type((await shop.ask('GET', `/api/leads/${lead}`))['last_contacted'], 'string')
  t.same(await shop.outcomes(id), ['completed/done', 'completed/done'])
})

t.test('what tells the team is no contact', async (t) => {
  const shop = await crm.open()
  const fields = { name: 'Look', trigger: 'new_lead', template: 'Look into it', channel: 'notification' }
  await shop.create({ ...fields, type: 'crm_update' })
  await shop.create({ ...fields, type: 'lead_followup' })
  const lead = await shop.lead()
  await shop.settle()
  t.equal((await shop.sent()).length, 2)
  t.equal((await shop.ask('GET', `/api/leads/${lead}`))['last_contacted'], null)
})

t.test('a message is sent and done with although the platform knows no such lead', async (t) => {
  const shop = await crm.open()
  const { id } = await shop.create({ name: 'Welcome', type: 'lead_followup', trigger: 'new_lead' })
  await shop.send('lead.created', { ...MIGUEL, lead_id: 42 })
  await shop.settle()
  t.equal((await shop.sent()).length, 1)
  t.same(await shop.outcomes(id), ['completed/done'])
  const [execution] = await shop.executions(id)
  t.match((await shop.steps(execution?.id ?? '')).at(-1), {
    status: 'failed',
    port: 'error',
    error: { code: 'not_found' },
  })
})
