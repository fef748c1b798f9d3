import t from 'tap'
import { clientFor, startApp } from '#test/support/app.ts'

const { app, db, ...service } = await startApp(t, { env: { PLATFORM_URL: 'http://127.0.0.1:9' } })
const URL = '/api/automation/templates'

interface InstalledFlow {
  id: string
  name: string
  status: string
  template_id: string
  published_version: number | null
  problems: unknown[]
  definition: { steps: Record<string, unknown>[]; variables: Record<string, unknown> }
}

interface Field {
  pointer: string
  detail: string
}

t.test('the templates are listed, all or of one category', async (t) => {
  const tenant = service.tenant()
  const all = (await tenant.get(URL)).json<{ data: { id: string; category: string }[] }>().data
  t.same(
    all.map(({ id }) => id),
    [
      'welcome_customer',
      'abandoned_cart',
      'order_shipped',
      'low_stock_task',
      'lead_welcome',
      'lead_follow_up',
      'crm_update',
      'booking_confirmation',
      'booking_reminder',
      'post_session',
      'plugin_trouble',
      'flow_trouble',
    ],
  )
  const leads = (await tenant.get(`${URL}?category=leads`)).json<{ data: { id: string }[] }>().data
  t.same(
    leads.map(({ id }) => id),
    ['lead_welcome', 'lead_follow_up', 'crm_update'],
  )
  t.equal((await tenant.get(`${URL}?category=cars`)).statusCode, 400)
})

t.test('a template says what starts it, what it needs and what may be chosen', async (t) => {
  const tenant = service.tenant()
  const answer = await tenant.get(`${URL}/booking_reminder`)
  t.match(answer.json(), {
    title: 'Remind of bookings',
    category: 'bookings',
    triggers: ['booking.created', 'booking.updated'],
    actions: ['send_email'],
    definition: { name: 'Remind of bookings', status: 'draft' },
  })
  const { parameters } = answer.json<{ parameters: { name: string }[] }>()
  t.match(
    parameters.find(({ name }) => name === 'hours'),
    { type: 'integer', default: 24, minimum: 1, maximum: 336 },
  )
  t.match(
    parameters.find(({ name }) => name === 'channel'),
    { type: 'choice', default: 'email', choices: ['email', 'sms'] },
  )
  t.match(
    parameters.find(({ name }) => name === 'body'),
    { type: 'template', max_length: 10_000 },
  )
  const unknown = await tenant.get(`${URL}/horoscope`)
  t.match([unknown.statusCode, unknown.json()], [404, { code: 'flow_template_not_found' }])
})

t.test('an installed template is a flow like any other', async (t) => {
  const tenant = service.tenant()
  const answer = await tenant.post(`${URL}/abandoned_cart/install`, {
    name: 'Unpaid orders',
    status: 'active',
    parameters: { hours: 6 },
  })
  t.equal(answer.statusCode, 201)
  const flow = answer.json<InstalledFlow>()
  t.match(flow, {
    name: 'Unpaid orders',
    status: 'active',
    template_id: 'abandoned_cart',
    published_version: 1,
    problems: [],
  })
  t.match(flow.definition.steps[0], { type: 'wait_event', timeout: '6 hours' })
  t.equal(answer.headers['location'], `/api/automation/flows/${flow.id}`)
  const read = (await tenant.get(`/api/automation/flows/${flow.id}`)).json<InstalledFlow>()
  t.same(read.definition, flow.definition)
  const { data } = (await tenant.get('/api/automation/flows?template_id=abandoned_cart')).json<{
    data: { id: string }[]
  }>()
  t.same(
    data.map(({ id }) => id),
    [flow.id],
  )
  const entries = await db
    .selectFrom('audit_log')
    .select('action')
    .where('tenant_id', '=', tenant.id)
    .execute()
  t.ok(entries.some(({ action }) => action === 'flow.created'))
})

t.test('without a word it is a draft by the name of the template, and may be installed again', async (t) => {
  const tenant = service.tenant()
  for (const body of [{}, { parameters: {}, another: true }]) {
    const answer = await tenant.post(`${URL}/low_stock_task/install`, body)
    t.match(answer.json(), { name: 'Reorder what runs low', status: 'draft', published_version: null })
  }
  const { data } = (await tenant.get('/api/automation/flows')).json<{ data: unknown[] }>()
  t.equal(data.length, 2)
})

