import { sql } from 'kysely'
import t from 'tap'
import { generateDocuments } from '#openapi/document.ts'
import { startApp, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { examplesOf, type OpenApiDocument } from '#test/support/openapi.ts'
import { type Received, startReceiver } from '#test/support/receiver.ts'
import { newId } from '#lib/ids.ts'
import { hashApiKey } from '#lib/secrets/api-key.ts'
import { hashToken } from '#lib/secrets/session-token.ts'
import { runnerOf } from '#test/modules/flow/support.ts'
import { Contract } from './contract.ts'
import { startProxy } from './proxy.ts'

const generated = await generateDocuments()
const document = JSON.parse(generated['openapi/openapi.json'] ?? '') as OpenApiDocument
const contract = new Contract(document)
const byId = new Map(contract.operations.map((one) => [String(one.operation.operationId), one]))

/** The platform and every plugin of the test. */
const receiver = await startReceiver(t)
const service = await startApp(t, { env: { PLATFORM_URL: receiver.url } })
const proxy = await startProxy(t, await service.app.listen({ host: '127.0.0.1', port: 0 }), contract)
const shop = service.tenant()
const runDue = runnerOf(service)
const sentExamples = new Map<string, Set<unknown>>()

interface Given {
  params?: Record<string, string>
  query?: Record<string, string>
  headers?: Record<string, string>
  /** In place of the document's example. */
  body?: unknown
  key?: string | null
  status?: number
  /** Done after each example. */
  after?: () => Promise<void>
}

/** The members of answers that the test goes on with. */
interface Body {
  id: string
  url: string
  execution_id: string
  source_id: string | null
  summary?: { rejected: number }
  deliveries: { id: string }[]
  data: { id: string }[]
  inlets: { trigger_id: string; url: string }[]
}

interface Answer {
  status: number
  headers: Headers
  text: string
  body: Body
}

/** Sends one request through the proxy. @throws {Error} unless it succeeds */
async function send(operationId: string, given: Given & { type?: string } = {}): Promise<Answer> {
  const { path, method, operation } = operationOf(operationId)
  const url = new URL(
    path.replaceAll(/\{(\w+)\}/g, (_, name: string) => given.params?.[name] ?? ''),
    proxy.url,
  )
  for (const [name, value] of Object.entries(given.query ?? {})) url.searchParams.set(name, value)
  const isOpen = operation.security !== undefined
  const response = await fetch(url, {
    method: method.toUpperCase(),
    headers: {
      ...(!isOpen && { authorization: `Bearer ${given.key ?? TEST_PLATFORM_KEY}`, 'x-tenant-id': shop.id }),
      // A form of parts names its border itself.
      ...(given.body !== undefined &&
        given.type !== MULTIPART && { 'content-type': given.type ?? 'application/json' }),
      ...given.headers,
    },
    ...(given.body !== undefined && { body: encoded(given.body, given.type) }),
  })
  const text = await response.text()
  const isJson = /json/.test(response.headers.get('content-type') ?? '')
  if (given.status === undefined ? !response.ok : response.status !== given.status) {
    throw new Error(`${operationId}: ${response.status} ${text}`)
  }
  const body = (isJson ? JSON.parse(text) : {}) as Body
  return { status: response.status, headers: response.headers, text, body }
}

const MULTIPART = 'multipart/form-data'

function encoded(body: unknown, type = 'application/json'): string | FormData | URLSearchParams {
  if (/json$/.test(type)) return JSON.stringify(body)
  if (typeof body === 'string') return body
  const fields = Object.entries(body as Record<string, string>)
  if (type !== MULTIPART) return new URLSearchParams(fields)
  const form = new FormData()
  for (const [name, value] of fields) form.append(name, value)
  return form
}

/** Sends every example that the document has for the operation, each of which has to succeed. */
async function examples(operationId: string, given: Given = {}): Promise<Answer[]> {
  const { requestBody } = operationOf(operationId).operation
  const answers: Answer[] = []
  for (const [type, content] of Object.entries(requestBody?.content ?? {})) {
    for (const body of examplesOf(content)) {
      answers.push(await send(operationId, { ...given, body, type }))
      await given.after?.()
      sentExamples.set(operationId, (sentExamples.get(operationId) ?? new Set()).add(body))
    }
  }
  if (answers.length === 0) throw new Error(`${operationId} has no example`)
  return answers
}

function idOf(answer: Answer | undefined): string {
  if (answer === undefined) throw new Error('there was no answer')
  return answer.body.id
}

function operationOf(operationId: string) {
  const found = byId.get(operationId)
  if (found === undefined) throw new Error(`there is no ${operationId}`)
  return found
}

const MANIFEST = examplesOf(
  operationOf('putManifest').operation.requestBody?.content['application/json'] ?? {},
)[0]
const LEAD = { lead_id: 123, name: 'Eva', email: 'eva@example.com', phone: '+351911111111', status: 'new' }

/** Answers as the platform and as plugins do, by the path. */
receiver.answer(({ method, path }: Received, response) => {
  const answers: Record<string, unknown> = {
    'GET /api/capabilities': MANIFEST,
    'GET /api/leads/123': LEAD,
    'POST /api/customers': { customer_id: 'cus_1', email: 'ada@example.com', name: 'Ada' },
    'POST /accept': { queued: true },
    'POST /fail': { error: 'There is no such list.' },
  }
  const status = path === '/accept' ? 202 : path === '/fail' ? 422 : 200
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(answers[`${method} ${path}`] ?? {}))
})

