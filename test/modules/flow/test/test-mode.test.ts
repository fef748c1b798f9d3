import type { LightMyRequestResponse } from 'fastify'
import t from 'tap'
import { startApp } from '#test/support/app.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { snapshotTenant } from '#test/support/tenant-snapshot.ts'
import { answerOf, created, FLOWS, GRAPH, installPlugins, LINEAR, taskFlow } from '../support.ts'

const world = await startApp(t)
const { db } = world
const openTenant = () => world.tenant()

interface Answer {
  version: number | null
  start: { would_start: boolean; reason: string | null; already_started: boolean; trigger: string | null }
  end: { status: string; reason: string | null } | null
  until_reached: boolean | null
  steps: {
    step_id: string
    iteration: string
    status: string
    port: string | null
    input: unknown
    output: unknown
    would: Record<string, unknown> | null
    finished_at: string
  }[]
  unused_mocks: string[]
  problems: { code: string }[]
}

async function test(
  tenant: ReturnType<typeof openTenant>,
  path: string,
  body: unknown = {},
): Promise<Answer> {
  return answerOf<Answer>(await tenant.post(`${FLOWS}/${path}`, body))
}

function problemOf(response: LightMyRequestResponse) {
  const { code, errors } = response.json<{ code: string; errors?: { pointer: string }[] }>()
  return [response.statusCode, code, ...(errors ?? []).map(({ pointer }) => pointer)]
}

t.test('a draft is tested with sample data, and nothing leaves the house', async (t) => {
  const tenant = openTenant()
  const receiver = await startReceiver(t)
  await installPlugins(tenant, receiver.url)
  const { id } = await created(tenant, { ...GRAPH, status: 'draft' })
  const before = await rowsOf(tenant.id)
  const sent = receiver.received.length
  const data = { location: { country: 'US' }, customer_name: 'Ann' }
  const well = await test(tenant, `${id}/test`, { data, now: '2030-01-01T12:00:00Z' })
  t.match(well, {
    version: null,
    start: { would_start: true, reason: null },
    end: { status: 'completed', reason: 'done' },
    steps: [
      { step_id: 'condition_1', status: 'simulated', port: 'true', would: null },
      {
        step_id: 'action_1',
        status: 'simulated',
        port: 'success',
        input: { template: 'welcome_template', variables: { customer_name: 'Ann' } },
        would: { kind: 'action', action_type: 'send_welcome_email' },
        finished_at: '2030-01-01T12:00:00.000Z',
      },
    ],
  })
  const mocks = { action_1: { error: { code: 'http_500', message: 'It broke.' } } }
  const badly = await test(tenant, `${id}/test`, { data, mocks })
  t.match(badly.steps.slice(1), [
    { step_id: 'action_1', status: 'failed', port: 'error' },
    { step_id: 'error_handler_1', status: 'simulated', would: { action_type: 'log_error' } },
  ])
  const missing = await test(tenant, `${id}/test`, { data: { location: { country: 'US' } } })
  t.match(missing.steps[1], { status: 'failed', error: { code: 'template_error', message: /customer_name/ } })
  t.strictSame(await rowsOf(tenant.id), before, 'no row has changed')
  t.equal(receiver.received.length, sent, 'nobody was called')
})

t.test('the draft, a version or a definition sent along is tested', async (t) => {
  const tenant = openTenant()
  const { id } = await created(tenant, { ...LINEAR, name: 'first' })
  const titled = (title: string) =>
    taskFlow({ steps: [{ id: 'task', type: 'action', action_type: 'create_task', input: { title } }] })
  answerOf(await tenant.put(`${FLOWS}/${id}`, titled('draft')))
  const titleOf = ({ steps }: Answer) => (steps.at(-1)?.input as { title: string }).title
  const data = { email: 'ann@example.com', name: 'Ann' }
  t.equal(titleOf(await test(tenant, `${id}/test`)), 'draft')
  const version = await test(tenant, `${id}/test`, { version: 1, data })
  t.equal(version.version, 1)
  t.equal(titleOf(version), 'Follow up with Ann')
  t.equal(titleOf(await test(tenant, `${id}/test`, { definition: titled('sent') })), 'sent')
  t.equal(titleOf(await test(tenant, 'test', { definition: titled('unsaved') })), 'unsaved')
  const list = answerOf<{ data: unknown[] }>(await tenant.get(FLOWS))
  t.equal(list.data.length, 1)
})

