import t from 'tap'
import { type Automation, type CrmShop, DAY_MS, HOUR_MS, idOf, made, MIGUEL, startCrm } from './support.ts'

const crm = await startCrm(t)

interface Continued {
  flow_id: string
  status: string
  running: number
  automation: Automation
}
interface Flow {
  id: string
  status: string
  automation: object | null
  published_version: number
  has_unpublished_changes: boolean
  times_triggered: number
  definition: Record<string, unknown>
}

const goOn = async (shop: CrmShop, id: string): Promise<Continued> =>
  made(shop.tenant.post(`/api/automations/${id}/continue`))
const flowOf = async (shop: CrmShop, id: string): Promise<Flow> =>
  made(shop.tenant.get(`/api/automation/flows/${id}`))

/** What came of it all: what was said to whom, what was made at the platform, and how each run ended; in no order. */
async function effects(shop: CrmShop, id: string): Promise<object> {
  const tasks = await shop.rows<{ title: string }>('tasks')
  const sent = await shop.sent()
  return {
    sent: sent
      .map(({ channel, recipient, subject, body }) => JSON.stringify([channel, recipient, subject, body]))
      .sort(),
    tasks: tasks.map(({ title }) => title).sort(),
    outcomes: (await shop.outcomes(id)).toSorted(),
  }
}

const RUI = { ...MIGUEL, name: 'Rui', email: 'rui@example.com', phone: '+351911111111' }
const EVA = { ...MIGUEL, name: 'Eva', email: 'eva@example.com', phone: '+351922222222' }
const TEXT = { subject: 'About you', template: 'Hello {{trigger.customer.name | default: trigger.name}}' }
const toldAgain = (shop: CrmShop, type: string, record: Record<string, unknown>, name: string) =>
  shop.send(type, { ...record, [name]: idOf(record, name) })
const inbound = (from: string): object => ({
  direction: 'inbound',
  channel: 'email',
  from,
  to: 'shop@example.com',
  text: 'Are you there?',
})

/** What happens in a shop that has one automation, before and after the moment at which it may go on as a flow. */
interface Story {
  fields: object
  before: (shop: CrmShop) => Promise<unknown>
  after: (shop: CrmShop, from: never) => Promise<unknown>
  /** How many runs wait in between. */
  waiting: number
}

