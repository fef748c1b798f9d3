import { sql } from 'kysely'
import t from 'tap'
import { startApp, type Tenant, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { feedSettled } from '#test/modules/event/support.ts'
import { answerOf, bodyOf, codeOf, created, type FlowAnswer, FLOWS, taskFlow } from '../support.ts'

const service = await startApp(t)
const { app, db } = service
const matcher = app.flowEngine.createMatcher()
const engine = app.flowEngine.createEngine()

/** A flow that waits for a day before it does anything. */
const waiting = (rest: Record<string, unknown> = {}) =>
  taskFlow({
    status: 'active',
    steps: [
      { id: 'pause', type: 'delay', duration: '1 day' },
      { id: 'task', type: 'action', action_type: 'create_task', input: { title: 'Look' } },
    ],
    ...rest,
  })

async function order(shop: Tenant): Promise<void> {
  bodyOf(await shop.post('/api/events', { event: 'order.created', data: { order_id: 'ord_1' } }), 202)
  await feedSettled({ db })
  while ((await matcher.pass([shop.id], null)) === 'more' || matcher.behind.size > 0);
}

const executionsOf = async ({ id }: { id: string }) =>
  db
    .selectFrom('automation_executions')
    .select(['version', 'status', 'reason'])
    .where('flow_id', '=', id)
    .orderBy('id')
    .execute()

t.test('of two changes of the same revision one wins, and the other gets the flow as it is', async (t) => {
  const shop = service.tenant()
  const flow = await created(shop, taskFlow())
  const url = `${FLOWS}/${flow.id}`
  const etag = (await shop.get(url)).headers['etag'] as string
  t.equal(etag, `"${flow.revision}"`)
  const answers = await Promise.all(
    Array.from({ length: 5 }, (_, index) => put(shop, url, taskFlow({ name: `Name ${index}` }), etag)),
  )
  t.strictSame(answers.map(({ statusCode }) => statusCode).sort(), [200, 412, 412, 412, 412])
  const winner = answers.find(({ statusCode }) => statusCode === 200)
  const lost = answers.find(({ statusCode }) => statusCode === 412)
  t.ok(lost && winner)
  const problem = lost?.json<{ code: string; revision: number; flow: FlowAnswer }>()
  t.equal(problem?.code, 'flow_changed')
  t.equal(problem?.revision, flow.revision + 1)
  t.equal(lost?.headers['etag'], `"${flow.revision + 1}"`)
  t.strictSame(problem?.flow.definition, winner?.json<FlowAnswer>().definition)
  t.strictSame(problem?.flow, answerOf(await shop.get(url)))

  t.equal((await put(shop, url, taskFlow(), `"0", W/"${flow.revision + 1}"`)).statusCode, 200)
  t.equal((await put(shop, url, taskFlow(), '*')).statusCode, 200)
  t.equal((await put(shop, url, taskFlow())).statusCode, 200, 'without If-Match the last one wins')
  for (const action of ['publish', 'activate', 'deactivate']) {
    t.equal(codeOf(await shop.post(`${url}/${action}`, undefined, { 'if-match': etag })), '412 flow_changed')
  }
  t.equal(codeOf(await remove(shop, url, etag)), '412 flow_changed')
  t.equal((await remove(shop, url, `"${flow.revision + 4}"`)).statusCode, 204)
})

t.test('changes at the same time all come out, one after the other', async (t) => {
  const shop = service.tenant()
  const { id } = await created(shop, taskFlow({ status: 'active' }))
  const url = `${FLOWS}/${id}`
  const answers = await Promise.all([
    shop.post(`${url}/publish`),
    shop.post(`${url}/deactivate`),
    shop.post(`${url}/activate`),
    put(shop, url, taskFlow({ name: 'Other' })),
  ])
  t.strictSame(
    answers.map(({ statusCode }) => statusCode),
    [200, 200, 200, 200],
  )
})

t.test('what is published runs on until the draft is published', async (t) => {
  const shop = service.tenant()
  const flow = await created(shop, waiting())
  const url = `${FLOWS}/${flow.id}`
  await order(shop)
  const changed = waiting({ variables: { edition: 2 } })
  const replaced = answerOf(await put(shop, url, changed))
  t.match(replaced, { status: 'active', published_version: 1, has_unpublished_changes: true })
  await order(shop)
  t.strictSame(
    (await executionsOf(flow)).map(({ version }) => version),
    [1, 1],
  )

  const published = bodyOf(await shop.post(`${url}/publish`, { note: 'Thanks twice' }))
  t.match(published, {
    published_version: 2,
    has_unpublished_changes: false,
    running_on_older_versions: 2,
    cancelled: 0,
  })
  await order(shop)
  t.strictSame(
    (await executionsOf(flow)).map(({ version, status }) => `${version} ${status}`),
    ['1 queued', '1 queued', '2 queued'],
    'executions stay with their version',
  )
  t.match(bodyOf(await shop.get(`${url}/versions`)), {
    data: [
      { version: 2, is_published: true, running: 1, note: 'Thanks twice', created_by: { kind: 'platform' } },
      { version: 1, is_published: false, running: 2, note: null, created_by: { kind: 'platform' } },
    ],
    next_cursor: null,
  })
  t.strictSame(answerOf(await shop.get(`${url}/versions/1`)).definition, flow.definition)
  t.strictSame(answerOf(await shop.get(`${url}/versions/2`)).definition, changed)
  t.equal(codeOf(await shop.get(`${url}/versions/3`)), '404 flow_version_not_found')
  t.equal(codeOf(await shop.get(`${url}/versions/0`)), '400 invalid_request')
  const first = bodyOf(await shop.get(`${url}/versions?limit=1`))
  const rest = await shop.get(`${url}/versions?limit=1&cursor=${String(first['next_cursor'])}`)
  t.match(bodyOf(rest), { data: [{ version: 1 }], next_cursor: null })
  for (const number of [2 ** 53 - 1, -(2 ** 53 - 1)]) {
    const cursor = Buffer.from(JSON.stringify([number])).toString('base64url')
    t.equal((await shop.get(`${url}/versions?cursor=${cursor}`)).statusCode, 200, 'no cursor is too large')
  }

  await put(shop, url, waiting({ variables: { edition: 3 } }))
  const third = bodyOf(await shop.post(`${url}/publish`, { cancel_running: true }))
  t.match(third, { published_version: 3, cancelled: 3, running_on_older_versions: 0 })
  t.strictSame(
    (await executionsOf(flow)).map(({ status, reason }) => `${status} ${reason ?? ''}`),
    Array(3).fill('cancelled version_replaced'),
  )
})

t.test('publishing what already runs makes no version, nor do the positions of a builder', async (t) => {
  const shop = service.tenant()
  const flow = await created(shop, taskFlow({ status: 'active' }))
  const url = `${FLOWS}/${flow.id}`
  t.match(bodyOf(await shop.post(`${url}/publish`)), { published_version: 1 })
  const moved = answerOf(
    await put(shop, url, taskFlow({ description: 'moved', layout: { task: { x: 10, y: 20 } } })),
  )
  t.match(moved, { has_unpublished_changes: false, definition: { layout: { task: { x: 10 } } } })
  t.match(bodyOf(await shop.post(`${url}/publish`)), { published_version: 1, description: 'moved' })
  t.match(answerOf(await put(shop, `${url}?publish=true`, taskFlow({ variables: { a: 1 } }))), {
    published_version: 2,
    has_unpublished_changes: false,
  })
  const broken = await put(shop, `${url}?publish=true`, taskFlow({ name: 'Broken', steps: [] }))
  t.equal(codeOf(broken), '422 flow_invalid')
  t.match(answerOf(await shop.get(url)), { name: 'Make a task', published_version: 2 }, 'nothing is stored')
})

t.test('a flow that is off starts nothing, and what is under way finishes or is cancelled', async (t) => {
  const shop = service.tenant()
  const flow = await created(shop, waiting())
  const url = `${FLOWS}/${flow.id}`
  await order(shop)
  await engine.drain()
  const off = bodyOf(await shop.post(`${url}/deactivate`))
  t.match(off, { status: 'inactive', published_version: 1, running: 1, cancelled: 0 })
  await order(shop)
  t.match((await executionsOf(flow))[1], { status: 'skipped', reason: 'not_active' })
  t.equal((await executionsOf(flow)).length, 2)

  await put(shop, url, waiting({ variables: { later: true } }))
  t.match(bodyOf(await shop.post(`${url}/publish`, { activate: false })), {
    status: 'inactive',
    published_version: 2,
  })
  t.match(answerOf(await shop.post(`${url}/activate`)), { status: 'active', published_version: 2 })
  await order(shop)
  t.strictSame(
    (await executionsOf(flow)).map(({ version, status }) => `${version} ${status}`),
    ['1 waiting', '1 skipped', '2 queued'],
  )
  const cancelled = bodyOf(await shop.post(`${url}/deactivate`, { cancel_running: true }))
  t.match(cancelled, { status: 'inactive', cancelled: 2, running: 0 })
  t.strictSame(
    (await executionsOf(flow)).map(({ status, reason }) => `${status} ${reason ?? ''}`),
    ['cancelled flow_deactivated', 'skipped not_active', 'cancelled flow_deactivated'],
  )
  const draft = await created(shop, taskFlow())
  t.match(bodyOf(await shop.post(`${FLOWS}/${draft.id}/deactivate`)), { status: 'draft' })
})

t.test('activating forgives the failures that paused a flow, and compiles it again', async (t) => {
  const shop = service.tenant()
  const plugin = { slug: 'tasks', name: 'tasks', webhook_url: 'http://127.0.0.1:9/' }
  const install = async () => {
    bodyOf(await shop.post('/api/plugins', plugin), 201)
    const actions = [{ action_type: 'note', title: 'Note' }]
    bodyOf(await shop.post('/api/plugins/tasks/register-actions', { actions }))
  }
  await install()
  const steps = [{ id: 'note', type: 'action', action_type: 'note', plugin_id: 'tasks' }]
  const flow = await created(shop, taskFlow({ status: 'active', steps }))
  const url = `${FLOWS}/${flow.id}`
  await db
    .updateTable('automation_flows')
    .set({ status: 'paused', status_reason: 'failing', consecutive_failures: 20 })
    .where('id', '=', flow.id)
    .execute()
  t.match(answerOf(await shop.get(url)), { status: 'paused', status_reason: 'failing' })
  t.equal((await shop.delete('/api/plugins/tasks')).statusCode, 204)
  t.equal(codeOf(await shop.post(`${url}/activate`)), '422 flow_invalid')
  await install()
  t.match(
    answerOf(await shop.post(`${url}/activate`)),
    { status: 'active', status_reason: null, consecutive_failures: 0, published_version: 2 },
    'the plugin is another one under the same name',
  )
})

t.test('a deleted flow is gone, with what it had under way', async (t) => {
  const shop = service.tenant()
  const flow = await created(shop, waiting())
  const url = `${FLOWS}/${flow.id}`
  await order(shop)
  t.equal((await shop.delete(url)).statusCode, 204)
  t.match(await executionsOf(flow), [{ status: 'cancelled', reason: 'flow_deleted' }])
  await order(shop)
  t.equal((await executionsOf(flow)).length, 1)
  t.equal(codeOf(await shop.get(url)), '404 flow_not_found')
  t.equal(codeOf(await shop.delete(url)), '404 flow_not_found')
  t.equal(codeOf(await put(shop, url, taskFlow())), '404 flow_not_found')
  for (const action of ['publish', 'activate', 'deactivate', 'duplicate', 'run']) {
    t.equal(codeOf(await shop.post(`${url}/${action}`)), '404 flow_not_found', action)
  }
  for (const part of ['versions', 'versions/1', 'export']) {
    t.equal(codeOf(await shop.get(`${url}/${part}`)), '404 flow_not_found', part)
  }
})

t.test('webhook triggers have their URL, schedules their next time', async (t) => {
  const shop = service.tenant()
  const triggers = [
    { id: 'hook', type: 'webhook' },
    { id: 'daily', type: 'schedule', cron: '0 9 * * *', timezone: 'Europe/Lisbon' },
  ]
  const flow = await created(shop, taskFlow({ trigger: undefined, triggers }))
  const url = `${FLOWS}/${flow.id}`
  const draft = bodyOf(await shop.get(url)) as { inlets: { url: string }[]; schedules: unknown[] }
  t.match(draft, { inlets: [{ trigger_id: 'hook', url: /\/hooks\/./ }], schedules: [] })
  const active = bodyOf(await shop.post(`${url}/activate`))
  t.match(active, { inlets: draft.inlets, schedules: [{ trigger_id: 'daily', next_fire_at: /^20/ }] })
  t.match(bodyOf(await shop.post(`${url}/deactivate`)), { inlets: draft.inlets, schedules: [] })

  const made = await shop.post('/api/keys', { name: 'v', kind: 'tenant', role: 'viewer' })
  const { key } = made.json<{ key: string }>()
  const seen = await app.inject({ url, headers: { authorization: `Bearer ${key}` } })
  t.match(seen.json(), { inlets: [{ trigger_id: 'hook', url: null }] }, 'viewers do not see what starts it')
})

t.test('viewers read, editors write, and every change is in the audit log', async (t) => {
  const shop = service.tenant()
  const flow = await created(shop, taskFlow({ triggers: [{ type: 'manual' }] }))
  const url = `${FLOWS}/${flow.id}`
  const keyOf = async (role: string): Promise<Record<string, string>> => {
    const made = await shop.post('/api/keys', { name: role, kind: 'tenant', role })
    return { authorization: `Bearer ${made.json<{ key: string }>().key}` }
  }
  const [viewer, editor] = [await keyOf('viewer'), await keyOf('editor')]
  const payload = taskFlow()
  const changes: [method: 'POST' | 'PUT' | 'DELETE', url: string, payload?: object][] = [
    ['POST', FLOWS, payload],
    ['PUT', url, payload],
    ['POST', `${url}/publish`],
    ['POST', `${url}/deactivate`],
    ['POST', `${url}/activate`],
    ['POST', `${url}/duplicate`],
    ['DELETE', url],
  ]
  for (const headers of [viewer, editor]) {
    for (const [method, path, body] of changes) {
      const answer = await app.inject({ method, url: path, headers, ...(body && { payload: body }) })
      if (headers === viewer) t.equal(codeOf(answer), '403 forbidden', `${method} ${path}`)
      else t.ok(answer.statusCode < 300, `${method} ${path}: ${answer.body}`)
    }
    for (const path of [FLOWS, url, `${url}/versions`]) {
      const { statusCode } = await app.inject({ url: path, headers })
      t.equal(statusCode, headers === viewer || path === FLOWS ? 200 : 404, path)
    }
    const exported = await app.inject({ url: `${url}/export`, headers })
    t.equal(exported.statusCode, headers === viewer ? 403 : 404, 'what can be imported elsewhere is whole')
  }
  const { rows } = await sql<{ action: string }>`
    select action from audit_log where tenant_id = ${shop.id} and target_kind = 'flow' and actor_id is not null
    order by id`.execute(db)
  t.strictSame(
    rows.map(({ action }) => action.replace('flow.', '')),
    ['created', 'updated', 'published', 'deactivated', 'activated', 'created', 'deleted'],
  )
})

t.test('viewers see no credentials that stand in a flow', async (t) => {
  const shop = service.tenant()
  const viewer = (await shop.post('/api/keys', { kind: 'tenant', role: 'viewer', name: 'v' })).json<{
    key: string
  }>()
  const call = {
    id: 'call',
    type: 'http',
    method: 'POST',
    url: 'https://example.com/orders?client=0123456789abcdef',
    headers: { Authorization: 'Bearer 0123456789abcdef0123456789', 'X-Partner': '0123456789abcdef' },
    body: { id: '{{trigger.order_id}}' },
  }
  const trigger = { type: 'event', event_types: ['order.created'] }
  const made = await shop.post(FLOWS, { name: 'Call', status: 'active', trigger, steps: [call] })
  t.equal(made.statusCode, 201, made.body)
  const url = `${FLOWS}/${made.json<{ id: string }>().id}`
  for (const path of [url, `${url}/versions/1`]) {
    const whole = await shop.get(path)
    t.match(whole.json(), { definition: { steps: [call] } }, path)
    const seen = await app.inject({ url: path, headers: { authorization: `Bearer ${viewer.key}` } })
    t.match(seen.json(), {
      definition: { steps: [{ id: 'call', url: 'https://example.com/orders?client=[redacted]' }] },
    })
    t.match(seen.json(), { definition: { steps: [{ headers: { Authorization: /redacted/ } }] } })
    t.notMatch(seen.body, /0123456789abcdef/, path)
  }
})

async function put(shop: Tenant, url: string, definition: unknown, ifMatch?: string) {
  return send('PUT', shop, url, definition, ifMatch)
}

async function remove(shop: Tenant, url: string, ifMatch: string) {
  return send('DELETE', shop, url, undefined, ifMatch)
}

async function send(method: 'PUT' | 'DELETE', shop: Tenant, url: string, body: unknown, ifMatch?: string) {
  return app.inject({
    method,
    url,
    headers: {
      authorization: `Bearer ${TEST_PLATFORM_KEY}`,
      'x-tenant-id': shop.id,
      ...(ifMatch !== undefined && { 'if-match': ifMatch }),
    },
    ...(body !== undefined && { payload: body as object }),
  })
}