t.test('a past event starts a test again, whatever it has started already', async (t) => {
  const tenant = openTenant()
  const filter = { field: 'total', operator: 'gte', value: 100 }
  const trigger = { type: 'event', event_types: ['order.created'], filter }
  const { id } = await created(tenant, taskFlow({ trigger, status: 'active' }))
  const send = async (event: string, data: unknown) =>
    answerOf<{ id: string }>(await tenant.post('/api/events', { event, data }), 202).id
  const large = await send('order.created', { order_id: 'o1', total: 120 })
  const small = await send('order.created', { order_id: 'o2', total: 20 })
  const other = await send('order.paid', { order_id: 'o3', total: 120 })
  const before = await rowsOf(tenant.id)
  const started = await test(tenant, `${id}/test`, { event_id: large })
  t.match(started, { start: { would_start: true, already_started: false }, end: { status: 'completed' } })
  t.match(await test(tenant, `${id}/test`, { event_id: small }), {
    start: { would_start: false, reason: 'filter' },
    end: null,
    steps: { length: 0 },
  })
  t.match(await test(tenant, `${id}/test`, { event_id: other }), { start: { reason: 'event_type' } })
  const anyway = await test(tenant, `${id}/test`, { event_id: small, start_anyway: true })
  t.match(anyway, {
    start: { would_start: false },
    end: { status: 'completed' },
    steps: [{ step_id: 'task' }],
  })
  t.strictSame(await rowsOf(tenant.id), before, 'no row has changed')

  const foreign = openTenant()
  const theirs = await created(foreign, taskFlow())
  const refused = await foreign.post(`${FLOWS}/${theirs.id}/test`, { event_id: large })
  t.strictSame(problemOf(refused), [404, 'event_not_found'])
  t.notMatch(refused.body, large)
})

t.test('sample data that is left out is made up for the trigger that was chosen', async (t) => {
  const tenant = openTenant()
  const type = 'lesson.booked'
  const schema = { type: 'object', properties: { pupil: { type: 'string' } }, required: ['pupil'] }
  await tenant.put(`/api/event-types/${type}`, { description: 'A lesson was booked', schema })
  const { id } = await created(
    tenant,
    taskFlow({
      trigger: undefined,
      triggers: [
        { id: 'booked', type: 'event', event_types: [type] },
        { id: 'hand', type: 'manual' },
        { id: 'nightly', type: 'schedule', cron: '0 3 * * *', timezone: 'Europe/Berlin' },
        { id: 'inlet', type: 'webhook' },
      ],
      steps: [
        {
          id: 'task',
          type: 'action',
          action_type: 'create_task',
          input: { title: 'For {{trigger | json}}' },
        },
      ],
    }),
  )
  const titleOf = ({ steps }: Answer) => (steps[0]?.input as { title: string }).title
  t.match(await test(tenant, `${id}/test`), {
    start: { trigger: 'booked' },
    steps: [{ input: { title: 'For {"pupil":"text"}' } }],
  })
  for (const trigger of ['hand', 'inlet']) {
    const answer = await test(tenant, `${id}/test`, { trigger })
    t.match(answer.start, { would_start: true, trigger })
    t.equal(titleOf(answer), 'For {}')
  }
  const nightly = await test(tenant, `${id}/test`, { trigger: 'nightly', now: '2030-01-01T02:00:00Z' })
  t.match(titleOf(nightly), '"scheduled_at":"2030-01-01T02:00:00.000Z"')
  const unknown = await tenant.post(`${FLOWS}/${id}/test`, { trigger: 'weekly' })
  t.strictSame(problemOf(unknown), [400, 'invalid_request', '/trigger'])
})