const STORIES: Record<string, Story> = {
  'a follow-up that waits': {
    fields: { name: 'F', type: 'lead_followup', trigger: 'no_contact', delay_hours: 48, ...TEXT },
    waiting: 2,
    before: async (shop) => {
      const waits = await shop.ask('POST', '/api/leads', MIGUEL)
      const answers = await shop.lead(RUI)
      await shop.after(DAY_MS)
      return { waits, answers }
    },
    after: async (shop, { waits }: { waits: Record<string, unknown> }) => {
      await toldAgain(shop, 'lead.created', waits, 'lead_id')
      await shop.ask('POST', '/api/messages', inbound(RUI.email))
      await shop.lead(EVA)
      await shop.after(2 * DAY_MS)
      await toldAgain(shop, 'lead.created', waits, 'lead_id')
      await shop.after(5 * DAY_MS)
    },
  },
  'a follow-up of a status, which starts anew with each change': {
    fields: { name: 'S', type: 'lead_followup', trigger: 'status_changed', delay_hours: 10, ...TEXT },
    waiting: 1,
    before: async (shop) => {
      const lead = await shop.lead()
      await shop.ask('PUT', `/api/leads/${lead}`, { status: 'contacted' })
      await shop.after(6 * HOUR_MS)
      return lead
    },
    after: async (shop, lead: string) => {
      await shop.ask('PUT', `/api/leads/${lead}`, { status: 'qualified' })
      await shop.after(6 * HOUR_MS)
      await shop.after(6 * HOUR_MS)
      await shop.after(DAY_MS)
    },
  },
  'an answer, which comes once a day': {
    fields: {
      name: 'A',
      type: 'lead_followup',
      trigger: 'message_received',
      delay_hours: 0,
      channel: 'email',
    },
    waiting: 0,
    before: async (shop) => {
      await shop.ask('POST', '/api/messages', inbound(MIGUEL.email))
      await shop.settle()
    },
    after: async (shop) => {
      await shop.ask('POST', '/api/messages', inbound(MIGUEL.email))
      await shop.after(25 * HOUR_MS)
      await shop.ask('POST', '/api/messages', inbound(MIGUEL.email))
      await shop.settle()
    },
  },
  'a reminder, which moves with the appointment': {
    fields: { name: 'R', type: 'booking_reminder', trigger: 'before_booking', delay_hours: 24, ...TEXT },
    waiting: 3,
    before: async (shop) => {
      const stays = await shop.book(3 * DAY_MS)
      const moves = await shop.book(3 * DAY_MS, { name: 'Bo', email: 'bo@example.com' })
      const ends = await shop.book(3 * DAY_MS, { name: 'Cy', email: 'cy@example.com' })
      await shop.after(DAY_MS)
      return { stays, moves, ends }
    },
    after: async (
      shop,
      { stays, moves, ends }: Record<'stays' | 'moves' | 'ends', Record<string, unknown>>,
    ) => {
      await toldAgain(shop, 'booking.created', stays, 'booking_id')
      await shop.move(moves, 6 * DAY_MS)
      await shop.end(ends, 'cancelled')
      await shop.after(2 * DAY_MS)
      await shop.after(5 * DAY_MS)
    },
  },
  'a confirmation that waits': {
    fields: { name: 'C', type: 'booking_confirmation', trigger: 'after_booking', delay_hours: 2, ...TEXT },
    waiting: 2,
    before: async (shop) => {
      const stays = await shop.book(3 * DAY_MS)
      const ends = await shop.book(3 * DAY_MS, { name: 'Bo', email: 'bo@example.com' })
      await shop.after(HOUR_MS)
      return { stays, ends }
    },
    after: async (shop, { stays, ends }: Record<'stays' | 'ends', Record<string, unknown>>) => {
      await shop.end(ends, 'cancelled')
      await toldAgain(shop, 'booking.created', stays, 'booking_id')
      await shop.after(2 * HOUR_MS)
      await shop.book(3 * DAY_MS, { name: 'Cy', email: 'cy@example.com' })
      await shop.after(3 * HOUR_MS)
    },
  },
  'a question after the appointment': {
    fields: { name: 'P', type: 'post_session', trigger: 'after_booking', delay_hours: 24, ...TEXT },
    waiting: 1,
    before: async (shop) => {
      const over = await shop.end(await shop.book(HOUR_MS), 'completed')
      await shop.after(HOUR_MS)
      return over
    },
    after: async (shop, over: Record<string, unknown>) => {
      await toldAgain(shop, 'booking.completed', over, 'booking_id')
      await shop.after(DAY_MS)
      await shop.after(DAY_MS)
      await toldAgain(shop, 'booking.completed', over, 'booking_id')
      await shop.after(2 * DAY_MS)
    },
  },
  'a CRM update with an action of its own': {
    fields: {
      name: 'U',
      type: 'crm_update',
      trigger: 'new_lead',
      delay_hours: 5,
      action: {
        action_type: 'create_task',
        plugin_id: 'platform',
        input: { title: 'Call {{trigger.name}}' },
      },
      template: '{{trigger.name}} came',
    },
    waiting: 1,
    before: async (shop) => {
      const lead = await shop.ask('POST', '/api/leads', MIGUEL)
      await shop.after(HOUR_MS)
      return lead
    },
    after: async (shop, lead: Record<string, unknown>) => {
      await toldAgain(shop, 'lead.created', lead, 'lead_id')
      await shop.lead(RUI)
      await shop.after(5 * HOUR_MS)
      await shop.after(DAY_MS)
    },
  },
}

for (const [name, { fields, before, after, waiting }] of Object.entries(STORIES)) {
  t.test(`${name} does the same as a flow, with what waits`, async (t) => {
    const [control, shop] = [await crm.open(), await crm.open()]
    const [kept, automation] = [await control.create(fields), await shop.create(fields)]
    await after(control, (await before(control)) as never)
    const from = await before(shop)
    const earlier = await flowOf(shop, automation.id)
    const { flow_id, status, running, automation: form } = await goOn(shop, automation.id)
    t.match([flow_id, status, running], [automation.id, 'active', waiting])
    await after(shop, from as never)
    t.strictSame(await effects(shop, automation.id), await effects(control, kept.id))
    t.ok((await shop.outcomes(automation.id)).length > waiting, 'something came after it')
    t.same(await shop.outcomes(form.id), [], 'and the fields have started nothing')
    t.match(await flowOf(shop, automation.id), {
      automation: null,
      definition: earlier.definition,
      published_version: earlier.published_version,
    })
  })
}

