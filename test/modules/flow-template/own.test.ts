import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import t from 'tap'
import { clientFor, startApp, type Tenant } from '#test/support/app.ts'
import { bodyOf, codeOf, created, FLOWS, installPlugins, runnerOf } from '#test/modules/flow/support.ts'
import { feedSettled } from '#test/modules/event/support.ts'

const service = await startApp(t)
const { db } = service
const URL = '/api/automation/templates'

interface Template {
  id: string
  own: boolean
  parameters: { name: string; default: unknown }[]
  definition: Record<string, unknown>
  [member: string]: unknown
}

interface Flow {
  id: string
  status: string
  template_id: string
  problems: unknown[]
  definition: Record<string, unknown> & { steps: Record<string, unknown>[] }
}

const GREETING = {
  name: 'Greet',
  description: 'Of one shop',
  status: 'draft',
  trigger: { type: 'event', event_types: ['customer.created'] },
  variables: { shop_name: 'Linen & Co' },
  steps: [
    { id: 'wait', type: 'delay', duration: '2 hours', next: 'task' },
    {
      id: 'task',
      type: 'action',
      plugin_id: 'platform',
      action_type: 'create_task',
      input: { title: 'Greet {{trigger.name}}', note: 'From Linen & Co', priority: 3, kind: 'call' },
    },
  ],
}
const MARKS = [
  { name: 'title', type: 'template', places: ['/steps/1/input/title'] },
  { name: 'priority', type: 'integer', places: ['/steps/1/input/priority'], minimum: 1, maximum: 5 },
  { name: 'kind', type: 'choice', places: ['/steps/1/input/kind'], choices: ['call', 'visit'] },
  { name: 'shop_name', title: 'Shop name', type: 'text', places: ['/variables/shop_name'] },
  { name: 'note', type: 'text', places: ['/steps/1/input/note'] },
]

const saved = async (shop: Tenant, flow: object, rest: object = {}): Promise<Template> => {
  const { id } = await created(shop, flow)
  const body = { flow_id: id, title: 'Greet whoever is new', category: 'customers', ...rest }
  return bodyOf(await shop.post(URL, body), 201) as unknown as Template
}
const installed = async (shop: Tenant, id: string, body: object = {}, status = 201): Promise<Flow> =>
  bodyOf(await shop.post(`${URL}/${id}/install`, body), status) as unknown as Flow
const ownOf = async (shop: Tenant, query = '?own=true'): Promise<Template[]> =>
  (await shop.get(URL + query)).json<{ data: Template[] }>().data

t.test('a flow is saved as a template, and listed in front of the ready-made ones', async (t) => {
  const shop = service.tenant()
  const template = await saved(shop, GREETING, { description: 'A task for each', parameters: MARKS })
  t.match(template, {
    title: 'Greet whoever is new',
    description: 'A task for each',
    category: 'customers',
    own: true,
    triggers: ['customer.created'],
    actions: ['create_task'],
    definition: { name: 'Greet whoever is new', description: 'A task for each', status: 'draft' },
  })
  t.match(template.parameters, [
    {
      name: 'title',
      title: 'title',
      type: 'template',
      default: 'Greet {{trigger.name}}',
      max_length: 10_000,
    },
    { name: 'priority', type: 'integer', default: 3, minimum: 1, maximum: 5 },
    { name: 'kind', type: 'choice', default: 'call', choices: ['call', 'visit'] },
    { name: 'shop_name', title: 'Shop name', type: 'text', default: 'Linen & Co', max_length: 200 },
    { name: 'note', type: 'text', places: ['/steps/1/input/note'] },
  ])
  t.strictSame(bodyOf(await shop.get(`${URL}/${template.id}`)), { ...template })
  const all = await ownOf(shop, '')
  t.equal(all[0]?.id, template.id)
  t.match(
    all.slice(1),
    all.slice(1).map(() => ({ own: false, created_at: null })),
  )
  t.notOk('definition' in (all[0] ?? {}), 'a list has no definitions')
  t.same(
    (await ownOf(shop)).map(({ id }) => id),
    [template.id],
  )
  t.same(await ownOf(shop, '?own=true&category=leads'), [])
  t.notOk((await ownOf(shop, '?own=false')).some(({ own }) => own))
})