t.test('a request is given to a webhook trigger as its inlet would give it', async (t) => {
  const tenant = openTenant()
  const read = {
    id: 'read',
    type: 'set',
    variables: {
      body: '{{trigger.body}}',
      headers: '{{trigger.headers}}',
      query: '{{trigger.query}}',
    },
  }
  const { id } = await created(tenant, {
    name: 'Inlet',
    triggers: [
      { type: 'manual' },
      { id: 'plain', type: 'webhook' },
      {
        id: 'mine',
        type: 'webhook',
        headers: ['x-mine'],
        filter: { field: 'trigger.query.shop', operator: 'equals', value: 'ana' },
      },
    ],
    steps: [read],
  })
  const seen = async (body: unknown): Promise<unknown> =>
    ((await test(tenant, `${id}/test`, body)) as Answer & { variables: unknown }).variables
  const headers = {
    'Content-Type': 'application/x-www-form-urlencoded',
    'X-Shopify-Topic': 'orders/paid',
    'X-Mine': 'yes',
    authorization: 'Bearer secret',
    'x-other': 'not seen',
  }
  const query = { shop: 'ana', tag: ['a', 'b'], access_token: 'secret' }
  const request = { headers, query, body: 'email=ana%40example.com&tag=1&tag=2' }
  const form = { email: 'ana@example.com', tag: ['1', '2'] }
  const shown = { 'content-type': headers['Content-Type'], 'x-shopify-topic': 'orders/paid' }
  const told = { shop: 'ana', tag: ['a', 'b'] }
  t.strictSame(await seen({ trigger: 'mine', request }), {
    body: form,
    headers: { ...shown, 'x-mine': 'yes' },
    query: told,
  })
  t.strictSame(await seen({ request }), { body: form, headers: shown, query: told }, 'else the first webhook')
  t.strictSame(await seen({ trigger: 'mine', data: [1], request: { query: { shop: 'ana' } } }), {
    body: [1],
    headers: {},
    query: { shop: 'ana' },
  })
  const type = { 'content-type': 'text/plain' }
  t.match(await seen({ trigger: 'plain', request: { headers: type, body: 'Hello' } }), { body: 'Hello' })
  t.match(await seen({ trigger: 'plain', request: { headers: type, body: '' } }), { body: null })
  t.match(await test(tenant, `${id}/test`, { trigger: 'mine', request: { query: { shop: 'rui' } } }), {
    start: { would_start: false, reason: 'filter' },
  })
  const json = { 'content-type': 'application/json' }
  const wrong: [body: unknown, pointer: string][] = [
    [{ request: { headers: json, body: '{"a":' } }, '/request/body'],
    [{ request: { headers: { 'content-type': 'image/png' }, body: 'x' } }, '/request/headers/content-type'],
    [{ request: { body: '{}' } }, '/request/headers/content-type'],
    [
      { request: { headers: { 'content-type': headers['Content-Type'] }, body: 'note=a%00b' } },
      '/request/body/note',
    ],
    [{ data: {}, request: { headers: json, body: '{}' } }, '/data'],
    [{ trigger: 'trigger_1', request: {} }, '/request'],
    [{ request: { query: { a: { b: 'c' } } } }, '/request/query/a'],
  ]
  for (const [body, pointer] of wrong) {
    const response = await tenant.post(`${FLOWS}/${id}/test`, body)
    t.strictSame(problemOf(response).slice(0, 3), [400, 'invalid_request', pointer], response.body)
  }
})

