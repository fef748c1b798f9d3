import type { ServerResponse } from 'node:http'
import t from 'tap'
import { DueWork } from '#modules/automation/due-work.ts'
import { clientFor } from '#test/support/app.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { eventually } from '#test/support/deliveries.ts'
import { startPlatformWorld } from '#test/modules/flow-template/support.ts'
import { type Automation, crmOf, DAY_MS, HOUR_MS, made, MIGUEL } from './support.ts'

const platform = await startPlatformWorld(t)
const open = async () => crmOf(await platform.open())

const WELCOME = { name: 'Welcome', type: 'lead_followup', trigger: 'new_lead' }
const REMINDER = { name: 'Remind', type: 'booking_reminder', trigger: 'before_booking' }

interface Defaults {
  installed: Automation[]
  existing: Automation[]
}
interface Run {
  events: number
  executions: number
  complete: boolean
}
interface Tried {
  start: { would_start: boolean; reason: string | null }
  end: { status: string; reason: string }
  steps: {
    type: string
    output: { to: string; subject: string; body: string }
    would: { until?: string } | null
  }[]
}

t.test('the defaults are installed once, by however many', async (t) => {
  const shop = await open()
  const install = (body?: object): Promise<Defaults> =>
    made(shop.tenant.post('/api/automations/defaults', body))
  const answers = await Promise.all([
    install({ shop_name: 'Linen & Co' }),
    install({ shop_name: 'Linen & Co' }),
  ])
  const presets = ['booking_reminder_24h', 'follow_up_3_days', 'follow_up_7_days', 'welcome_new_leads']
  const names = (automations: Automation[]) => automations.map(({ preset }) => preset).sort()
  t.same(names(answers.flatMap(({ installed }) => installed)), presets)
  t.same(names(answers.flatMap(({ existing }) => existing)).length, 4)
  const again = await install()
  t.same(again.installed, [])
  t.same(names(again.existing), presets)
  t.match(again.existing[0], { enabled: true, shop_name: 'Linen & Co', customised: false })
  await shop.lead()
  await shop.book(2 * DAY_MS)
  await shop.after(DAY_MS + HOUR_MS)
  await shop.after(2 * DAY_MS)
  t.same(
    new Set(await shop.subjects()),
    new Set(['Thank you for your interest, Miguel', 'See you soon', 'Do you have any questions?']),
  )
})

t.test('a default that was changed or removed is the shop’s business', async (t) => {
  const shop = await open()
  const { installed } = await made<Defaults>(
    shop.tenant.post('/api/automations/defaults', { enabled: false }),
  )
  t.same(
    installed.map(({ enabled }) => enabled),
    [false, false, false, false],
  )
  const [first, second] = installed
  await made(shop.tenant.patch(`/api/automations/${first?.id ?? ''}`, { name: 'Mine' }))
  await made(shop.tenant.delete(`/api/automations/${second?.id ?? ''}`))
  const again = await made<Defaults>(shop.tenant.post('/api/automations/defaults'))
  t.same(
    again.installed.map(({ preset }) => preset),
    [second?.preset],
  )
  t.ok(again.existing.some(({ name, preset }) => name === 'Mine' && preset === first?.preset))
})

t.test('started by hand it acts at once, whatever started before, and counts', async (t) => {
  const shop = await open()
  const { id } = await shop.create({
    ...WELCOME,
    delay_hours: 5,
    conditions: { field: 'source', operator: 'equals', value: 'fair' },
  })
  const start = (input: object, key?: string) =>
    shop.tenant.post(
      `/api/automations/${id}/trigger`,
      { data: input },
      key === undefined ? {} : { 'idempotency-key': key },
    )
  const lead = { lead_id: 'lead_1', ...MIGUEL }
  t.match((await start(lead, 'one')).json(), { status: 'queued', reason: null })
  t.match((await start(lead, 'one')).json(), { status: 'duplicate' })
  await shop.settle()
  t.match(await shop.sent(), [{ recipient: MIGUEL.email }])
  shop.pass(1_000)
  t.match((await start(lead)).json(), { status: 'queued' })
  await shop.settle()
  t.equal((await shop.sent()).length, 2)
  t.equal((await shop.read(id)).times_triggered, 2)
  t.match(
    (await start({ email: 'nobody@example.com' })).json(),
    { status: 422, errors: [{ pointer: '/data/lead_id' }] },
    'a lead has an id',
  )
  await made(shop.tenant.post(`/api/automations/${id}/toggle`))
  t.match((await start(lead)).json(), { code: 'flow_not_active' })
})