t.test('health and metrics', async () => {
  await send('getLiveness', { key: null })
  await send('getReadiness', { key: null })
  await send('getMetrics')
})

t.test('a tenant, its platform and its keys', async (t) => {
  await send('getTenant')
  await examples('changeTenant')
  await examples('setQuotas')
  await send('getUsage')
  await send('changeTenant', { body: { strict_events: false } })
  await examples('setPlatformSettings')
  await send('setPlatformSettings', { body: { url: null } })
  t.match((await send('getPlatformSettings')).body, { source: 'service' })
  const [key] = await examples('createKey')
  await send('listKeys')
  await send('getKey', { params: { id: idOf(key) } })
  await send('revokeKey', { params: { id: idOf(key) } })
  const { body: log } = await send('listAuditLog', { query: { limit: '5' } })
  await send('getAuditLogEntry', { params: { id: log.data[0]?.id ?? '' } })
})

t.test('sessions', async (t) => {
  await send('getSession')
  const [byKey, byLink] = examplesOf(
    operationOf('createSession').operation.requestBody?.content['application/json'] ?? {},
  ) as [{ key: string }, { portal_token: string }]
  const [link] = await examples('createPortalSession')
  // The keys of the examples are made live.
  await service.db
    .updateTable('portal_links')
    .set({ hash: hashToken(byLink.portal_token) })
    .where('id', '=', idOf(link))
    .execute()
  const made = await send('createKey', { body: { name: 'desk', kind: 'tenant', role: 'viewer' } })
  await service.db
    .updateTable('api_keys')
    .set({ hash: hashApiKey(byKey.key) })
    .where('id', '=', made.body.id)
    .execute()
  const [session] = await examples('createSession')
  t.match(session?.headers.get('set-cookie'), /^bcs_session=/)
  const { body: sessions } = await send('listSessions')
  await send('revokeSession', { params: { id: sessions.data[0]?.id ?? '' } })
  await send('endSession')
  await send('listPortalSessions')
  await send('revokePortalSessions', { query: { label: 'user-4711' } })
})

t.test('connections and variables', async () => {
  await examples('createConnection')
  await send('listConnections', { query: { limit: '10' } })
  await send('getConnection', { params: { name: 'scores' } })
  await examples('changeConnection', { params: { name: 'scores' } })
  await send('deleteConnection', { params: { name: 'scores' }, query: { force: 'true' } })
  await examples('setVariable', { params: { name: 'support_email' } })
  await send('listVariables')
  await send('getVariable', { params: { name: 'support_email' } })
  await send('deleteVariable', { params: { name: 'support_email' } })
})