t.test('mocks of a list stand each for an item of the loop', async (t) => {
  const tenant = openTenant()
  const call = {
    id: 'call',
    type: 'http',
    method: 'GET',
    url: 'https://example.com/{{item}}',
    retry: { max_retries: 0 },
  }
  const { id } = await created(tenant, {
    name: 'Loop',
    trigger: { type: 'manual' },
    steps: [
      {
        id: 'each',
        type: 'for_each',
        list: 'trigger.list',
        item_errors: 'continue',
        body: [call],
      },
      { ...call, id: 'alone', url: 'https://example.com/' },
    ],
  })
  const output = (body: string): object => ({ output: { status: 200, body } })
  const error = { code: 'http_4xx', message: 'No.' }
  const given = async (mocks: object): Promise<{ steps: string[]; unused: string[] }> => {
    const { steps, unused_mocks: unused } = await test(tenant, `${id}/test`, {
      data: { list: ['a', 'b', 'c', 'd'] },
      mocks,
    })
    const lines = steps
      .filter(({ step_id }) => step_id === 'call')
      .map(({ status, output: said }) => {
        const body = (said as { body?: unknown } | null)?.body
        return status === 'failed' ? status : `${status} ${typeof body === 'string' ? body : '-'}`
      })
    return { steps: lines, unused }
  }
  const one = await given({ call: [output('first'), { error }, null] })
  t.strictSame(one, {
    steps: ['simulated first', 'failed', 'simulated -', 'simulated -'],
    unused: [],
  })
  const two = await given({
    'call:1': output('by its index'),
    call: [null, output('by the list'), output('third'), { error }, output('a fifth')],
    alone: output('x'),
  })
  t.strictSame(two, {
    steps: ['simulated -', 'simulated by its index', 'simulated third', 'failed'],
    unused: ['call:4'],
  })
  const wrong: [mocks: object, pointer: string][] = [
    [{ alone: [output('x')] }, '/mocks/alone'],
    [{ call: [{ outputs: 1 }] }, '/mocks/call/0/outputs'],
    [{ call: [{ error: { code: 'x' } }] }, '/mocks/call/0/error/message'],
    [{ call: ['x'] }, '/mocks/call/0'],
    [{ call: 'x' }, '/mocks/call'],
    [{ call: { outputs: 1 } }, '/mocks/call/outputs'],
  ]
  for (const [mocks, pointer] of wrong) {
    const response = await tenant.post(`${FLOWS}/${id}/test`, { mocks })
    t.strictSame(problemOf(response), [400, 'invalid_request', pointer], response.body)
  }
})

t.test('what cannot be tested says why', async (t) => {
  const tenant = openTenant()
  const { id } = await created(tenant, taskFlow())
  const post = async (path: string, body: unknown) => problemOf(await tenant.post(`${FLOWS}/${path}`, body))
  t.match(await post(`${id}/test`, { definition: { name: 'x', steps: [] } }), [422, 'flow_invalid'])
  t.match(await post('test', { definition: {} }), [422, 'flow_invalid'])
  t.match(await post('test', {}), [400, 'invalid_request'])
  t.strictSame(await post(`${id}/test`, { version: 9 }), [404, 'flow_version_not_found'])
  t.strictSame(await post(`${crypto.randomUUID()}/test`, {}), [404, 'flow_not_found'])
  const both = { version: 1, definition: taskFlow() }
  t.strictSame(await post(`${id}/test`, both), [400, 'invalid_request', '/version'])
  const sample = { event_id: crypto.randomUUID(), data: {} }
  t.strictSame(await post(`${id}/test`, sample), [400, 'invalid_request', '/data'])
  t.match(await post(`${id}/test`, { mocks: { task: { outptu: 1 } } }), [400, 'invalid_request'])
  t.match(await post(`${id}/test`, { now: 'tomorrow' }), [400, 'invalid_request'])
})

t.test('secrets in what would be sent are not shown', async (t) => {
  const tenant = openTenant()
  const receiver = await startReceiver(t)
  const call = {
    id: 'call',
    type: 'http',
    method: 'POST',
    url: 'https://crm.example/leads',
    headers: { authorization: 'Bearer aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' },
    body: { email: '{{trigger.email}}' },
  }
  const definition = taskFlow({ steps: [call] })
  const answer = await tenant.post(`${FLOWS}/test`, { definition, data: { email: 'ann@example.com' } })
  t.match(answerOf(answer), {
    steps: [{ input: { url: 'https://crm.example/leads', body: { email: 'ann@example.com' } } }],
  })
  t.notMatch(answer.body, 'aaaaaaaa')
  t.equal(receiver.received.length, 0)
})