t.test('a reminder is sent by hand, unless the appointment is over', async (t) => {
  const shop = await open()
  const { id } = await shop.create(REMINDER)
  const customer = { customer_id: 'cus_1', name: 'Ana', email: 'ana@example.com', phone: null }
  for (const ahead of [DAY_MS / 2, -DAY_MS]) {
    const booking = { booking_id: `book_${ahead}`, customer, status: 'confirmed', starts_at: shop.at(ahead) }
    await made(shop.tenant.post(`/api/automations/${id}/trigger`, { data: booking }))
  }
  const withoutTime = { booking_id: 'book_1', customer, status: 'confirmed' }
  const refused = await shop.tenant.post(`/api/automations/${id}/trigger`, { data: withoutTime })
  t.match([refused.statusCode, refused.json()], [422, { errors: [{ pointer: '/data/starts_at' }] }])
  await shop.settle()
  t.match(await shop.sent(), [{ recipient: 'ana@example.com', subject: 'See you soon' }])
  t.same(await shop.outcomes(id), ['completed/done', 'completed/filtered'])
})

t.test('a test says what would be sent and when, and sends and counts nothing', async (t) => {
  const shop = await open()
  for (const [fields, waits] of [
    [WELCOME, false],
    [{ ...WELCOME, trigger: 'no_contact', delay_hours: 48 }, true],
    [{ ...WELCOME, trigger: 'message_received' }, false],
    [REMINDER, true],
    [{ name: 'C', type: 'booking_confirmation', trigger: 'after_booking' }, false],
    [{ name: 'P', type: 'post_session', trigger: 'after_booking' }, true],
  ] as const) {
    const { id } = await shop.create({ ...fields, enabled: false, channel: 'sms', subject: null })
    const tried = await made<Tried>(shop.tenant.post(`/api/automations/${id}/test`))
    const message = tried.steps.find((step) => step.type === 'message')
    const { type, trigger } = fields
    t.match(message?.output, { channel: 'sms', to: /^\+351/ }, `${type} ${trigger}`)
    t.equal(tried.start.would_start, true, `${type} ${trigger}`)
    t.equal(
      tried.steps.some((step) => step.type === 'delay'),
      waits,
      `${type} ${trigger}`,
    )
    t.equal((await shop.read(id)).times_triggered, 0)
  }
  await shop.settle()
  t.same(await shop.sent(), [])
})

t.test('a test takes data of its own, or a past event', async (t) => {
  const shop = await open()
  const { id } = await shop.create({
    ...WELCOME,
    template: 'Hello {{trigger.name}}',
    conditions: { field: 'source', operator: 'equals', value: 'fair' },
  })
  const test = (body: object): Promise<Tried> => made(shop.tenant.post(`/api/automations/${id}/test`, body))
  const given = await test({ data: { name: 'Eva', email: 'eva@example.com' } })
  t.match(given.steps.at(-2)?.output, { to: 'eva@example.com', body: 'Hello Eva' })
  t.match(given.start, { would_start: false, reason: 'filter' })
  t.match(await test({ start_anyway: false }), { start: { would_start: false }, steps: [] })
  const event_id = await shop.send('lead.created', {
    lead_id: 'lead_1',
    status: 'new',
    ...MIGUEL,
    source: 'fair',
  })
  const past = await test({ event_id })
  t.match(past.start, { would_start: true })
  t.match(past.steps.at(-2)?.output, { body: 'Hello Miguel' })
  t.match(past.steps.at(-1), { would: { action_type: 'update_lead' }, input: { id: 'lead_1' } })
  const both = await shop.tenant.post(`/api/automations/${id}/test`, { event_id, data: { lead_id: 'x' } })
  t.match([both.statusCode, both.json()], [400, { errors: [{ pointer: '/data' }] }])
})

t.test('what is due is done on request, of this shop alone', async (t) => {
  const shop = await open()
  const other = await open()
  await shop.create(WELCOME)
  await shop.create({ ...WELCOME, name: 'Later', trigger: 'no_contact', delay_hours: 1 / 3600 })
  const theirs = await other.create(WELCOME)
  await shop.lead()
  await other.lead()
  await other.match()
  const run = (): Promise<Run> => made(shop.tenant.post('/api/automations/run'))
  const first = await run()
  t.match(first, { executions: 2, complete: true })
  t.ok(first.events >= 1)
  t.same(await shop.subjects(), ['Thank you for your interest, Miguel'])
  const second = await eventually('the end of the wait', async () => {
    const { executions, complete } = await run()
    return executions > 0 ? { executions, complete } : null
  })
  t.same(second, { executions: 1, complete: true })
  t.same(await shop.subjects(), ['Thank you for your interest, Miguel', 'Do you have any questions?'])
  t.match(await run(), { executions: 0, complete: true })
  t.same(await other.outcomes(theirs.id), ['queued'], "another shop's are not touched")
})

