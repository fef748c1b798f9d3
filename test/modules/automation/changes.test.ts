import t from 'tap'
import { type Automation, type CrmShop, DAY_MS, HOUR_MS, made, MIGUEL, startCrm } from './support.ts'

const crm = await startCrm(t)

const WELCOME = { name: 'Welcome', type: 'lead_followup', trigger: 'new_lead', subject: 'Welcome' }
const url = (id: string, action = ''): string => `/api/automations/${id}${action}`

function patch(shop: CrmShop, id: string, fields: object): Promise<Automation> {
  return made(shop.tenant.patch(url(id), fields))
}

function toggle(shop: CrmShop, id: string, body?: object): Promise<Automation> {
  return made(shop.tenant.post(url(id, '/toggle'), body))
}

async function editFlow(shop: CrmShop, id: string, publish = true): Promise<void> {
  const flow = await made<{ definition: { steps: { id: string; subject?: string }[] } }>(
    shop.tenant.get(`/api/automation/flows/${id}`),
  )
  const steps = flow.definition.steps.map((step) =>
    step.id === 'message' ? { ...step, subject: 'By hand' } : step,
  )
  await made(shop.tenant.put(`/api/automation/flows/${id}?publish=${publish}`, { ...flow.definition, steps }))
}

t.test('switched off it starts no more, and goes on with what it had begun', async (t) => {
  const shop = await crm.open()
  const { id } = await shop.create({ ...WELCOME, delay_hours: 2 })
  await shop.lead()
  await shop.settle()
  t.match(await toggle(shop, id), { enabled: false, status: 'inactive' })
  t.match(await toggle(shop, id, { enabled: false }), { enabled: false })
  await shop.lead({ name: 'Rui', email: 'rui@example.com' })
  await shop.after(3 * HOUR_MS)
  t.match(await shop.sent(), [{ recipient: MIGUEL.email }])
  t.match(await toggle(shop, id), { enabled: true, times_triggered: 1 })
  await shop.lead({ name: 'Eva', email: 'eva@example.com' })
  await shop.after(3 * HOUR_MS)
  t.match(await shop.sent(), [{}, { recipient: 'eva@example.com' }])
  t.equal((await shop.read(id)).times_triggered, 2)
})

t.test('switched off with what waits, nothing more is sent', async (t) => {
  const shop = await crm.open()
  const { id } = await shop.create({ ...WELCOME, delay_hours: 2 })
  await shop.lead()
  await shop.settle()
  await toggle(shop, id, { enabled: false, cancel_running: true })
  await shop.after(DAY_MS)
  t.same(await shop.sent(), [])
  t.same(await shop.outcomes(id), ['cancelled/flow_deactivated'])
})

t.test('made switched off, it starts when it is switched on, as it was changed meanwhile', async (t) => {
  const shop = await crm.open()
  const { id } = await shop.create({ ...WELCOME, enabled: false })
  await shop.lead()
  await shop.settle()
  t.match(await patch(shop, id, { subject: 'Changed' }), {
    enabled: false,
    subject: 'Changed',
    customised: false,
  })
  await toggle(shop, id)
  await toggle(shop, id)
  await patch(shop, id, { subject: 'Changed again' })
  await toggle(shop, id)
  await shop.lead({ name: 'Rui', email: 'rui@example.com' })
  await shop.settle()
  t.same(await shop.subjects(), ['Changed again'])
})

t.test('a change holds for what starts after it, and keeps the rest', async (t) => {
  const shop = await crm.open()
  const made = await shop.create({
    ...WELCOME,
    delay_hours: 1,
    conditions: [{ field: 'source', operator: 'exists' }],
  })
  await shop.lead()
  await shop.settle()
  const { id } = made
  const changed = await patch(shop, id, { delay_hours: 0, subject: 'New', name: 'Renamed' })
  t.match(changed, {
    id,
    name: 'Renamed',
    delay_hours: 0,
    subject: 'New',
    conditions: [{ field: 'source' }],
    enabled: true,
    times_triggered: 1,
  })
  await shop.lead({ ...MIGUEL, email: 'rui@example.com', phone: '+351911111111' })
  await shop.after(2 * HOUR_MS)
  t.same(new Set(await shop.subjects()), new Set(['Welcome', 'New']))
  t.match(await patch(shop, id, { subject: null, enabled: false }), { subject: null, enabled: false })
  const status = (await shop.tenant.get(`/api/automation/flows/${id}`)).json<{ status: string }>()
  t.match(status, { status: 'inactive', name: 'Renamed' })
})