t.test('it is installed by the rules of the ready-made ones', async (t) => {
  const shop = service.tenant()
  const { id } = await saved(shop, GREETING, { parameters: MARKS })
  const flow = await installed(shop, id, {
    name: 'Ours',
    status: 'active',
    parameters: {
      title: 'Call {{trigger.name}}',
      priority: 5,
      kind: 'visit',
      shop_name: '{{Linen}}',
      note: 'x',
    },
  })
  t.match(flow, { name: 'Ours', status: 'active', template_id: id, problems: [] })
  t.strictSame(flow.definition.steps[1]?.['input'], {
    title: 'Call {{trigger.name}}',
    note: 'x',
    priority: 5,
    kind: 'visit',
  })
  t.strictSame(flow.definition['variables'], { shop_name: '{{Linen}}' }, 'text is text in a variable')

  const first = await installed(shop, id)
  t.match(first, {
    status: 'draft',
    definition: { ...GREETING, name: 'Greet whoever is new', description: '' },
  })
  const again = await installed(shop, id, { parameters: { priority: 3 } }, 200)
  t.equal(again.id, first.id, 'what is the default anyway makes no other one')
  const another = await installed(shop, id, { another: true })
  t.not(another.id, first.id)
  const both = await Promise.all(
    [1, 2, 3].map(() => shop.post(`${URL}/${id}/install`, { parameters: { priority: 4 } })),
  )
  t.same(both.map(({ statusCode }) => statusCode).sort(), [200, 200, 201])
  t.equal(new Set(both.map((answer) => answer.json<Flow>().id)).size, 1)
})