t.test('running beside a worker, and twice at a time, does everything once', async (t) => {
  const shop = await open()
  await shop.create(WELCOME)
  for (let lead = 0; lead < 20; lead++) {
    await shop.lead({ name: `Lead ${lead}`, email: `lead${lead}@example.com` })
  }
  const run = () => shop.tenant.post('/api/automations/run')
  const answers = await Promise.all([run(), shop.run(), run()])
  t.equal(answers[0].statusCode, 200)
  await shop.settle()
  const recipients = (await shop.sent()).map(({ recipient }) => recipient)
  t.equal(recipients.length, 20)
  t.equal(new Set(recipients).size, 20)
})

t.test('a halted shop does nothing on request', async (t) => {
  const shop = await open()
  await shop.create(WELCOME)
  await made(shop.tenant.post('/api/automation/halt'))
  await shop.lead()
  t.match(await made(shop.tenant.post('/api/automations/run')), { executions: 0 })
  t.same(await shop.sent(), [])
})

t.test('who may only look may not change, start or run', async (t) => {
  const shop = await open()
  const { id } = await shop.create(WELCOME)
  const { key } = await made<{ key: string }>(
    shop.tenant.post('/api/keys', { name: 'viewer', kind: 'tenant', role: 'viewer' }),
  )
  const viewer = clientFor(platform.world.app, shop.tenant.id, key)
  t.equal((await viewer.get('/api/automations')).statusCode, 200)
  t.equal((await viewer.get(`/api/automations/${id}`)).statusCode, 200)
  for (const path of [
    '',
    '/run',
    '/defaults',
    `/${id}/toggle`,
    `/${id}/test`,
    `/${id}/trigger`,
    `/${id}/reset`,
  ]) {
    t.equal((await viewer.post(`/api/automations${path}`, {})).statusCode, 403, path)
  }
})

t.test('other shops see, change and start nothing', async (t) => {
  const shop = await open()
  const stranger = await open()
  const { id } = await shop.create(WELCOME)
  const url = `/api/automations/${id}`
  const { tenant } = stranger
  for (const answer of [
    await tenant.get(url),
    await tenant.put(url, WELCOME),
    await tenant.patch(url, { name: 'Mine' }),
    await tenant.delete(url),
    await tenant.post(`${url}/toggle`),
    await tenant.post(`${url}/test`),
    await tenant.post(`${url}/reset`),
    await tenant.post(`${url}/trigger`, { data: { lead_id: 'lead_1' } }),
  ]) {
    t.match([answer.statusCode, answer.json()], [404, { code: 'automation_not_found' }])
  }
  await stranger.lead()
  await stranger.settle()
  await shop.after(HOUR_MS)
  t.match(await shop.read(id), { enabled: true, times_triggered: 0, name: 'Welcome' })
  t.same(await stranger.sent(), [])
})

t.test('what takes longer than the caller waits goes on, and is done once', async (t) => {
  const shop = await open()
  const slow = await startReceiver(t)
  const asked = Promise.withResolvers<ServerResponse>()
  slow.answer((_received, response) => asked.resolve(response))
  await made(
    shop.tenant.post('/api/automation/flows', {
      name: 'Slow',
      status: 'active',
      trigger: { type: 'event', event_types: ['lead.created'] },
      steps: [{ id: 'call', type: 'http', method: 'POST', url: `${slow.url}/slow`, body: {} }],
    }),
  )
  await shop.send('lead.created', { lead_id: 'lead_1', status: 'new' })
  const dueWork = new DueWork(platform.world.app.flowEngine, { maxMs: 1_500 })
  const report = await eventually('the execution taken up', async () => {
    const report = await dueWork.run(shop.tenant.id)
    return report.executions > 0 ? report : null
  })
  t.match(report, { executions: 1, complete: false })
  t.match(await dueWork.run(shop.tenant.id), { executions: 0 }, 'it is in hand')
  const response = await asked.promise
  response.writeHead(204).end()
  await eventually('its end', async () =>
    (await shop.executions())[0]?.status === 'completed' ? true : null,
  )
  t.equal(slow.received.length, 1)
})
