import { sql } from 'kysely'
import t from 'tap'
import { cpuTimer } from '#test/support/cpu-time.ts'
import { STEP_TYPES } from '#lib/flow/steps/index.ts'
import { SYSTEM_ACTOR } from '#infra/auth/auth.ts'
import { startApp } from '#test/support/app.ts'
import {
  answerOf,
  bodyOf,
  codeOf,
  created,
  type FlowAnswer,
  FLOWS,
  GRAPH,
  installPlugins,
  LINEAR,
  taskFlow,
} from '../support.ts'

const service = await startApp(t, { env: { PLATFORM_URL: 'http://127.0.0.1:9' } })
const NOWHERE = 'http://127.0.0.1:9/'

t.test('the linear format is created active, the graph format as it says', async (t) => {
  const shop = service.tenant()
  const linear = await created(shop, LINEAR)
  t.match(linear, { status: 'active', format: 'linear', published_version: 1, problems: [] })
  t.strictSame(linear.definition, LINEAR)
  t.strictSame(linear.triggers, [{ type: 'event', event_types: ['customer.created'] }])

  await installPlugins(shop, NOWHERE)
  const graph = await created(shop, GRAPH)
  t.match(graph, { status: 'active', format: 'graph', published_version: 1, problems: [] })

  const [first, ...others] = GRAPH.steps
  const condition = { field: 'location.contry', operator: 'equals', value: 'US' }
  const misspelt = await created(shop, { ...GRAPH, steps: [{ ...first, condition }, ...others] })
  t.match(misspelt, { status: 'active', published_version: 1 })
  t.strictSame(
    misspelt.problems.map(({ severity, code, pointer }) => [severity, code, pointer]),
    [['warning', 'unknown_path', '/steps/0/condition/field']],
  )

  const silent = { ...GRAPH, status: undefined }
  t.match(await created(shop, silent), { status: 'draft', published_version: null })
  t.match(await created(shop, { ...LINEAR, status: 'draft' }), { status: 'draft', published_version: null })
  t.match(await created(shop, { ...LINEAR, status: 'inactive' }), { status: 'inactive' })
})

t.test('an active flow with errors is refused with all of them, a draft is kept with them', async (t) => {
  const shop = service.tenant()
  const refused = await shop.post(FLOWS, GRAPH)
  t.equal(codeOf(refused), '422 flow_invalid')
  const { problems, errors } = refused.json<{ problems: FlowAnswer['problems']; errors: unknown[] }>()
  t.strictSame(
    problems
      .filter(({ severity }) => severity === 'error')
      .map(({ code, pointer, step_id }) => [code, pointer, step_id]),
    [
      ['unknown_plugin', '/steps/1/plugin_id', 'action_1'],
      ['unknown_plugin', '/error_handlers/0/plugin_id', 'error_handler_1'],
    ],
  )
  t.equal(errors.length, 2)
  t.strictSame(bodyOf(await shop.get(FLOWS))['data'], [])

  const draft = await created(shop, { ...GRAPH, status: 'draft' })
  t.equal(draft.problems.filter(({ severity }) => severity === 'error').length, 2)
  const read = answerOf(await shop.get(`${FLOWS}/${draft.id}`))
  t.strictSame(read.problems, draft.problems)
  t.equal(codeOf(await shop.post(`${FLOWS}/${draft.id}/publish`)), '422 flow_invalid')
  t.equal(codeOf(await shop.post(`${FLOWS}/${draft.id}/activate`)), '422 flow_invalid')
  t.match(answerOf(await shop.get(`${FLOWS}/${draft.id}`)), { status: 'draft', published_version: null })

  await installPlugins(shop, NOWHERE)
  t.match(
    answerOf(await shop.get(`${FLOWS}/${draft.id}`)).problems.filter(({ severity }) => severity === 'error'),
    [],
    'problems are those of now',
  )
  t.match(answerOf(await shop.post(`${FLOWS}/${draft.id}/publish`)), { status: 'active' })
})

t.test('whatever a draft consists of, it is kept', async (t) => {
  const shop = service.tenant()
  for (const rest of [
    { steps: 'none' },
    { trigger: 7, triggers: [null, 'x', { type: 'event', event_types: { a: 1 } }] },
    { steps: [null, [], { id: 'task' }], settings: [] },
    { trigger_event: ['a', 1], flow_definition: null },
  ]) {
    const draft = await created(shop, { name: 'Unfinished', status: 'draft', ...rest })
    t.ok(draft.problems.some(({ severity }) => severity === 'error'))
    t.strictSame(draft.definition, { name: 'Unfinished', status: 'draft', ...rest })
  }
})