t.test('parameters that do not fit are named, and nothing is stored', async (t) => {
  const tenant = service.tenant()
  const cases: [string, object, Field[]][] = [
    [
      'abandoned_cart',
      { hours: 0 },
      [{ pointer: '/parameters/hours', detail: 'must be a whole number from 1 to 720' }],
    ],
    [
      'abandoned_cart',
      { hours: '6' },
      [{ pointer: '/parameters/hours', detail: 'must be a whole number from 1 to 720' }],
    ],
    [
      'lead_welcome',
      { channel: 'fax' },
      [{ pointer: '/parameters/channel', detail: 'must be one of: email, sms' }],
    ],
    [
      'lead_welcome',
      { subject: ' ' },
      [{ pointer: '/parameters/subject', detail: 'must be text of 1 to 200 characters' }],
    ],
    [
      'lead_follow_up',
      { first_days: 5, second_days: 5 },
      [{ pointer: '/parameters/second_days', detail: 'must be more than first_days, which is 5' }],
    ],
    [
      'booking_reminder',
      { time_zone: 'Lisbon' },
      [{ pointer: '/parameters/time_zone', detail: 'must be an IANA time zone such as Europe/Lisbon' }],
    ],
  ]
  for (const [id, parameters, errors] of cases) {
    const answer = await tenant.post(`${URL}/${id}/install`, { parameters })
    t.equal(answer.statusCode, 400, answer.body)
    t.same(answer.json<{ errors: Field[] }>().errors, errors)
  }
  const several = await tenant.post(`${URL}/abandoned_cart/install`, {
    parameters: { body: 'Hello {{trigger.', minutes: 3, constructor: 'x' },
  })
  t.same(
    several.json<{ errors: Field[] }>().errors.map(({ pointer }) => pointer),
    ['/parameters/minutes', '/parameters/constructor', '/parameters/body'],
  )
  const { data } = (await tenant.get('/api/automation/flows')).json<{ data: unknown[] }>()
  t.same(data, [])
})

t.test(
  'a template that reads what is not there keeps the flow from being active, not from being a draft',
  async (t) => {
    const tenant = service.tenant()
    const parameters = { body: 'Hello {{steps.nobody.output.name}}' }
    const active = await tenant.post(`${URL}/lead_welcome/install`, { status: 'active', parameters })
    t.match([active.statusCode, active.json()], [422, { code: 'flow_invalid' }])
    const draft = await tenant.post(`${URL}/lead_welcome/install`, { parameters })
    t.match(
      [draft.statusCode, draft.json()],
      [201, { problems: [{ code: 'unknown_step', step_id: 'welcome' }] }],
    )
  },
)

t.test('plain text becomes a value of the flow, whatever it looks like', async (t) => {
  const tenant = service.tenant()
  const text = '{{tenant.id}} {{'
  const answer = await tenant.post(`${URL}/crm_update/install`, {
    status: 'active',
    parameters: { won_status: text, assignee: text },
  })
  t.equal(answer.statusCode, 201, answer.body)
  const { definition } = answer.json<InstalledFlow>()
  t.match(definition.variables, { won_status: text, assignee: text })
  t.notMatch(JSON.stringify(definition.steps), /tenant\.id/)
})

t.test('who may only look may not install', async (t) => {
  const tenant = service.tenant()
  const made = await tenant.post('/api/keys', { name: 'viewer', kind: 'tenant', role: 'viewer' })
  const viewer = clientFor(app, tenant.id, made.json<{ key: string }>().key)
  t.equal((await viewer.get(URL)).statusCode, 200)
  t.equal((await viewer.post(`${URL}/lead_welcome/install`, {})).statusCode, 403)
})

t.test(
  'installing the same again gives the flow that is there, unless another one is asked for',
  async (t) => {
    const tenant = service.tenant()
    const install = async (body: object) => {
      const answer = await tenant.post(`${URL}/welcome_customer/install`, body)
      return { code: answer.statusCode, id: answer.json<InstalledFlow>().id }
    }
    const [one, two, three] = await Promise.all([
      install({ status: 'active' }),
      install({ status: 'active', parameters: {} }),
      install({ status: 'active', name: 'Hello', parameters: { shop_name: 'Your shop' } }),
    ])
    t.equal(new Set([one.id, two.id, three.id]).size, 1)
    t.strictSame([one.code, two.code, three.code].sort(), [200, 200, 201])
    t.match(await install({ parameters: { shop_name: 'Linen & Co' } }), { code: 201 })
    const another = await install({ another: true })
    t.equal(another.code, 201)
    t.not(another.id, one.id)
    t.equal((await install({})).id, one.id)
    t.equal((await tenant.delete(`/api/automation/flows/${one.id}`)).statusCode, 204)
    const again = await install({})
    t.equal(again.code, 201)
    t.not(again.id, one.id)
    t.equal((await service.tenant().post(`${URL}/welcome_customer/install`, {})).statusCode, 201, 'by shop')
  },
)