t.test('bulk changes that became jobs', async () => {
  const id = newId()
  await service.db
    .insertInto('bulk_changes')
    .values({ id, tenant_id: shop.id, kind: 'cancel', request: '{}', actor: '{}' })
    .execute()
  await send('listBulkChanges', { query: { limit: '10' } })
  await send('getBulkChange', { params: { id } })
  await send('cancelBulkChange', { params: { id } })
})

t.test('searching, and how the service stands', async () => {
  await send('search', { query: { q: 'order' } })
  await send('getOperation')
  await send('listTenants', { query: { q: shop.id.slice(0, 8), limit: '1' } })
})

t.test('bulk retries of deliveries', async () => {
  await examples('retryDeliveries')
  const { body } = await send('retryDeliveries', { body: { status: ['failed', 'retry'] } })
  await send('listDeliveryRetries', { query: { limit: '10' } })
  await send('getDeliveryRetry', { params: { id: body.id } })
  await send('cancelDeliveryRetry', { params: { id: body.id } })
})

t.test('events that were set aside', async () => {
  const { body: event } = await send('createEvents', { body: { event: 'order.created', data: {} } })
  await sql`insert into set_aside_events (tenant_id, event_id, reason)
    select tenant_id, id, 'The database refused it (SQLSTATE 22023).' from events where id = ${event.id}`.execute(
    service.db,
  )
  await send('listSetAsideEvents', { query: { limit: '10' } })
  await send('takeUpSetAsideEvent', { params: { id: event.id } })
})

t.test('plugins, their actions and capabilities', async (t) => {
  const params = { slug: 'email-marketing' }
  const [registered] = await examples('registerPlugin')
  await send('listPlugins', { query: { limit: '1' } })
  const read = await send('getPlugin', { params })
  t.equal(read.body.id, registered?.body.id)
  await examples('replacePlugin', { params, headers: { 'if-match': read.headers.get('etag') ?? '' } })
  await send('replacePlugin', {
    params,
    headers: { 'if-match': '"0"' },
    body: { name: 'Late', webhook_url: receiver.url },
    status: 412,
  })
  await examples('patchPlugin', { params })
  await send('patchPlugin', { params, body: { webhook_url: `${receiver.url}/hook`, events: ['*'] } })
  await examples('registerActions', { params })
  const { headers } = await send('listPluginActions', { params })
  await send('listPluginActions', {
    params,
    headers: { 'if-none-match': headers.get('etag') ?? '' },
    status: 304,
  })
  await send('getPluginUsage', { params })
  await send('listActions', { query: { group: 'plugin' } })
  const [action] = (await send('listPluginActions', { params })).body.data as unknown as {
    action_type: string
  }[]
  await examples('chooseActionOwner', { params: { action_type: action?.action_type ?? '' } })
  await examples('testSubscriptions', { params })
  await examples('rotateSecret', { params })
  await send('rotateSecret', { params })
  t.match((await send('testPlugin', { params })).body, { delivered: true })
  await send('pausePlugin', { params })
  await examples('resumePlugin', { params })

  const loyalty = { slug: 'loyalty' }
  await send('registerPlugin', { body: { name: 'Loyalty', slug: 'loyalty', webhook_url: receiver.url } })
  await examples('putManifest', { params: loyalty })
  await send('refreshCapabilities', { params: loyalty })
  await send('getPluginCapabilities', { params: loyalty })
  await send('listCapabilities', { query: { kind: 'actions' } })
})