t.test('a definition is given back as the very text that was sent', async (t) => {
  const shop = service.tenant()
  const text =
    '{ "name" : "Text", "status":"active", "trigger":{"type":"manual"},\n "variables":{"10":1.0,"2":1e2,"é":"\\u00e9"},' +
    '"steps":[{"id":"task","type":"action","action_type":"create_task","input":{"title":"T"}}], "layout":{"z":1,"a":-0} }'
  const made = await shop.post(FLOWS, text)
  t.equal(made.statusCode, 201, made.body)
  const { id } = made.json<FlowAnswer>()
  for (const answer of [
    made,
    await shop.get(`${FLOWS}/${id}`),
    await shop.get(`${FLOWS}/${id}/versions/1`),
    await shop.post(`${FLOWS}/${id}/publish`),
  ]) {
    t.ok(answer.body.endsWith(`,"definition":${text}}`), answer.body)
    t.equal(answer.body.split('"definition":').length, 2, 'and once')
    t.doesNotThrow(() => answer.json<unknown>())
  }
})

t.test('numbers that would change are kept in drafts and refused where they would run', async (t) => {
  const shop = service.tenant()
  const text = (number: string, status: string) =>
    `{"name":"N","status":"${status}","trigger":{"type":"manual"},"steps":[{"id":"task","type":"action",` +
    `"action_type":"create_task","input":{"title":"T","data":[${number}]}}]}`
  for (const number of ['12345678901234567890', '1e999', '0.1000000000000000055511151231257827']) {
    const refused = await shop.post(FLOWS, text(number, 'active'))
    t.equal(codeOf(refused), '422 flow_invalid')
    t.match(refused.json(), {
      problems: [{ code: 'invalid_value', pointer: '/steps/0/input/data/0' }],
    })
    const draft = await shop.post(FLOWS, text(number, 'draft'))
    t.equal(draft.statusCode, 201, draft.body)
    t.ok(draft.body.includes(`[${number}]`))
  }
})

t.test('what is not a definition is a 400 that names the member', async (t) => {
  const shop = service.tenant()
  for (const [body, pointer] of [
    [taskFlow({ name: '' }), '/name'],
    [taskFlow({ name: '   ' }), '/name'],
    [taskFlow({ name: 'x'.repeat(201) }), '/name'],
    [taskFlow({ name: undefined }), '/name'],
    [taskFlow({ status: 'paused' }), '/status'],
    [taskFlow({ description: 7 }), '/description'],
    [[], ''],
  ] as const) {
    const response = await shop.post(FLOWS, body)
    t.equal(codeOf(response), '400 invalid_request', response.body)
    t.match(response.json<{ errors: { pointer: string }[] }>().errors[0]?.pointer, pointer)
  }
  t.equal(codeOf(await shop.post(FLOWS, '{"name":')), '400 invalid_json')
  const deep = `{"name":"deep","steps":${'['.repeat(70)}${']'.repeat(70)}}`
  t.equal(codeOf(await shop.post(FLOWS, deep)), '400 invalid_json')
  const other = await shop.post(FLOWS, taskFlow({ tenant_id: crypto.randomUUID() }))
  t.equal(codeOf(other), '403 tenant_mismatch')
  t.equal((await shop.post(FLOWS, taskFlow({ tenant_id: shop.id }))).statusCode, 201)
  const large = taskFlow({ description: null, variables: { text: 'x'.repeat(1_100_000) } })
  t.equal(codeOf(await shop.post(FLOWS, large)), '413 payload_too_large')
})

t.test('validating stores nothing and answers all problems', async (t) => {
  const shop = service.tenant()
  const check = async (definition: unknown) => bodyOf(await shop.post(`${FLOWS}/validate`, definition))
  t.strictSame(await check(LINEAR), { valid: true, problems: [] })
  t.match(await check({}), { valid: false, problems: [{ code: 'no_steps' }, { code: 'no_trigger' }] })
  t.match(await check({ ...GRAPH, name: undefined }), { valid: false })
  t.strictSame(bodyOf(await shop.get(FLOWS))['data'], [])
})

t.test('a flow of 512 steps is refused unread, one of 500 is compiled in time', async (t) => {
  const shop = service.tenant()
  const steps = (count: number) =>
    Array.from({ length: count }, (_, index) => ({
      id: `step_${index}`,
      type: 'action',
      action_type: 'create_task',
      input: {
        title: `{{trigger.order_id}} {{steps.step_${Math.max(0, index - 1)}.output.id | default: ""}}`,
      },
    }))
  const spent = cpuTimer()
  t.match(await created(shop, taskFlow({ steps: steps(500), status: 'active' })), { status: 'active' })
  t.ok(spent() < 10_000)
  const refused = await shop.post(FLOWS, taskFlow({ steps: steps(512), status: 'active' }))
  t.match(refused.json(), { code: 'flow_invalid', problems: [{ code: 'too_many_steps' }] })
})

