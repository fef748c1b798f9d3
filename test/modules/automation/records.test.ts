import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import type { Tenant } from '#test/support/app.ts'
import { startApp } from '#test/support/app.ts'
import { type Automation, made } from './support.ts'

/** A platform that answers GETs as it is told, and keeps what it was asked. */
async function startRecords(t: Test) {
  const answers = new Map<string, { status: number; body: unknown }>()
  const asked: IncomingMessage[] = []
  const server = createServer((request, response) => {
    asked.push(request)
    const { status, body } = answers.get(request.url ?? '') ?? {
      status: 404,
      body: { error: { code: 'not_found', message: 'There is no such record.' } },
    }
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(typeof body === 'string' ? body : JSON.stringify(body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    has: (path: string, body: unknown, status = 200) => void answers.set(path, { status, body }),
  }
}

const records = await startRecords(t)
const service = await startApp(t, { env: { PLATFORM_URL: records.url, PLATFORM_TOKEN: 'records-token' } })
const alone = await startApp(t)

const WELCOME = {
  name: 'My Custom Automation',
  type: 'lead_followup',
  trigger: 'new_lead',
  delay_hours: 0,
  channel: 'email',
  enabled: true,
}
const REMINDER = { name: 'Remind', type: 'booking_reminder', trigger: 'before_booking' }
const ANSWER = { name: 'Answer', type: 'lead_followup', trigger: 'message_received' }
const LEAD = { name: 'Eva', email: 'eva@example.com', phone: '+351911111111', status: 'new' }
const inDays = (days: number): string => new Date(Date.now() + days * 86_400_000).toISOString()

interface Tested {
  message: { channel: string; to: string; subject: string; body: string } | null
  record: { source: string; data: Record<string, unknown> }
  notes: string[]
}
interface Refused {
  code: string
  errors: { pointer: string; detail: string }[]
}

async function create(tenant: Tenant, fields: object): Promise<string> {
  return (await made<Automation>(tenant.post('/api/automations', fields))).id
}
const test = (tenant: Tenant, id: string, body: object) =>
  made<Tested>(tenant.post(`/api/automations/${id}/test`, body))
async function refusal(tenant: Tenant, url: string, body: object): Promise<[number, Refused]> {
  const answer = await tenant.post(`/api/automations/${url}`, body)
  return [answer.statusCode, answer.json<Refused>()]
}

records.has('/api/leads/123', { lead_id: 123, ...LEAD })
records.has('/api/leads/lead_7', { id: 'lead_7', ...LEAD, created_at: 'yesterday', status: 3 })
records.has('/api/leads/wrapped', { data: { lead_id: 'wrapped', ...LEAD } })
records.has('/api/customers/42', { customer_id: '42', name: 'Ana', email: 'ana@example.com', phone: null })
records.has('/api/bookings/9', { booking_id: 9, customer_id: 42, starts_at: inDays(3), status: 'confirmed' })
records.has('/api/bookings/10', { booking_id: 10, customer_id: 42, status: 'confirmed' })

t.test('what the CRM document creates is created, and tested by the id of a lead', async (t) => {
  for (const mode of ['lenient', 'strict']) {
    const tenant = service.tenant()
    await tenant.put('/api/tenant', { strict_events: mode === 'strict' })
    const id = await create(tenant, WELCOME)
    t.match(await made(tenant.get(`/api/automations/${id}`)), { ...WELCOME, last_triggered: null })
    for (const lead_id of [123, '123', 'lead_7', 'wrapped']) {
      const { message, record, notes } = await test(tenant, id, { lead_id })
      t.match(message, { channel: 'email', to: 'eva@example.com', subject: /Eva/ }, `${mode} ${lead_id}`)
      t.match(record, { source: 'platform' })
      t.equal(String(record.data['lead_id']), String(lead_id))
      t.same(notes, [])
    }
    t.match(records.asked.at(-1)?.headers, {
      'x-tenant-id': tenant.id,
      authorization: 'Bearer records-token',
    })
    t.match(await made(tenant.get(`/api/automations/${id}`)), { times_triggered: 0, last_triggered: null })
    t.same((await made<{ data: [] }>(tenant.get('/api/automation/executions'))).data, [])
  }
})

t.test('started by the id of a lead it really starts, and once by one key', async (t) => {
  const tenant = service.tenant()
  const id = await create(tenant, WELCOME)
  const start = (body: object, key = 'click') =>
    tenant.post(`/api/automations/${id}/trigger`, body, { 'idempotency-key': key })
  const first = (await start({ lead_id: 123 })).json<{ execution_id: string; status: string }>()
  t.equal(first.status, 'queued')
  records.has('/api/leads/123', { lead_id: 123, ...LEAD, last_contacted: inDays(0) })
  const again = await start({ lead_id: '123' })
  t.match([again.statusCode, again.json()], [202, { status: 'duplicate', execution_id: first.execution_id }])
  t.match((await start({ lead_id: 'lead_7' })).json(), { code: 'flow_run_conflict' })
  t.match((await start({ lead_id: 'lead_7' }, 'other')).json(), { status: 'queued' }, 'in whatever form')
  t.match(await made(tenant.get(`/api/automations/${id}`)), { times_triggered: 2, last_triggered: String })
  const { data } = await made<{ data: unknown[] }>(tenant.get(`/api/automation/executions?flow=${id}`))
  t.equal(data.length, 2)
})

t.test('a booking is known by itself or by its customer, a message by who wrote it', async (t) => {
  const tenant = service.tenant()
  const reminder = await create(tenant, REMINDER)
  t.match(await test(tenant, reminder, { booking_id: '9' }), {
    message: { to: 'ana@example.com' },
    record: { source: 'platform', data: { booking_id: 9, customer: { name: 'Ana' } } },
  })
  t.match(await test(tenant, reminder, { customer_id: 42 }), { message: { to: 'ana@example.com' } })
  const ofCustomer = await tenant.post(`/api/automations/${reminder}/trigger`, {
    customer_id: 42,
    data: { booking_id: 'b', starts_at: inDays(1) },
  })
  t.equal(ofCustomer.statusCode, 202, ofCustomer.body)
  const answer = await create(tenant, ANSWER)
  t.match(await test(tenant, answer, { lead_id: 123 }), { message: { to: 'eva@example.com' } })
  t.match(await test(tenant, answer, { customer_id: '42' }), { message: { to: 'ana@example.com' } })
  const byLead = await tenant.post(`/api/automations/${answer}/trigger`, { lead_id: 123 })
  t.equal(byLead.statusCode, 202, byLead.body)
  const sms = await create(tenant, { ...ANSWER, channel: 'sms' })
  t.match(await refusal(tenant, `${sms}/trigger`, { customer_id: 42 }), [
    422,
    { code: 'automation_record_unfit', errors: [{ pointer: '/customer_id', detail: /phone number/ }] },
  ])
})

t.test('what does not fit, is not there or is not to be trusted is a clear problem', async (t) => {
  const tenant = service.tenant()
  const welcome = await create(tenant, WELCOME)
  const reminder = await create(tenant, REMINDER)
  records.has('/api/leads/500', {}, 500)
  records.has('/api/leads/other', { lead_id: 'somebody', ...LEAD })
  records.has('/api/leads/list', [1])
  records.has('/api/leads/big', { lead_id: 'big', text: 'x'.repeat(300_000) })
  records.has('/api/leads/text', '<html>')
  const cases: [string, object, number, string, object][] = [
    [
      welcome,
      { booking_id: 1 },
      422,
      'automation_record_unfit',
      { errors: [{ pointer: '/booking_id', detail: /lead_id/ }] },
    ],
    [welcome, { customer_id: 1 }, 422, 'automation_record_unfit', { errors: [{ pointer: '/customer_id' }] }],
    [
      reminder,
      { lead_id: 1 },
      422,
      'automation_record_unfit',
      { errors: [{ pointer: '/lead_id', detail: /booking_id/ }] },
    ],
    [
      reminder,
      { booking_id: 10 },
      422,
      'automation_record_unfit',
      { errors: [{ pointer: '/booking_id', detail: /starts_at/ }] },
    ],
    [
      welcome,
      { lead_id: 1, data: { lead_id: 2 } },
      422,
      'automation_record_unfit',
      { errors: [{ pointer: '/data/lead_id' }] },
    ],
    [
      welcome,
      { lead_id: 404 },
      422,
      'automation_record_not_found',
      { errors: [{ pointer: '/lead_id', detail: /no such record/ }] },
    ],
    [welcome, { lead_id: '..' }, 422, 'automation_record_not_found', { errors: [{ pointer: '/lead_id' }] }],
    [welcome, { lead_id: '../customers/42' }, 422, 'automation_record_not_found', {}],
    [
      welcome,
      { lead_id: 500 },
      502,
      'automation_platform_failed',
      { error_class: 'http_5xx', response_status: 500 },
    ],
    [welcome, { lead_id: 'other' }, 502, 'automation_platform_failed', { detail: /somebody/ }],
    [welcome, { lead_id: 'list' }, 502, 'automation_platform_failed', { error_class: 'invalid_response' }],
    [welcome, { lead_id: 'big' }, 502, 'automation_platform_failed', { error_class: 'response_too_large' }],
    [welcome, { lead_id: 'text' }, 502, 'automation_platform_failed', { error_class: 'invalid_response' }],
    [
      welcome,
      { lead_id: 1, customer_id: 2 },
      400,
      'invalid_request',
      { errors: [{ pointer: '/customer_id' }] },
    ],
    [welcome, { lead_id: '' }, 400, 'invalid_request', { errors: [{ pointer: '/lead_id' }] }],
    [welcome, { lead_id: {} }, 400, 'invalid_request', { errors: [{ pointer: '/lead_id' }] }],
  ]
  for (const [id, body, status, code, more] of cases) {
    for (const action of ['test', 'trigger']) {
      t.match(
        await refusal(tenant, `${id}/${action}`, body),
        [status, { code, ...more }],
        JSON.stringify(body),
      )
    }
  }
})

t.test('with the data given the platform is not asked', async (t) => {
  const tenant = service.tenant()
  const id = await create(tenant, WELCOME)
  const before = records.asked.length
  const data = { name: 'Rui', email: 'rui@example.com' }
  const tested = await test(tenant, id, { lead_id: 77, data })
  t.match(tested, { message: { to: 'rui@example.com' }, record: { source: 'given', data: { lead_id: 77 } } })
  t.equal((await tenant.post(`/api/automations/${id}/trigger`, { lead_id: 77, data })).statusCode, 202)
  t.equal(records.asked.length, before)
})

t.test('where there is no platform a test makes the rest up and says so, a start is refused', async (t) => {
  const tenant = alone.tenant()
  for (const [fields, body] of [
    [WELCOME, { lead_id: 123 }],
    [REMINDER, { booking_id: 5 }],
    [REMINDER, { customer_id: 5 }],
    [ANSWER, { lead_id: 'a' }],
  ] as const) {
    const id = await create(tenant, { ...fields, channel: 'sms' })
    const { message, record, notes } = await test(tenant, id, body)
    t.match([message?.to, record.source, notes], [/^\+351/, 'sample', [/PLATFORM_URL/]], JSON.stringify(body))
    const [status, { code, errors }] = await refusal(tenant, `${id}/trigger`, body)
    t.match([status, code], [422, 'automation_record_unknown'])
    t.equal(errors[0]?.pointer, `/${Object.keys(body)[0] ?? ''}`)
  }
})