/** All rows of a tenant but the audit log's, which tells of tests, too. */
async function rowsOf(tenantId: string): Promise<Record<string, unknown[]>> {
  const rows = await snapshotTenant(db, tenantId)
  delete rows['audit_log']
  return rows
}

t.test('a test ends at a step, whatever is wrong behind it or beside it', async (t) => {
  const tenant = openTenant()
  const call = (id: string, rest: object = {}) => {
    return { id, type: 'http', url: 'https://api.example.com/', on_success: 'end', ...rest }
  }
  const definition = {
    name: 'Half done',
    status: 'draft',
    triggers: [{ type: 'manual' }],
    start: 'large',
    steps: [
      {
        id: 'large',
        type: 'condition',
        field: 'trigger.total',
        operator: 'gte',
        value: 50,
        on_true: 'each',
        on_false: 'other',
      },
      { id: 'each', type: 'for_each', list: '{{trigger.items}}', body: 'ask', on_done: 'tell' },
      call('ask', { on_success: 'note' }),
      { id: 'note', type: 'set', variables: { x: '{{item}}' }, next: 'end' },
      call('tell', { on_success: 'wrong', on_error: 'alarm' }),
      { id: 'wrong', type: 'delay', duration: 'soon', next: 'end' },
      call('other', { url: '{{trigger.x | nonsense}}' }),
    ],
    error_handlers: [call('alarm', { timeout: 'long' })],
  }
  const { id } = await created(tenant, definition)
  const before = await rowsOf(tenant.id)
  const data = { total: 70, items: ['a', 'b'] }
  const whole = await tenant.post(`${FLOWS}/${id}/test`, { data })
  t.match(problemOf(whole), [422, 'flow_invalid', '/steps/5/duration'])
  const idsOf = ({ steps }: Answer) =>
    steps.map(({ step_id: step, iteration }) => (iteration === '' ? step : `${step}:${iteration}`))
  const reached = await test(tenant, `${id}/test`, { data, until: 'tell' })
  t.match(reached, { start: { would_start: true }, end: null, until_reached: true, limit: null })
  t.strictSame(idsOf(reached), [
    'large',
    'ask:0',
    'note:0',
    'each:0',
    'ask:1',
    'note:1',
    'each:1',
    'each',
    'tell',
  ])
  t.notMatch(JSON.stringify(reached.problems), /nonsense|duration/)
  t.strictSame(idsOf(await test(tenant, `${id}/test`, { data, until: 'ask' })), ['large', 'ask:0'])
  t.equal(idsOf(await test(tenant, `${id}/test`, { data, until: 'each' })).at(-1), 'each')
  const elsewhere = await test(tenant, `${id}/test`, { data: { total: 1 }, until: 'tell' })
  t.match(elsewhere, { until_reached: false, end: { status: 'completed' }, steps: { length: 1 } })
  const failing = { ask: { error: { code: 'http_4xx', message: 'No' } } }
  t.match(await test(tenant, `${id}/test`, { data, until: 'tell', mocks: failing }), {
    until_reached: false,
    end: { status: 'failed', error: { step_id: 'ask' } },
  })
  t.match(
    await test(tenant, `${id}/test`, {
      definition: { ...definition, steps: [call('a')], start: 'a', error_handlers: [] },
    }),
    {
      until_reached: null,
      end: { status: 'completed' },
    },
  )

  const wrong = await tenant.post(`${FLOWS}/${id}/test`, { data, until: 'wrong' })
  t.strictSame(problemOf(wrong), [422, 'flow_invalid', '/steps/5/duration'], 'by its place in the draft')
  const handler = await tenant.post(`${FLOWS}/${id}/test`, { data, until: 'alarm' })
  t.equal(handler.statusCode, 422)
  const linear = { ...LINEAR, name: 'linear' }
  const known = await tenant.post(`${FLOWS}/test`, { definition: linear, until: 'nobody' })
  t.strictSame(problemOf(known), [400, 'invalid_request', '/until'])
  t.strictSame(await rowsOf(tenant.id), before, 'no row has changed')
})
