import t from 'tap'
import { startApp } from '#test/support/app.ts'

const service = await startApp(t, { env: { PLATFORM_URL: 'http://127.0.0.1:9', PLATFORM_TOKEN: 'token' } })

interface Problem {
  code: string
  errors: { pointer: string; detail: string }[]
}

const FOLLOW_UP = { name: 'Follow up', type: 'lead_followup', trigger: 'no_contact' }
const REMINDER = { name: 'Remind', type: 'booking_reminder', trigger: 'before_booking' }
const UPDATE = { name: 'Update', type: 'crm_update', trigger: 'new_lead' }

async function refusal(fields: object): Promise<Problem & { status: number }> {
  const answer = await service.tenant().post('/api/automations', fields)
  return { status: answer.statusCode, ...answer.json<Problem>() }
}

t.test('what does not go together is refused with the field and the fix', async (t) => {
  const cases: [object, string, RegExp][] = [
    [{ ...FOLLOW_UP, type: 'newsletter' }, '/type', /must be one of: lead_followup, booking_reminder/],
    [
      { ...FOLLOW_UP, trigger: 'before_booking' },
      '/trigger',
      /one of new_lead, .* for the type lead_followup/,
    ],
    [{ ...REMINDER, trigger: 'new_lead' }, '/trigger', /one of before_booking for the type booking_reminder/],
    [{ ...REMINDER, delay_hours: -24 }, '/delay_hours', /must be >= 0/],
    [{ ...REMINDER, delay_hours: 100_000 }, '/delay_hours', /must be <= 8760/],
    [{ ...REMINDER, delay_hours: '24' }, '/delay_hours', /must be number/],
    [{ ...REMINDER, delay_hours: 0 }, '/delay_hours', /more than 0: it says how long before/],
    [{ ...FOLLOW_UP, delay_hours: 0 }, '/delay_hours', /more than 0: it says how long there was no contact/],
    [{ ...FOLLOW_UP, channel: 'fax' }, '/channel', /must be one of: email, sms, notification/],
    [{ ...FOLLOW_UP, channel: 'sms', subject: 'Hello' }, '/subject', /left out for the channel sms/],
    [{ ...FOLLOW_UP, template: '  ' }, '/template', /must match pattern/],
    [{ ...FOLLOW_UP, time_zone: 'Lisbon' }, '/time_zone', /IANA time zone/],
    [{ ...FOLLOW_UP, action: { action_type: 'create_task' } }, '/action', /belongs to the type crm_update/],
    [{ ...UPDATE, channel: 'email' }, '/channel', /must be notification for the type crm_update/],
    [{ ...FOLLOW_UP, hours: 3 }, '/hours', /not a known property/],
    [{ type: 'lead_followup', trigger: 'new_lead' }, '/name', /required/],
  ]
  for (const [fields, pointer, detail] of cases) {
    const { status, code, errors } = await refusal(fields)
    t.match([status, code, errors], [400, 'invalid_request', [{ pointer, detail }]], JSON.stringify(fields))
  }
  const several = await refusal({ ...REMINDER, trigger: 'new_lead', channel: 'sms', subject: 'Hello' })
  t.same(
    several.errors.map(({ pointer }) => pointer),
    ['/trigger', '/subject'],
  )
})

t.test('what would not work is said of the fields, not of steps', async (t) => {
  const cases: [object, string, RegExp][] = [
    [{ ...FOLLOW_UP, template: 'Hello {{trigger.' }, '/template', /./],
    [{ ...FOLLOW_UP, template: 'Hello {{name}}' }, '/template', /name/],
    [{ ...FOLLOW_UP, subject: '{{trigger.name | shout}}' }, '/subject', /shout/],
    [{ ...FOLLOW_UP, ai_prompt: 'Write to {{lead.name}}' }, '/ai_prompt', /lead/],
    [{ ...FOLLOW_UP, conditions: { field: 'source', operator: 'is' } }, '/conditions/operator', /./],
    [
      {
        ...REMINDER,
        conditions: [
          { field: 'status', operator: 'exists' },
          { field: 'status', operator: 'gt' },
        ],
      },
      '/conditions/1',
      /./,
    ],
    [{ ...REMINDER, conditions: { any: [] } }, '/conditions/any', /./],
    [{ ...UPDATE, action: { action_type: 'update_leads' } }, '/action/action_type', /update_leads/],
    [{ ...UPDATE, action: { action_type: 'assign_task', input: {} } }, '/action/input', /"id"/],
    [
      { ...UPDATE, action: { action_type: 'create_task', plugin_id: 'crm' } },
      '/action/plugin_id',
      /no such plugin/,
    ],
  ]
  for (const [fields, pointer, detail] of cases) {
    const { status, code, errors } = await refusal(fields)
    t.match([status, code], [422, 'automation_invalid'], JSON.stringify(fields))
    t.equal(errors.length, 1, JSON.stringify(errors))
    t.match(errors[0], { detail }, JSON.stringify(fields))
    t.ok(errors[0]?.pointer.startsWith(pointer), `${JSON.stringify(errors)} ${pointer}`)
  }
})

t.test('what would not work is stored neither switched off nor by a change', async (t) => {
  const tenant = service.tenant()
  const off = await tenant.post('/api/automations', { ...FOLLOW_UP, enabled: false, template: '{{name}}' })
  t.equal(off.statusCode, 422)
  const { id } = (await tenant.post('/api/automations', FOLLOW_UP)).json<{ id: string }>()
  t.equal((await tenant.patch(`/api/automations/${id}`, { template: '{{name}}' })).statusCode, 422)
  t.equal((await tenant.patch(`/api/automations/${id}`, { trigger: 'before_booking' })).statusCode, 400)
  t.equal((await tenant.patch(`/api/automations/${id}`, {})).statusCode, 400)
  t.match((await tenant.get(`/api/automations/${id}`)).json(), { template: null, customised: false })
  t.equal((await tenant.get('/api/automations')).json<{ data: unknown[] }>().data.length, 1)
})

t.test('what is probably a slip is a warning', async (t) => {
  const made = await service.tenant().post('/api/automations', { ...FOLLOW_UP, template: '{{trigger.nmae}}' })
  t.match([made.statusCode, made.json()], [201, { warnings: [{ pointer: '/template', detail: /nmae/ }] }])
})

t.test('every type with every trigger that it may start by works on every channel', async (t) => {
  const tenant = service.tenant()
  const triggers = [
    'new_lead',
    'status_changed',
    'message_received',
    'no_contact',
    'before_booking',
    'after_booking',
  ]
  const types = ['lead_followup', 'booking_reminder', 'booking_confirmation', 'post_session', 'crm_update']
  const fits: string[] = []
  for (const type of types) {
    for (const trigger of triggers) {
      for (const channel of ['email', 'sms', 'notification']) {
        for (const delay_hours of [0.25, 36]) {
          const fields = { name: 'x', type, trigger, channel, delay_hours, ai_prompt: 'Write to them' }
          const answer = await tenant.post('/api/automations', fields)
          if (answer.statusCode === 400) continue
          t.match([answer.statusCode, answer.json()], [201, { warnings: [] }], JSON.stringify(fields))
          fits.push(`${type} ${trigger} ${channel}`)
        }
      }
    }
  }
  t.equal(new Set(fits).size, 4 * 3 + 3 * 3 + 6)
})