t.test('replaced, what is left out is ready-made again', async (t) => {
  const shop = await crm.open()
  const { id } = await shop.create({ ...WELCOME, enabled: false, delay_hours: 5, shop_name: 'Linen & Co' })
  const fields = { name: 'Remind', type: 'booking_reminder', trigger: 'before_booking' }
  t.match(await made(shop.tenant.put(url(id), fields)), {
    id,
    ...fields,
    delay_hours: 24,
    subject: null,
    shop_name: null,
    enabled: false,
  })
})

t.test('a flow that was edited by hand is not overwritten', async (t) => {
  const shop = await crm.open()
  const { id } = await shop.create(WELCOME)
  await editFlow(shop, id)
  t.match(await shop.read(id), { customised: true, enabled: true, subject: 'Welcome' })
  for (const answer of [
    await shop.tenant.patch(url(id), { subject: 'Mine' }),
    await shop.tenant.patch(url(id), { enabled: false, name: 'Mine' }),
    await shop.tenant.put(url(id), WELCOME),
  ]) {
    t.match([answer.statusCode, answer.json()], [409, { code: 'automation_customised' }])
  }
  t.match(await patch(shop, id, { enabled: false }), { enabled: false, customised: true })
  t.match(await toggle(shop, id), { enabled: true, customised: true })
  await shop.lead()
  await shop.settle()
  t.same(await shop.subjects(), ['By hand'])
  t.match(await made(shop.tenant.post(url(id, '/reset'))), { customised: false, enabled: true })
  t.match(await patch(shop, id, { subject: 'Mine' }), { subject: 'Mine' })
  await shop.lead({ name: 'Rui', email: 'rui@example.com' })
  await shop.settle()
  t.same(await shop.subjects(), ['By hand', 'Mine'])
})

t.test('an edit that is not published yet is not lost by switching off and on', async (t) => {
  const shop = await crm.open()
  const { id } = await shop.create(WELCOME)
  await editFlow(shop, id, false)
  await toggle(shop, id)
  await toggle(shop, id)
  await shop.lead()
  await shop.settle()
  t.same(await shop.subjects(), ['Welcome'], 'what is published runs')
  t.match(await made(shop.tenant.get(`/api/automation/flows/${id}`)), { has_unpublished_changes: true })
})

t.test('changes at the same time are made one after the other', async (t) => {
  const shop = await crm.open()
  const { id } = await shop.create(WELCOME)
  await Promise.all([patch(shop, id, { subject: 'One' }), patch(shop, id, { template: 'Two' })])
  t.match(await shop.read(id), { subject: 'One', template: 'Two', customised: false })
})

t.test('deleted, it is gone with its flow', async (t) => {
  const shop = await crm.open()
  const { id } = await shop.create({ ...WELCOME, delay_hours: 2 })
  await shop.lead()
  await shop.settle()
  t.equal((await shop.tenant.delete(url(id))).statusCode, 204)
  t.equal((await shop.tenant.get(url(id))).statusCode, 404)
  t.equal((await shop.tenant.get(`/api/automation/flows/${id}`)).statusCode, 404)
  await shop.after(DAY_MS)
  t.same(await shop.sent(), [])
})

t.test('a list has the automations of the shop, and no other flows', async (t) => {
  const shop = await crm.open()
  const stranger = await crm.open()
  const flow = {
    name: 'Flow',
    trigger_event: 'lead.created',
    flow_definition: { steps: [] },
    status: 'draft',
  }
  await made(shop.tenant.post('/api/automation/flows', flow))
  const first = await shop.create(WELCOME)
  const second = await shop.create({ ...WELCOME, type: 'crm_update', enabled: false, subject: null })
  await stranger.create(WELCOME)
  const list = async (query = ''): Promise<string[]> => {
    const { data } = await made<{ data: Automation[] }>(shop.tenant.get(`/api/automations${query}`))
    return data.map(({ id }) => id)
  }
  t.same(await list(), [second.id, first.id])
  t.same(await list('?type=crm_update'), [second.id])
  t.same(await list('?enabled=true'), [first.id])
  t.same(await list('?trigger=no_contact'), [])
  const page = await made<{ next_cursor: string }>(shop.tenant.get('/api/automations?limit=1'))
  t.same(await list(`?limit=1&cursor=${page.next_cursor}`), [first.id])
  t.equal(
    (await shop.tenant.get('/api/automations?cursor=zzz')).json<{ code: string }>().code,
    'invalid_cursor',
  )
  const plain = await made<{ data: { id: string }[] }>(shop.tenant.get('/api/automation/flows?q=Flow'))
  t.equal(
    (await shop.tenant.get(url(plain.data[0]?.id ?? ''))).statusCode,
    404,
    'a flow alone is no automation',
  )
})