t.test('events, deliveries and replays', async (t) => {
  const params = { name: 'loyalty.cards_issued' }
  t.equal((await examples('putEventType', { params })).at(-1)?.status, 201)
  t.equal((await examples('putEventType', { params })).at(-1)?.status, 200)
  await send('getEventType', { params })
  await send('listEventTypes', { query: { source: 'tenant' } })
  await send('deleteEventType', { params })
  const segment = { segment: 'letters' }
  await examples('assignEventSegment', { params: segment })
  await send('assignEventSegment', { params: segment, body: { plugin: 'loyalty' } })
  await send('listEventSegments', { query: { limit: '1' } })
  await send('releaseEventSegment', { params: segment })

  const taken = await examples('createEvents')
  t.same(
    taken.map(({ body }) => body.summary?.rejected ?? 0),
    taken.map(() => 0),
  )
  const causation = {
    'x-causation-id': crypto.randomUUID(),
    'x-causation-depth': '1',
    'x-causation-token': 'abc',
  }
  const { body: event } = await send('createEvents', {
    headers: { 'idempotency-key': 'order-1', ...causation },
    body: { event: 'order.created', data: { order_id: 'ord_1' } },
  })
  t.equal(event.source_id, 'order-1')
  await examples('receiveAutomationWebhook', { headers: { 'idempotency-key': 'product-1' } })
  await send('processDeliveries')
  await send('listEvents', { query: { limit: '2' } })
  await send('listEvents', { query: { order: 'desc', q: event.id, source: 'api' } })
  await send('listEventTypes', { query: { include: 'usage', category: 'order' } })
  const { body: detail } = await send('getEvent', { params: { id: event.id } })
  t.match(detail.deliveries, [{ plugin: 'email-marketing' }])
  await examples('replayEvent', { params: { id: event.id } })
  await send('replayEvent', { params: { id: event.id } })
  await send('listDeliveries', { query: { plugin: 'email-marketing' } })
  await send('getDeliveryStats', { query: { group: 'plugin' } })
  const csv = await send('getPluginStats', {
    params: { slug: 'email-marketing' },
    query: { group: 'event', step: '1h' },
    headers: { accept: 'text/csv' },
  })
  t.match(csv.headers.get('content-type'), /^text\/csv/)
  await send('getExecutionStats', { query: { group: 'flow' } })
  await send('getActionStats', { query: { group: 'action' } })
  await send('getOverview', { query: { hours: '2' } })
  const delivery = { id: detail.deliveries[0]?.id ?? '' }
  await send('getDelivery', { params: delivery })
  await send('retryDelivery', { params: delivery })

  const [estimate, replay] = await examples('createReplay', { params: { slug: 'email-marketing' } })
  t.same([estimate?.status, replay?.status], [200, 202])
  await send('listReplays')
  await send('getReplay', { params: { id: idOf(replay) } })
  await send('cancelReplay', { params: { id: idOf(replay) } })

  const [counting, recovery] = await examples('createRecovery')
  t.same([counting?.status, recovery?.status], [202, 202])
  await send('listRecoveries')
  const recovered = { id: idOf(recovery) }
  await send('getRecovery', { params: recovered })
  await send('listRecoveredPlugins', { params: recovered })
  await send('cancelRecovery', { params: recovered })
})

t.test('actions by dispatch', async (t) => {
  const [done] = await examples('dispatchActions')
  t.match(done?.body, { results: [{ success: true }, { success: true }] })
  await examples('dispatchActionsAlias')
  const { body: log } = await send('listEventLog', { query: { execution: 'flow_123' } })
  await send('getEventLogEntry', { params: { id: log.data[0]?.id ?? '' } })

  const actions = [{ action_type: 'accept', title: 'Accept', endpoint: '/accept' }]
  await send('registerActions', { params: { slug: 'loyalty' }, body: { actions } })
  await send('dispatchActions', { body: { events: [{ action_type: 'accept', payload: {} }] } })
  const asked = receiver.received.find(({ path }) => path === '/accept')
  const { invocation_id } = JSON.parse(asked?.body ?? '') as { invocation_id: string }
  await examples('completeAction', {
    params: { invocation_id },
    headers: { 'x-completion-token': String(asked?.headers['x-completion-token']) },
  })
})