t.test('values that do not fit are named, and nothing is installed', async (t) => {
  const shop = service.tenant()
  const { id } = await saved(shop, GREETING, { parameters: MARKS })
  for (const [parameters, pointer, detail] of [
    [{ priority: 6 }, '/parameters/priority', /from 1 to 5/],
    [{ priority: '3' }, '/parameters/priority', /whole number/],
    [{ kind: 'mail' }, '/parameters/kind', /call, visit/],
    [{ note: 'Dear {{trigger.name}}' }, '/parameters/note', /no \{\{/],
    [{ note: '{% if a %}' }, '/parameters/note', /no \{\{/],
    [{ title: '{{ trigger.name' }, '/parameters/title', /template that can be read/],
    [{ colour: 'red' }, '/parameters/colour', /not a parameter/],
  ] as const) {
    const answer = await shop.post(`${URL}/${id}/install`, { parameters })
    t.match([answer.statusCode, answer.json()], [400, { errors: [{ pointer, detail }] }], pointer)
  }
  t.equal((await shop.get(FLOWS)).json<{ data: unknown[] }>().data.length, 1)
})

t.test('marks that do not fit the flow are named, and nothing is saved', async (t) => {
  const shop = service.tenant()
  const { id: flow_id } = await created(shop, GREETING)
  const mark = (rest: object): object => ({
    name: 'a',
    type: 'text',
    places: ['/steps/1/input/note'],
    ...rest,
  })
  for (const [parameters, pointer] of [
    [[mark({ places: ['/steps/9/input'] })], '/parameters/0/places'],
    [[mark({ places: ['/steps/1/input'] })], '/parameters/0/places'],
    [[mark({ places: ['/name'] })], '/parameters/0/places'],
    [[mark({ places: ['steps'] })], '/parameters/0/places'],
    [[mark({ places: ['/steps/__proto__/x'] })], '/parameters/0/places'],
    [[mark({ places: ['/steps/1/constructor/name'] })], '/parameters/0/places'],
    [[mark({ places: ['/steps/1/input/note/0'] })], '/parameters/0/places'],
    [[mark({ type: 'integer', places: ['/steps/1/input/note/length'] })], '/parameters/0/places'],
    [[mark({ type: 'integer', places: ['/steps/length'], maximum: 4294967295 })], '/parameters/0/places'],
    [[mark({ type: 'integer', places: ['/trigger/event_types/length'] })], '/parameters/0/places'],
    [[mark({ places: ['/trigger/event_types/-'] })], '/parameters/0/places'],
    [[mark({ places: ['/steps/01/input/note'] })], '/parameters/0/places'],
    [[mark({ places: ['x/steps/1/input/note'] })], '/parameters/0/places'],
    [[mark({}), mark({ name: 'b', places: ['x/steps/1/input/note'] })], '/parameters/1/places'],
    [[mark({ places: ['/steps/0/duration', '/steps/1/input/note'] })], '/parameters/0/places'],
    [[mark({}), mark({ name: 'b' })], '/parameters/1/places'],
    [[mark({}), mark({ places: ['/steps/0/duration'] })], '/parameters/1/name'],
    [[mark({ type: 'integer' })], '/parameters/0/places'],
    [[mark({ type: 'integer', places: ['/steps/1/input/priority'], minimum: 4 })], '/parameters/0/minimum'],
    [[mark({ type: 'choice' })], '/parameters/0/choices'],
    [[mark({ type: 'choice', choices: ['other'] })], '/parameters/0/choices'],
    [[mark({ places: ['/steps/1/input/title'] })], '/parameters/0/type'],
    [[mark({ max_length: 3 })], '/parameters/0/max_length'],
  ] as const) {
    const answer = await shop.post(URL, { flow_id, title: 'T', category: 'other', parameters })
    t.match([answer.statusCode, answer.json()], [400, { errors: [{ pointer }] }], JSON.stringify(parameters))
  }
  for (const body of [
    { title: 'T', category: 'other' },
    { flow_id, title: ' ', category: 'other' },
    { flow_id, title: 'T', category: 'cars' },
    { flow_id, title: 'T', category: 'other', colour: 'red' },
  ]) {
    t.equal((await shop.post(URL, body)).statusCode, 400, JSON.stringify(body))
  }
  const nowhere = await shop.post(URL, { flow_id: crypto.randomUUID(), title: 'T', category: 'other' })
  t.equal(codeOf(nowhere), '404 flow_not_found')
  t.same(await ownOf(shop), [])
})

t.test('no secret is in it: a flow that holds one is refused, or the value is asked for', async (t) => {
  const shop = service.tenant()
  const step = {
    id: 'call',
    type: 'http',
    method: 'POST',
    url: 'https://api.example.com/v1?page=2',
    headers: {
      accept: 'application/json',
      'x-api': 's3cr3t',
      authorization: 'Bearer {{variables.key_of_ours}}',
    },
    body: { password: 'hunter22', text: 'sk_live_abcdefghijklmnopqrst' },
  }
  const flow = { name: 'Ask', trigger: { type: 'manual' }, steps: [step] }
  const { id: flow_id } = await created(shop, flow)
  const refused = await shop.post(URL, { flow_id, title: 'Ask', category: 'other' })
  t.equal(codeOf(refused), '422 flow_template_secrets')
  const { errors } = refused.json<{ errors: { pointer: string }[] }>()
  t.strictSame(
    errors.map(({ pointer }) => pointer),
    ['/steps/0/headers/x-api', '/steps/0/body/password', '/steps/0/body/text'],
  )
  t.notMatch(refused.body, /s3cr3t|hunter22|sk_live/)
  const parameters = errors.map(({ pointer }, index) => ({
    name: `key_${index}`,
    type: 'text',
    places: [pointer],
  }))
  const answer = await shop.post(URL, { flow_id, title: 'Ask', category: 'other', parameters })
  const template = bodyOf(answer, 201) as unknown as Template
  t.same(
    template.parameters.map((each) => each.default),
    ['', '', ''],
  )
  t.notMatch(answer.body, /s3cr3t|hunter22|sk_live/)
  const rows = await db.selectFrom('automation_templates').selectAll().where('id', '=', template.id).execute()
  t.notMatch(JSON.stringify(rows), /s3cr3t|hunter22|sk_live/)
  const made = await installed(shop, template.id, { parameters: { key_0: 'mine' } })
  t.match(made.definition.steps[0], { headers: { 'x-api': 'mine' }, body: { password: '' } })
  for (const spelling of ['x/steps/0/body/pass~word', 'x/steps/0/body/text', '/steps/0/headers/x~api']) {
    const names = {
      ...step,
      headers: { 'x~api': 's3cr3t' },
      body: { 'pass~word': 'hunter22', text: 'sk_live_abcdefghijklmnopqrst' },
    }
    const { id } = await created(shop, { ...flow, steps: [names] })
    const asked = ['/steps/0/headers/x~0api', '/steps/0/body/pass~0word', '/steps/0/body/text', spelling]
    const marks = asked.map((place, index) => ({ name: `key_${index}`, type: 'text', places: [place] }))
    const second = await shop.post(URL, { flow_id: id, title: 'Ask', category: 'other', parameters: marks })
    t.match(
      [second.statusCode, second.json()],
      [400, { errors: [{ pointer: '/parameters/3/places' }] }],
      spelling,
    )
  }
  const audited = (await shop.get('/api/audit-log?action=flow_template.created')).body
  t.notMatch(audited, /s3cr3t|hunter22|sk_live/)
  const withUser = { ...step, headers: {}, body: {}, url: 'https://me:word@api.example.com/v1' }
  const { id: other } = await created(shop, { ...flow, steps: [withUser] })
  t.equal(
    codeOf(await shop.post(URL, { flow_id: other, title: 'T', category: 'other' })),
    '422 flow_template_secrets',
  )
})

t.test('a secret is one within a placeholder and in the query, too', async (t) => {
  const shop = service.tenant()
  const code = 'aB3dE5gH7jK9mN1pQ3sT5'
  const call = (rest: object): object => ({
    id: 'call',
    type: 'http',
    method: 'GET',
    url: 'https://a.example/',
    ...rest,
  })
  const answerTo = async (
    rest: object,
    trigger: object = {},
  ): Promise<Awaited<ReturnType<Tenant['post']>>> => {
    const { id: flow_id } = await created(shop, {
      name: 'Ask',
      status: 'draft',
      trigger: { type: 'manual', ...trigger },
      steps: [call(rest)],
    })
    return shop.post(URL, { flow_id, title: 'Ask', category: 'other' })
  }
  for (const [rest, pointer] of [
    [{ headers: { 'x-api': '{{ "sk_live_abcdefghijklmnopqrstuv" }}' } }, '/steps/0/headers/x-api'],
    [{ headers: { 'x-api': "Bearer {{ 'hunter2hunter2' }}" } }, '/steps/0/headers/x-api'],
    [{ headers: { 'x-api': '{{ trigger.x | default: "hunter2hunter2" }}' } }, '/steps/0/headers/x-api'],
    [{ body: { text: '{{ "sk_live_abcdefghijklmnopqrstuv" }}' } }, '/steps/0/body/text'],
    [{ body: { password: '{{ trigger.x | default: "hunter22" }}' } }, '/steps/0/body/password'],
    [{ url: `https://a.example/?code=${code}` }, '/steps/0/url'],
    [{ url: `https://a.example/?page=2&code={{ trigger.x | default: "${code}" }}` }, '/steps/0/url'],
  ] as const) {
    const answer = await answerTo(rest)
    t.equal(codeOf(answer), '422 flow_template_secrets', JSON.stringify(rest))
    t.match(answer.json(), { errors: [{ pointer }] })
  }
  const properties = {
    token: { type: 'string', description: 'Of the device' },
    default: { type: 'object', properties: { password: { type: 'string', minLength: 8 } } },
  }
  for (const rest of [
    { url: 'https://a.example/?page=2&code={{variables.key_of_ours_20261129}}' },
    { headers: { 'x-api': '{{ trigger.key | default: "none" }}' } },
    { headers: { 'x-day': '{{ now | date: "yyyy-MM-dd" }}' } },
  ]) {
    t.equal((await answerTo(rest, { input_schema: { type: 'object', properties } })).statusCode, 201)
  }
  for (const [member, value] of [
    ['default', 'hunter22'],
    ['const', 'hunter22'],
    ['enum', ['hunter22']],
    ['examples', ['hunter22']],
  ] as const) {
    const token = { type: 'string', [member]: value }
    const answer = await answerTo({}, { input_schema: { type: 'object', properties: { token } } })
    t.match(answer.json(), {
      code: 'flow_template_secrets',
      errors: [{ pointer: /input_schema\/properties\/token\// }],
    })
  }
})

t.test(
  'connections stand in it by their names, plugins by their slugs, and nothing of the tenant',
  async (t) => {
    const shop = service.tenant()
    await installPlugins(shop, 'http://127.0.0.1:9/')
    const { id: pluginId } = bodyOf(await shop.get('/api/plugins/email-marketing'))
    const template = await saved(shop, {
      name: 'Ask',
      tenant_id: shop.id,
      trigger: { type: 'manual' },
      steps: [
        { id: 'call', type: 'http', method: 'POST', url: 'https://api.example.com/', connection: 'scores' },
        { id: 'mail', type: 'action', plugin_id: pluginId, action_type: 'send_welcome_email', input: {} },
      ],
    })
    t.match(template, { triggers: [], actions: ['send_welcome_email'] })
    t.match(template.definition['steps'], [{ connection: 'scores' }, { plugin_id: 'email-marketing' }])
    t.notOk(JSON.stringify(template).includes(shop.id))
    t.notOk(JSON.stringify(template).includes(String(pluginId)))
  },
)

t.test('a linear flow is one, too, and its numbers keep their text', async (t) => {
  const shop = service.tenant()
  const template = await saved(
    shop,
    {
      name: 'Linear',
      status: 'draft',
      trigger_event: 'customer.created',
      flow_definition: {
        variables: { greeting: 'Hello' },
        steps: [
          { id: 'a', type: 'action', action_type: 'create_task', payload_template: { title: 'x', sum: 1.5 } },
        ],
      },
    },
    { parameters: [{ name: 'greeting', type: 'text', places: ['/flow_definition/variables/greeting'] }] },
  )
  t.match(template, { triggers: ['customer.created'], actions: ['create_task'] })
  const flow = await installed(shop, template.id, { parameters: { greeting: '{{x}}' } })
  t.match(flow, {
    status: 'draft',
    definition: { trigger_event: 'customer.created', flow_definition: { variables: { greeting: '{{x}}' } } },
  })
})

t.test('it is changed and deleted, and flows that were made of it stay', async (t) => {
  const shop = service.tenant()
  const template = await saved(shop, GREETING, { parameters: MARKS })
  const flow = await installed(shop, template.id)
  const renamed = bodyOf(await shop.patch(`${URL}/${template.id}`, { title: 'Other', category: 'other' }))
  t.match(renamed, { title: 'Other', category: 'other', description: '', triggers: ['customer.created'] })
  t.strictSame(renamed['parameters'], template.parameters)
  const fewer = bodyOf(await shop.patch(`${URL}/${template.id}`, { parameters: MARKS.slice(0, 1) }))
  t.match(fewer['parameters'], [{ name: 'title' }])

  const newer = await created(shop, {
    ...GREETING,
    trigger: { type: 'event', event_types: ['lead.created'] },
  })
  const taken = bodyOf(await shop.patch(`${URL}/${template.id}`, { flow_id: newer.id }))
  t.match(taken, { triggers: ['lead.created'], parameters: [{ name: 'title' }] })
  const bare = await created(shop, { name: 'Bare', trigger: { type: 'manual' }, steps: [] })
  const unfit = await shop.patch(`${URL}/${template.id}`, { flow_id: bare.id })
  t.match([unfit.statusCode, unfit.json()], [400, { errors: [{ pointer: '/parameters/0/places' }] }])
  t.equal((await shop.patch(`${URL}/${template.id}`, {})).statusCode, 400)
  t.match(bodyOf(await shop.get(`${URL}/${template.id}`)), { triggers: ['lead.created'] })

  t.equal((await shop.delete(`${URL}/${template.id}`)).statusCode, 204)
  for (const answer of [
    await shop.get(`${URL}/${template.id}`),
    await shop.patch(`${URL}/${template.id}`, { title: 'x' }),
    await shop.delete(`${URL}/${template.id}`),
    await shop.post(`${URL}/${template.id}/install`, {}),
  ]) {
    t.equal(codeOf(answer), '404 flow_template_not_found')
  }
  t.match(bodyOf(await shop.get(`${FLOWS}/${flow.id}`)), { template_id: template.id })
  for (const answer of [
    await shop.patch(`${URL}/abandoned_cart`, { title: 'x' }),
    await shop.delete(`${URL}/abandoned_cart`),
  ]) {
    t.equal(codeOf(answer), '409 flow_template_ready_made')
  }
  for (const [action, count] of [
    ['created', 1],
    ['updated', 3],
    ['deleted', 1],
  ] as const) {
    const answer = await shop.get(`/api/audit-log?action=flow_template.${action}`)
    const { data } = answer.json<{ data: { target_kind: string; target_id: string }[] }>()
    t.equal(data.length, count, action)
    t.match(data[0], { target_kind: 'flow_template', target_id: template.id })
  }
})

t.test("another shop's are not there, for its own keys and for the platform's", async (t) => {
  const shop = service.tenant()
  const other = service.tenant()
  const { id } = await saved(shop, GREETING)
  const { key } = bodyOf(await other.post('/api/keys', { name: 'k', kind: 'tenant', role: 'admin' }), 201)
  const { id: flow_id } = await created(shop, GREETING)
  for (const caller of [other, clientFor(service.app, other.id, String(key))]) {
    t.same(await ownOf(caller), [])
    for (const answer of [
      await caller.get(`${URL}/${id}`),
      await caller.patch(`${URL}/${id}`, { title: 'x' }),
      await caller.delete(`${URL}/${id}`),
      await caller.post(`${URL}/${id}/install`, {}),
    ]) {
      t.equal(codeOf(answer), '404 flow_template_not_found')
    }
    const stolen = await caller.post(URL, { flow_id, title: 'T', category: 'other' })
    t.equal(codeOf(stolen), '404 flow_not_found')
  }
  t.same(
    (await ownOf(shop)).map((each) => each.id),
    [id],
  )
})

t.test('a viewer sees them without the values of headers, and changes none', async (t) => {
  const shop = service.tenant()
  const template = await saved(shop, {
    name: 'Ask',
    trigger: { type: 'manual' },
    steps: [
      {
        id: 'call',
        type: 'http',
        method: 'GET',
        url: 'https://api.example.com/?page=2',
        headers: { accept: 'text/csv' },
      },
    ],
  })
  const { key } = bodyOf(await shop.post('/api/keys', { name: 'v', kind: 'tenant', role: 'viewer' }), 201)
  const viewer = clientFor(service.app, shop.id, String(key))
  const seen = await viewer.get(`${URL}/${template.id}`)
  t.equal(seen.statusCode, 200)
  t.notMatch(seen.body, /text\/csv|page=2/)
  t.equal((await viewer.delete(`${URL}/${template.id}`)).statusCode, 403)
  t.equal((await viewer.patch(`${URL}/${template.id}`, { title: 'x' })).statusCode, 403)
  t.equal((await viewer.post(`${URL}/${template.id}/install`, {})).statusCode, 403)
})

t.test('a viewer sees no more of them by their parameters', async (t) => {
  const shop = service.tenant()
  const url = (code: string): string => `https://api.example.com/?page=${code}`
  const template = await saved(
    shop,
    {
      name: 'Ask',
      trigger: { type: 'manual' },
      variables: { shop_name: 'Linen' },
      steps: [
        { id: 'call', type: 'http', method: 'GET', url: url('one') },
        { id: 'again', type: 'http', method: 'GET', url: url('two') },
        { ...GREETING.steps[1], id: 'task' },
      ],
    },
    {
      parameters: [
        { name: 'address', type: 'template', places: ['/steps/0/url'] },
        { name: 'other', type: 'choice', places: ['/steps/1/url'], choices: [url('two'), url('three')] },
        { name: 'shop_name', type: 'text', places: ['/variables/shop_name'] },
        { name: 'priority', type: 'integer', places: ['/steps/2/input/priority'] },
      ],
    },
  )
  const { key } = bodyOf(await shop.post('/api/keys', { name: 'v', kind: 'tenant', role: 'viewer' }), 201)
  const seen = await clientFor(service.app, shop.id, String(key)).get(`${URL}/${template.id}`)
  t.notMatch(seen.body, /=(?:one|two|three)/)
  const hidden = url('[redacted]')
  t.match(seen.json(), {
    parameters: [
      { default: hidden },
      { default: hidden, choices: [hidden, hidden] },
      { default: 'Linen' },
      { default: 3 },
    ],
  })
  t.match(template.parameters, [{ default: url('one') }, { default: url('two') }])
})

t.test('a shop has as many as its quota says', async (t) => {
  const shop = service.tenant()
  bodyOf(await shop.put('/api/tenant/quotas', { flow_templates: 2 }))
  const { id: flow_id } = await created(shop, GREETING)
  const save = () => shop.post(URL, { flow_id, title: 'T', category: 'other' })
  const answers = await Promise.all([save(), save(), save()])
  t.same(answers.map(({ statusCode }) => statusCode).sort(), [201, 201, 422])
  const refused = answers.find(({ statusCode }) => statusCode === 422)
  t.match(refused?.json(), { code: 'quota_exceeded', quota: 'flow_templates', limit: 2 })
  const [first] = await ownOf(shop)
  t.equal((await shop.delete(`${URL}/${first?.id}`)).statusCode, 204)
  t.equal((await save()).statusCode, 201)
  t.match(bodyOf(await shop.get('/api/usage')), { quotas: { flow_templates: { used: 2, limit: 2 } } })
})

t.test('an installed one runs as the flow that it was made of does', async (t) => {
  const shop = service.tenant()
  const runDue = runnerOf(service)
  const template = await saved(
    shop,
    {
      name: 'Set',
      status: 'active',
      trigger: { type: 'event', event_types: ['shop.opened'] },
      variables: { who: 'Linen' },
      steps: [{ id: 'say', type: 'set', variables: { said: '{{variables.who}}: {{trigger.name}}' } }],
    },
    { parameters: [{ name: 'who', type: 'text', places: ['/variables/who'] }] },
  )
  const flow = await installed(shop, template.id, { status: 'active', parameters: { who: 'Cotton {{x}}' } })
  bodyOf(await shop.post('/api/events', { event: 'shop.opened', data: { name: 'Ana' } }), 202)
  await feedSettled({ db })
  await runDue(shop)
  const { data } = (await shop.get(`/api/automation/executions?flow=${flow.id}`)).json<{
    data: { id: string }[]
  }>()
  t.equal(data.length, 1)
  const run = (await shop.get(`/api/automation/executions/${data[0]?.id}`)).body
  t.match(run, /Cotton \{\{x\}\}: Ana/)
})

t.test('the documentation names each route', async (t) => {
  const text = await readFile(resolve('docs/flow-templates.md'), 'utf8')
  for (const call of [
    'POST /api/automation/templates',
    'PATCH /api/automation/templates/',
    'DELETE /api/automation/templates/',
  ]) {
    t.ok(text.includes(call), call)
  }
})
