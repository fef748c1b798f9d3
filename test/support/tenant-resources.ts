import { randomBytes } from 'node:crypto'
import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { newId } from '#lib/ids.ts'
import type { MessageService } from '#modules/message/index.ts'
import type { Tenant } from './app.ts'

export interface Resource {
  /** The value in the path. */
  value: string
  /** Another value that nothing is called, of the same form and length. */
  unknown(): string
  /** The caller chooses it, so that PUT may make it. */
  named: boolean
  /** It belongs to a plugin, and is no business of the tenant's other plugins. */
  ofPlugin: boolean
}

/** By the path up to the parameter that names the resource. */
export type Resources = Record<string, Resource>

/** One of everything that a path can name, in the tenant. */
export async function createResources(
  tenant: Tenant,
  webhookUrl: string,
  { db, messages }: { db: Kysely<DB>; messages: MessageService },
): Promise<Resources> {
  const mark = randomName()
  const slug = `plugin-${mark}`
  const eventType = `shop_${mark}.opened`
  await made(tenant.put(`/api/event-types/${eventType}`, { description: `declared by ${mark}` }))
  await made(
    tenant.post('/api/plugins', {
      slug,
      name: `Plugin ${mark}`,
      webhook_url: `${webhookUrl}/${mark}`,
      events: [eventType],
      config: { token: `token-${mark}` },
    }),
  )
  await made(
    tenant.post(`/api/plugins/${slug}/register-actions`, {
      actions: [{ action_type: `do_${mark}`, title: `Do ${mark}`, required_fields: ['to'] }],
    }),
  )
  await made(
    tenant.put(`/api/plugins/${slug}/manifest`, {
      name: `Plugin ${mark}`,
      capabilities: {
        triggers: [{ id: 'opened', name: `Opened ${mark}`, event_types: [`plugin_${mark}.opened`] }],
        actions: [{ id: `make_${mark}`, name: `Make ${mark}` }],
      },
    }),
  )
  const event = await made<{ id: string }>(
    tenant.post('/api/events', { event: eventType, data: { customer: { email: `${mark}@example.com` } } }),
  )
  // No event of a healthy service is.
  await db
    .insertInto('set_aside_events')
    .values({ tenant_id: tenant.id, event_id: event.id, reason: `reason ${mark}` })
    .execute()
  // Of a shop that has more to cancel than a request gets done.
  const bulkChange = newId()
  await db
    .insertInto('bulk_changes')
    .values({ id: bulkChange, tenant_id: tenant.id, kind: 'cancel', request: '{}', actor: '{}' })
    .execute()
  const deliveries = await made<{ data: { id: string }[] }>(tenant.get('/api/plugins/events'))
  const delivery = deliveries.data[0]
  if (delivery === undefined) throw new Error('the event made no delivery')
  const deliveryRetry = await made<{ id: string }>(tenant.post('/api/plugins/events/retry', { plugin: slug }))
  const key = await made<{ id: string }>(
    tenant.post('/api/keys', { name: mark, kind: 'tenant', role: 'editor' }),
  )
  const person = await made<{ key: string }>(
    tenant.post('/api/keys', { name: `person ${mark}`, kind: 'tenant', role: 'viewer' }),
  )
  await made(tenant.post('/api/session', { key: person.key }))
  const sessions = await made<{ data: { id: string }[] }>(tenant.get('/api/sessions'))
  const session = sessions.data[0]
  if (session === undefined) throw new Error('the login left no session')
  await made(tenant.post('/api/portal-sessions', { scope: 'plugin', plugin: slug, label: `label-${mark}` }))
  const replay = await made<{ id: string }>(tenant.post(`/api/plugins/${slug}/replays`, {}))
  const recovery = await made<{ id: string }>(
    tenant.post('/api/recoveries', { since: '2026-05-01T00:00:00Z' }),
  )
  const erasure = await made<{ id: string }>(
    tenant.post('/api/erasures', { path: 'customer.email', value: `other-${mark}@example.com` }),
  )
  await made(
    tenant.post('/api/connections', {
      name: `connection-${mark}`,
      kind: 'bearer',
      hosts: ['api.example.com'],
      values: { token: `token-${mark}` },
    }),
  )
  await made(tenant.put(`/api/variables/variable_${mark}`, { value: `value-${mark}` }))
  // Without a platform to send it to.
  const dispatched = await made<{ results: { invocation_id: string }[] }>(
    tenant.post('/api/plugins/events/automation', {
      flow_execution_id: `execution-${mark}`,
      events: [{ action_type: 'create_task', payload: { title: `Task ${mark}` } }],
    }),
  )
  const flow = await made<{ id: string }>(
    tenant.post('/api/automation/flows', {
      name: `Flow ${mark}`,
      status: 'active',
      triggers: [
        { type: 'event', event_types: [eventType] },
        { type: 'manual' },
        { id: `hook_${mark}`, type: 'webhook' },
      ],
      steps: [{ id: 'task', type: 'action', action_type: 'create_task', input: { title: `Task ${mark}` } }],
    }),
  )
  const automation = await made<{ id: string }>(
    tenant.post('/api/automations', {
      name: `Automation ${mark}`,
      type: 'lead_followup',
      trigger: 'new_lead',
      template: `Hello from ${mark}`,
    }),
  )
  const template = await made<{ id: string }>(
    tenant.post('/api/automation/templates', {
      flow_id: flow.id,
      title: `Template ${mark}`,
      category: 'other',
    }),
  )
  // Whoever knows an inlet's URL may start its flow, so that only one that is off is like one that never was.
  const draft = await made<{ inlets: { url: string }[] }>(
    tenant.post('/api/automation/flows', {
      name: `Draft ${mark}`,
      triggers: [{ type: 'webhook' }],
      steps: [{ id: 'task', type: 'action', action_type: 'create_task', input: { title: `Task ${mark}` } }],
    }),
  )
  const inlet = draft.inlets[0]
  if (inlet === undefined) throw new Error('the draft has no inlet')
  // As an engine would: none runs here.
  const message = await messages.compose(
    { tenantId: tenant.id, executionId: newId(), stepId: 'mail', iteration: '' },
    { channel: 'email', to: `${mark}@example.com`, subject: 'Hello', body: `Hello ${mark}`, ai: null },
  )
  // One that ends at once: halted automations start nothing.
  await made(tenant.post('/api/automation/halt'))
  await made(tenant.post(`/api/automation/flows/${flow.id}/run`, { input: { mark } }))
  await made(tenant.post('/api/automation/resume'))
  const executions = await made<{ data: { id: string }[] }>(tenant.get('/api/automation/executions'))
  const execution = executions.data[0]
  if (execution === undefined) throw new Error('the flow left no execution')
  const audited = await made<{ data: { id: string }[] }>(tenant.get('/api/audit-log'))
  const entry = audited.data[0]
  if (entry === undefined) throw new Error('nothing of it is in the audit log')
  const calls = await made<{ data: { id: string }[] }>(tenant.get('/api/automation/event-log'))
  const called = calls.data[0]
  if (called === undefined) throw new Error('the action is in no log')
  const invocation = dispatched.results[0]
  if (invocation === undefined) throw new Error('the action has no result')
  return {
    '/api/plugins/{slug}': {
      value: slug,
      unknown: () => `plugin-${randomName()}`,
      named: true,
      ofPlugin: true,
    },
    '/api/plugins/events/{id}': { ...minted(delivery.id), ofPlugin: true },
    '/api/delivery-retries/{id}': { ...minted(deliveryRetry.id), ofPlugin: true },
    '/api/events/{id}': minted(event.id),
    '/api/event-types/{name}': {
      value: eventType,
      unknown: () => `shop_${randomName()}.opened`,
      named: true,
      ofPlugin: false,
    },
    '/api/plugins/actions/{action_type}': {
      value: `do_${mark}`,
      unknown: () => `do_${randomName()}`,
      named: false,
      ofPlugin: true,
    },
    '/api/event-segments/{segment}': {
      value: `plugin_${mark}`,
      unknown: () => `plugin_${randomName()}`,
      named: true,
      ofPlugin: false,
    },
    '/api/automation/flows/{id}': minted(flow.id),
    '/api/automations/{id}': minted(automation.id),
    '/api/automation/messages/{id}': minted(message.id),
    '/api/automation/flows/{id}/inlets/{trigger_id}': {
      value: `hook_${mark}`,
      unknown: () => `hook_${randomName()}`,
      named: false,
      ofPlugin: false,
    },
    '/hooks/{token}': {
      value: inlet.url.slice('/hooks/'.length),
      unknown: () => randomBytes(32).toString('base64url'),
      named: false,
      ofPlugin: false,
    },
    '/api/automation/flows/{id}/versions/{version}': {
      value: '1',
      unknown: () => '9',
      named: false,
      ofPlugin: false,
    },
    '/api/automation/executions/{id}': minted(execution.id),
    '/api/automation/event-log/{id}': minted(called.id),
    '/api/audit-log/{id}': minted(entry.id),
    '/api/automation/bulk-changes/{id}': minted(bulkChange),
    '/api/automation/set-aside-events/{id}': minted(event.id),
    '/api/keys/{id}': minted(key.id),
    '/api/sessions/{id}': minted(session.id),
    '/api/connections/{name}': {
      value: `connection-${mark}`,
      unknown: () => `connection-${randomName()}`,
      named: true,
      ofPlugin: false,
    },
    '/api/variables/{name}': {
      value: `variable_${mark}`,
      unknown: () => `variable_${randomName()}`,
      named: true,
      ofPlugin: false,
    },
    '/api/replays/{id}': { ...minted(replay.id), ofPlugin: true },
    '/api/recoveries/{id}': minted(recovery.id),
    '/api/erasures/{id}': minted(erasure.id),
    '/api/automation/templates/{id}': minted(template.id),
    '/api/actions/{invocation_id}': { ...minted(invocation.invocation_id), ofPlugin: true },
  }
}

/** The key of another plugin of the same tenant. */
export async function createNeighbourKey(tenant: Tenant, webhookUrl: string): Promise<string> {
  const slug = `neighbour-${randomName()}`
  await made(tenant.post('/api/plugins', { slug, name: slug, webhook_url: webhookUrl }))
  const { key } = await made<{ key: string }>(
    tenant.post('/api/keys', { name: slug, kind: 'plugin', plugin: slug }),
  )
  return key
}

function minted(id: string): Resource {
  return { value: id, unknown: newId, named: false, ofPlugin: false }
}

function randomName(): string {
  return randomBytes(6).toString('hex')
}

async function made<T>(answer: ReturnType<Tenant['get']>): Promise<T> {
  const { statusCode, body } = await answer
  if (statusCode >= 300) throw new Error(`${statusCode}: ${body}`)
  return JSON.parse(body) as T
}