t.test('the fields stay as an automation that is switched off', async (t) => {
  const shop = await crm.open()
  const { id, ...fields } = await shop.create({
    name: 'Welcome',
    type: 'lead_followup',
    trigger: 'new_lead',
    ...TEXT,
  })
  const { automation: form } = await goOn(shop, id)
  t.not(form.id, id)
  t.match(form, {
    ...fields,
    enabled: false,
    status: 'inactive',
    customised: false,
    times_triggered: 0,
    created_at: String,
    updated_at: String,
    warnings: undefined,
  })
  t.same(await shop.read(form.id), form)
  t.equal((await shop.tenant.get(`/api/automations/${id}`)).statusCode, 404)
  t.equal(
    (await shop.tenant.post(`/api/automations/${id}/continue`)).statusCode,
    404,
    'it is no automation any more',
  )
  const changed = await made<Automation>(shop.tenant.patch(`/api/automations/${form.id}`, { delay_hours: 3 }))
  t.match(changed, { delay_hours: 3, enabled: false })
  await shop.lead()
  await shop.settle()
  t.equal((await shop.sent()).length, 1)
  t.match(await made(shop.tenant.post(`/api/automations/${form.id}/toggle`, { enabled: true })), {
    enabled: true,
  })
  const { data } = await made<{ data: { action: string; target_id: string; detail: object }[] }>(
    shop.tenant.get('/api/audit-log?action=flow.detached'),
  )
  t.match(data, [{ target_id: id, detail: { name: 'Welcome', automation_id: form.id } }])
})

t.test('of those that every shop has, none is installed anew', async (t) => {
  const shop = await crm.open()
  const { installed } = await made<{ installed: Automation[] }>(
    shop.tenant.post('/api/automations/defaults', {}),
  )
  const [first] = installed
  const { automation: form } = await goOn(shop, first?.id ?? '')
  t.equal(form.preset, first?.preset)
  const again = await made<{ installed: Automation[]; existing: Automation[] }>(
    shop.tenant.post('/api/automations/defaults', {}),
  )
  t.same(again.installed, [])
  t.ok(again.existing.some(({ id }) => id === form.id))
})

t.test('one that is switched off, and one whose flow was edited, go on as they are', async (t) => {
  const shop = await crm.open()
  const fields = { name: 'Welcome', type: 'lead_followup', trigger: 'new_lead', ...TEXT }
  const off = await shop.create({ ...fields, enabled: false })
  t.match(await goOn(shop, off.id), { status: 'inactive', running: 0 })
  const edited = await shop.create(fields)
  const { definition } = await flowOf(shop, edited.id)
  const steps = (definition['steps'] as Record<string, unknown>[]).map((step) =>
    step['type'] === 'message' ? { ...step, subject: 'By hand' } : step,
  )
  await made(shop.tenant.put(`/api/automation/flows/${edited.id}?publish=true`, { ...definition, steps }))
  t.equal((await shop.read(edited.id)).customised, true)
  const { automation: form } = await goOn(shop, edited.id)
  t.match(form, { customised: false, subject: 'About you' })
  await shop.lead()
  await shop.settle()
  t.match(await shop.sent(), [{ subject: 'By hand' }])
})

t.test('what was changed while it was off is what the flow does once it is on', async (t) => {
  const shop = await crm.open()
  const fields = { name: 'Welcome', type: 'lead_followup', trigger: 'new_lead', ...TEXT }
  const { id } = await shop.create({ ...fields, delay_hours: 5 })
  await shop.lead(RUI)
  await shop.settle()
  await made(shop.tenant.post(`/api/automations/${id}/toggle`, { enabled: false }))
  await made(shop.tenant.patch(`/api/automations/${id}`, { subject: 'The new text', delay_hours: 0 }))
  t.match(await goOn(shop, id), { status: 'inactive', running: 1 })
  await made(shop.tenant.post(`/api/automation/flows/${id}/activate`, {}))
  await shop.lead()
  await shop.settle()
  t.match(await shop.sent(), [{ subject: 'The new text', recipient: MIGUEL.email }])
  await shop.after(6 * HOUR_MS)
  t.match((await shop.sent())[1], { subject: 'About you', recipient: RUI.email }, 'what waited goes on')

  const unchanged = await shop.create(fields)
  await made(shop.tenant.post(`/api/automations/${unchanged.id}/toggle`, { enabled: false }))
  await goOn(shop, unchanged.id)
  t.match(await flowOf(shop, unchanged.id), { status: 'inactive', published_version: 1 })
})

t.test('who asks at the same time as others makes one flow, and no change is lost', async (t) => {
  const shop = await crm.open()
  const { id } = await shop.create({ name: 'Welcome', type: 'lead_followup', trigger: 'new_lead' })
  const answers = await Promise.all([1, 2, 3].map(() => shop.tenant.post(`/api/automations/${id}/continue`)))
  t.same(answers.map(({ statusCode }) => statusCode).sort(), [201, 404, 404])
  const { data } = await made<{ data: Automation[] }>(shop.tenant.get('/api/automations'))
  t.equal(data.length, 1)
  const flows = await made<{ data: Flow[] }>(shop.tenant.get('/api/automation/flows'))
  t.equal(flows.data.length, 2)
  t.match(
    flows.data.find((flow) => flow.id === id),
    { automation: null, status: 'active' },
  )
})
