import t from 'tap'
import { expectStatus, inBothShops, startContract, vector } from './support.ts'

const place = await startContract(t)

t.test('an automation is created, listed, switched off and on, tested and triggered as printed', (t) =>
  inBothShops(t, place, async (t, shop) => {
    const sent = vector('crm-automations.create')
    const created = await shop.tenant.post('/api/automations', sent)
    expectStatus(t, created, 201)
    t.match(created.json(), sent)
    const { id } = created.json<{ id: string }>()
    const list = await shop.tenant.get('/api/automations')
    expectStatus(t, list, 200)
    t.match(list.json(), { data: [{ id, name: 'My Custom Automation' }] })
    for (const enabled of [false, true]) {
      const toggled = await shop.tenant.post(`/api/automations/${id}/toggle`)
      expectStatus(t, toggled, 200)
      t.match(toggled.json(), { enabled })
    }

    const lead = { name: 'Ana', email: 'ana@example.com' }
    const { lead_id } = await shop.ask('POST', '/api/leads', lead)
    await shop.settle()
    t.match(await shop.sent(), [{ channel: 'email', recipient: 'ana@example.com' }])
    const tested = await shop.tenant.post(`/api/automations/${id}/test`, { lead_id })
    expectStatus(t, tested, 200)
    t.equal((await shop.sent()).length, 1, 'a test sends nothing')
    const triggered = await shop.tenant.post(`/api/automations/${id}/trigger`, { lead_id })
    t.ok([200, 201, 202].includes(triggered.statusCode), triggered.body)
    await shop.settle()
    t.equal((await shop.sent()).length, 2)
    const read = await shop.tenant.get(`/api/automations/${id}`)
    t.match(read.json(), { times_triggered: 2, last_triggered: String })
    expectStatus(t, await shop.tenant.post('/api/automations/run'), 200)

    const unknown = await shop.tenant.post(`/api/automations/${id}/test`, vector('crm-automations.test'))
    expectStatus(t, unknown, 422)
    t.match(unknown.json(), { errors: [{ pointer: '/lead_id' }] })
  }),
)

t.test('every shop can have the four defaults by their names', (t) =>
  inBothShops(t, place, async (t, shop) => {
    for (const round of ['installed', 'existing']) {
      const answer = await shop.tenant.post('/api/automations/defaults')
      expectStatus(t, answer, 200)
      const automations = answer.json<Record<string, { name: string }[]>>()[round] ?? []
      t.match(
        automations.toSorted((a, b) => a.name.localeCompare(b.name)),
        [
          { name: 'Booking Reminder 24h Before', trigger: 'before_booking', delay_hours: 24 },
          { name: 'Follow-up After 3 Days', trigger: 'no_contact', delay_hours: 72 },
          { name: 'Follow-up After 7 Days', trigger: 'no_contact', delay_hours: 168 },
          { name: 'Welcome New Leads', trigger: 'new_lead', delay_hours: 0, enabled: true },
        ],
      )
    }
  }),
)