t.test('flows are found by status, text, event, trigger and template, page by page', async (t) => {
  const shop = service.tenant()
  const orders = await created(shop, taskFlow({ name: 'Orders 100% off', description: 'for Ana' }))
  const linear = await created(shop, { ...LINEAR, name: 'Greet_them' })
  const hourly = await created(
    shop,
    taskFlow({ name: 'Hourly', triggers: [{ type: 'schedule', cron: '0 * * * *' }], trigger: undefined }),
  )
  const { id: templated } = await service.app.flows.create(
    SYSTEM_ACTOR,
    shop.id,
    taskFlow({ name: 'From template', trigger: { type: 'manual' } }),
    { templateId: 'abandoned_cart', automation: { kind: 'crm' } },
  )
  const found = async (query: string): Promise<string[]> => {
    const { data } = bodyOf(await shop.get(`${FLOWS}?${query}`)) as unknown as { data: FlowAnswer[] }
    return data.map(({ id }) => id)
  }
  t.strictSame(await found(''), [templated, hourly.id, linear.id, orders.id])
  t.strictSame(await found('status=active'), [linear.id])
  t.strictSame(await found('status=draft'), [templated, hourly.id, orders.id])
  t.strictSame(await found('q=100%25'), [orders.id])
  t.strictSame(await found('q=ANA'), [orders.id], 'in the description, whatever the case')
  t.strictSame(await found('q=t_t'), [linear.id], 'an underscore is an underscore')
  t.strictSame(await found('event=order.created'), [orders.id])
  t.strictSame(await found('event=customer.created'), [linear.id])
  t.strictSame(await found('event=order'), [])
  t.strictSame(await found('trigger=schedule'), [hourly.id])
  t.strictSame(await found('trigger=manual'), [templated])
  t.strictSame(await found('template_id=abandoned_cart'), [templated])

  await shop.put(`${FLOWS}/${linear.id}`, { ...LINEAR, trigger_event: 'order.created' })
  t.strictSame(await found('event=customer.created'), [linear.id], 'by what is published')
  t.strictSame(await found('event=order.created'), [linear.id, orders.id], 'and by the draft')

  const pages: string[] = []
  let cursor: string | null = null
  do {
    const query: string = cursor === null ? 'limit=3' : `limit=3&cursor=${cursor}`
    const page = bodyOf(await shop.get(`${FLOWS}?${query}`)) as unknown as {
      data: FlowAnswer[]
      next_cursor: string | null
    }
    pages.push(...page.data.map(({ id }) => id))
    cursor = page.next_cursor
  } while (cursor !== null)
  t.strictSame(pages, await found(''))
  t.equal(codeOf(await shop.get(`${FLOWS}?cursor=abc`)), '400 invalid_cursor')
  t.equal(codeOf(await shop.get(`${FLOWS}?status=archived`)), '400 invalid_request')
  t.strictSame(bodyOf(await service.tenant().get(FLOWS))['data'], [], 'others see none of it')
})

t.test('a tenant has at most 2,000 flows, of which deleted ones are none', async (t) => {
  const shop = service.tenant()
  const first = await created(shop, taskFlow())
  await sql`
    insert into automation_flows (tenant_id, id, name, definition)
    select ${shop.id}, gen_random_uuid(), 'Many', '{}' from generate_series(1, 1999)`.execute(service.db)
  t.equal(codeOf(await shop.post(FLOWS, taskFlow())), '409 too_many_flows')
  t.equal(codeOf(await shop.post(FLOWS, taskFlow({ status: 'active' }))), '409 too_many_flows')
  t.equal(codeOf(await shop.post(`${FLOWS}/${first.id}/duplicate`)), '409 too_many_flows')
  t.equal((await shop.delete(`${FLOWS}/${first.id}`)).statusCode, 204)
  t.equal((await shop.post(FLOWS, taskFlow())).statusCode, 201)
})

t.test('builders get the operators, filters, tags and types of steps that the engine reads', async (t) => {
  const { operators, filters, tags, steps } = bodyOf(
    await service.tenant().get('/api/automation/operators'),
  ) as {
    operators: { name: string }[]
    filters: { name: string }[]
    tags: { name: string }[]
    steps: { type: string }[]
  }
  t.strictSame(
    steps.map(({ type }) => type),
    Object.keys(STEP_TYPES),
  )
  t.match(
    steps.find(({ type }) => type === 'for_each'),
    {
      ports: ['on_done'],
      calls: false,
      has_body: true,
      schema: { required: ['id', 'type', 'list', 'body'], properties: { max_items: { maximum: 1000 } } },
    },
  )
  t.match(
    operators.find(({ name }) => name === 'between'),
    { subjects: ['number', 'time'], operand: 'range', operands: 2, when_missing: false },
  )
  t.match(
    operators.find(({ name }) => name === 'gte'),
    { in_templates: true, symbols: ['>='] },
  )
  t.match(
    operators.find(({ name }) => name === 'matches'),
    { in_templates: false, symbols: [] },
  )
  t.strictSame(
    tags.map(({ name }) => name),
    ['for', 'endfor', 'if', 'elsif', 'else', 'endif'],
  )
  t.match(
    filters.find(({ name }) => name === 'sort'),
    { input: ['list'], returns: 'list', args: [{ name: 'path', type: 'path', optional: true }] },
  )
  t.match(
    operators.find(({ name }) => name === 'exists'),
    { subjects: ['any'], operand: null, operands: 0 },
  )
  t.match(
    filters.find(({ name }) => name === 'truncate'),
    {
      input: ['scalar'],
      returns: 'text',
      args: [
        { name: 'length', type: 'count', optional: false },
        { name: 'ending', type: 'text', optional: true },
      ],
    },
  )
})