t.test('flows and their executions', async (t) => {
  await examples('validateFlow')
  const flows = await examples('createFlow')
  await examples('testDefinition')
  await examples('importFlow')
  await send('listFlows', { query: { status: 'active' } })
  await send('listOperators')
  const params = { id: idOf(flows[1]) }
  const { headers } = await send('getFlow', { params })
  await examples('replaceFlow', { params })
  await send('replaceFlow', {
    params,
    headers: { 'if-match': headers.get('etag') ?? '' },
    body: { name: 'Late' },
    status: 412,
  })
  await examples('publishFlow', { params })
  await send('activateFlow', { params })
  await examples('activateFlow', { params })
  await examples('catchUpFlow', { params })
  await examples('previewSchedule')
  await examples('testFlow', { params })
  await send('testFlow', { params })
  await examples('testFlowOnEvents', { params })
  await examples('deactivateFlow', { params })
  const [copy] = await examples('duplicateFlow', { params })
  await send('exportFlow', { params })
  await send('listFlowVersions', { params })
  await send('getFlowVersion', { params: { ...params, version: '1' } })
  await send('deleteFlow', { params: { id: idOf(copy) } })

  const { body: byHand } = await send('createFlow', {
    body: {
      name: 'By hand',
      status: 'active',
      triggers: [{ type: 'manual' }, { id: 'hook', type: 'webhook' }],
      steps: [
        { id: 'action_1', type: 'http', method: 'POST', url: `${receiver.url}/done`, on_success: 'action_2' },
        { id: 'action_2', type: 'http', method: 'POST', url: `${receiver.url}/fail` },
      ],
    },
  })
  const flow = { id: byHand.id }
  const [run] = await examples('runFlow', { params: flow, headers: { 'idempotency-key': 'click-1' } })
  t.match(run?.body, { status: 'queued' })
  const waits = { name: 'Waits', trigger: { type: 'manual' }, status: 'active' }
  const { body: waiting } = await send('createFlow', {
    body: { ...waits, steps: [{ id: 'later', type: 'delay', duration: '1 day' }] },
  })
  const { body: held } = await send('runFlow', { params: { id: waiting.id } })
  const { body: inlet } = await send('rotateInlet', { params: { ...flow, trigger_id: 'hook' } })
  const token = inlet.url.split('/').at(-1) ?? ''
  await examples('receiveHook', { params: { token } })
  await send('receiveHook', { params: { token }, headers: { 'webhook-id': 'msg_1' } })
  await send('createConnection', {
    body: { name: 'inbound', kind: 'webhook_secret', values: { secret: 'the-secret' } },
  })
  const { body: asked } = await send('createFlow', {
    body: {
      name: 'Asked',
      status: 'active',
      triggers: [{ type: 'webhook', verify: { scheme: 'websub', connection: 'inbound' } }],
      steps: [{ id: 'later', type: 'delay', duration: '1 day' }],
    },
  })
  await send('answerHookChallenge', {
    params: { token: asked.inlets[0]?.url.split('/').at(-1) ?? '' },
    query: { 'hub.mode': 'subscribe', 'hub.challenge': 'c-1', 'hub.topic': 'https://example.com/feed' },
  })
  await send('deleteFlow', { params: { id: asked.id } })
  await runDue(shop)

  const execution = { id: run?.body.execution_id ?? '' }
  await send('listExecutions', { query: { flow: flow.id, limit: '10' } })
  t.match((await send('getExecution', { params: execution })).body, { status: 'failed' })
  const stream = await send('streamExecution', { params: execution })
  const last = /id: (\w+)\nevent: end|event: end\nid: (\w+)/.exec(stream.text)
  await send('streamExecution', {
    params: execution,
    headers: { 'last-event-id': last?.[1] ?? last?.[2] ?? '' },
    status: 204,
  })
  await send('streamChanges', { query: { seconds: '0', topics: 'events,executions' } })
  await examples('retryExecution', { params: execution, after: () => runDue(shop) })
  await send('cancelExecution', { params: { id: held.execution_id } })
  await examples('cancelExecutions')
  await examples('retryExecutions')
  await send('getFlowStats', { params: flow })
  await send('getHaltState')
  await send('haltAutomations')
  await send('resumeAutomations')
  await examples('resumeAutomations')

  await send('listFlowTemplates')
  await send('getFlowTemplate', { params: { id: 'abandoned_cart' } })
  await examples('installFlowTemplate', { params: { id: 'abandoned_cart' } })
  await send('installFlowTemplate', { params: { id: 'abandoned_cart' } })
})

