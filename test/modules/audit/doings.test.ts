import t from 'tap'
import { newId } from '#lib/ids.ts'
import type { AuditLogEntry } from '#modules/audit/schemas.ts'
import type { ApiKeyWithSecret } from '#modules/key/schemas.ts'
import { clientFor, startApp, type Tenant } from '#test/support/app.ts'
import { registerPlugin } from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'

const service = await startApp(t)
const { db } = service
const FLOWS = '/api/automation/flows'

async function editorOf(shop: Tenant): Promise<{ id: string; editor: Tenant }> {
  const made = await shop.post('/api/keys', { name: 'editor', kind: 'tenant', role: 'editor' })
  const { id, key } = made.json<ApiKeyWithSecret>()
  return { id, editor: clientFor(service.app, shop.id, key) }
}

async function entriesOf(shop: Tenant, action: string): Promise<AuditLogEntry[]> {
  const answer = await shop.get(`/api/audit-log?action=${action}`)
  return answer.json<{ data: AuditLogEntry[] }>().data
}

t.test('what changes nothing and may still reach others is in the audit log, with the key', async (t) => {
  const shop = service.tenant()
  const { id: key, editor } = await editorOf(shop)
  const receiver = await startReceiver(t)
  const plugin = await registerPlugin(shop, `${receiver.url}/hook`, { slug: 'mailer' })
  const flow = {
    name: 'By hand',
    status: 'active',
    trigger: { type: 'manual' },
    steps: [{ id: 'wait', type: 'delay', duration: '1 day' }],
  }
  const made = await shop.post(FLOWS, flow)
  t.equal(made.statusCode, 201, made.body)
  const { id: flowId } = made.json<{ id: string }>()
  const automations = await shop.post('/api/automations/defaults', {})
  const [automation] = automations.json<{ installed: { id: string }[] }>().installed
  const dispatch = {
    flow_execution_id: 'by-hand',
    events: [{ action_type: 'none', payload: { password: 'p' } }],
  }
  const calls = [
    ['post', '/api/plugins/events/automation', dispatch, 'actions.dispatched', 'by-hand'],
    ['post', '/api/events/automation', dispatch, 'actions.dispatched', 'by-hand'],
    ['post', '/api/plugins/mailer/test', undefined, 'plugin.tested', plugin.id],
    ['post', '/api/plugins/events', undefined, 'deliveries.processed', shop.id],
    ['post', '/api/automations/run', undefined, 'automations.run_due', shop.id],
    ['post', `${FLOWS}/${flowId}/test`, undefined, 'flow.tested', flowId],
    ['post', `${FLOWS}/${flowId}/test/events`, { event_ids: [newId(), newId()] }, 'flow.tested', flowId],
    ['post', `${FLOWS}/test`, { definition: flow }, 'flow.tested', 'new'],
    ['post', `/api/automations/${automation?.id}/test`, {}, 'flow.tested', automation?.id],
    ['post', `${FLOWS}/${flowId}/run`, { input: {} }, 'flow.run', flowId],
    ['get', `${FLOWS}/${flowId}/export`, undefined, 'flow.exported', flowId],
  ] as const
  for (const [method, url, body, action, target] of calls) {
    const before = (await entriesOf(shop, action)).length
    const answer = method === 'get' ? await editor.get(url) : await editor.post(url, body)
    t.ok(answer.statusCode < 300, `${url} ${answer.body}`)
    const entries = await entriesOf(shop, action)
    t.equal(entries.length, before + 1, url)
    t.match(entries[0], { actor_kind: 'tenant', actor_id: key, target_id: target }, url)
  }
  const [dispatched] = await entriesOf(shop, 'actions.dispatched')
  t.strictSame(dispatched?.detail, { actions: 1, types: ['none'] }, 'and none of the payload')
})

t.test('events and actions tell the key that they came with', async (t) => {
  const shop = service.tenant()
  const { id: key, editor } = await editorOf(shop)
  const receiver = await startReceiver(t)
  receiver.answer(200)
  const { slug } = await registerPlugin(shop, `${receiver.url}/hook`)
  await shop.post(`/api/plugins/${slug}/register-actions`, {
    actions: [{ action_type: 'act', title: 'Act', description: 'Acts', endpoint: '/act' }],
  })
  const send = async (client: Tenant): Promise<string> =>
    (await client.post('/api/events', { event: 'order.created', data: {} })).json<{ id: string }>().id
  const [own, environment] = [await send(editor), await send(shop)]
  const keyOf = async (id: string): Promise<unknown> =>
    (await shop.get(`/api/events/${id}`)).json<{ key_id: unknown }>().key_id
  t.equal(await keyOf(own), key)
  t.equal(await keyOf(environment), null, "the environment's platform key has no id")
  const batch = await editor.post('/api/events', {
    events: [
      { event: 'order.created', data: {}, id: 'b-1' },
      { event: 'order.created', data: {}, id: 'b-2' },
    ],
  })
  t.equal(batch.statusCode, 202)
  t.strictSame([await keyOf('b-1'), await keyOf('b-2')], [key, key])

  const events = [
    { action_type: 'act', payload: {} },
    { action_type: 'none', payload: {} },
  ]
  const answer = await editor.post('/api/plugins/events/automation', { flow_execution_id: 'f', events })
  t.match(answer.json(), { summary: { succeeded: 1, failed: 1 } })
  const log = (await shop.get('/api/automation/event-log?execution=f')).json<{
    data: { key_id: unknown }[]
  }>()
  t.strictSame(
    log.data.map((entry) => entry.key_id),
    [key, key],
  )
  const rows = await db
    .selectFrom('action_invocations')
    .select('key_id')
    .where('tenant_id', '=', shop.id)
    .execute()
  t.strictSame(rows, [{ key_id: key }])
})