t.test("templates of the shop's own", async () => {
  const { body: flow } = await send('createFlow', {
    body: {
      name: 'Look after new customers',
      trigger: { type: 'event', event_types: ['customer.created'] },
      steps: [{ id: 'task', type: 'action', action_type: 'create_task', input: { title: 'Look' } }],
    },
  })
  // The flow of the example is made real.
  const [{ flow_id: example } = {}] = examplesOf(
    operationOf('createFlowTemplate').operation.requestBody?.content['application/json'] ?? {},
  ) as { flow_id?: string }[]
  await sql`update automation_flows set id = ${example}::uuid where id = ${flow.id}::uuid`.execute(service.db)
  const [own] = await examples('createFlowTemplate')
  const params = { id: idOf(own) }
  await send('getFlowTemplate', { params })
  await examples('changeFlowTemplate', { params })
  await send('installFlowTemplate', { params })
  await send('listFlowTemplates', { query: { own: 'true' } })
  await send('deleteFlowTemplate', { params })
})

t.test('automations and what they write', async () => {
  const [created] = await examples('createAutomation')
  const params = { id: idOf(created) }
  await send('listAutomations', { query: { type: 'lead_followup' } })
  await send('getAutomation', { params })
  await examples('changeAutomation', { params })
  await examples('replaceAutomation', { params })
  await send('resetAutomation', { params })
  await examples('testAutomation', { params })
  await send('testAutomation', { params })
  await examples('triggerAutomation', { params })
  await send('runAutomations')
  await runDue(shop)
  const { body: messages } = await send('listMessages')
  await send('getMessage', { params: { id: messages.data[0]?.id ?? '' } })
  await examples('toggleAutomation', { params })
  await send('toggleAutomation', { params })
  const { body: outgrown } = await send('createAutomation', {
    body: { name: 'Outgrown', type: 'lead_followup', trigger: 'new_lead', enabled: false },
  })
  await send('continueAutomation', { params: { id: outgrown.id } })
  await examples('installDefaultAutomations')
  await send('installDefaultAutomations')
  await send('deleteAutomation', { params })
})

t.test('what is refused', async (t) => {
  const { headers } = await send('getTenant', { key: 'bcs_unknown', status: 401 })
  t.match(headers.get('www-authenticate'), /invalid_token/)
  await send('getPlugin', { params: { slug: 'unknown' }, status: 404 })
  await send('registerPlugin', { body: { name: 'Loyalty', webhook_url: receiver.url }, status: 409 })
})

t.test('erasures, and what ends', async () => {
  const [erasure] = await examples('createErasure')
  await send('listErasures')
  await send('getErasure', { params: { id: idOf(erasure) } })
  await send('deletePlugin', { params: { slug: 'loyalty' } })
})

t.test('every operation went through the proxy, and the document has foreseen all of it', async (t) => {
  t.strictSame(
    proxy.checked.flatMap(({ violations }) => violations),
    [],
  )
  const succeeded = new Set(
    proxy.checked.filter(({ status }) => status < 300).map(({ operationId }) => operationId),
  )
  t.strictSame(
    [...byId.keys()].filter((id) => !succeeded.has(id)),
    [],
    'operations that were not driven',
  )
})

t.test('every body has an example, and every example was sent', async (t) => {
  for (const [id, { operation }] of byId) {
    const contents = Object.values(operation.requestBody?.content ?? {})
    for (const content of contents) t.ok(examplesOf(content).length > 0, `${id} has an example`)
    const all = contents.flatMap(examplesOf)
    t.same([...(sentExamples.get(id) ?? [])], all, `the examples of ${id} were sent`)
  }
})
