import type { ServerResponse } from 'node:http'
import type { Test } from 'tap'
import type { Static } from '@sinclair/typebox'
import type { DispatchedAction, DispatchInput, DispatchResult } from '#modules/dispatcher/schemas.ts'
import type { EventLogPage } from '#modules/dispatcher/schemas.ts'
import type { ExecutionStatus } from '#db/schema.ts'
import { newId } from '#lib/ids.ts'
import type { StepActionRequest } from '#modules/dispatcher/index.ts'
import type { Tenant, TestApp } from '#test/support/app.ts'
import { type Received, type Receiver, startReceiver } from '#test/support/receiver.ts'

export type Result = Static<typeof DispatchedAction>
export type LogEntry = Static<typeof EventLogPage>['data'][number]
export type Action = DispatchInput['events'][number]

export const WELCOME = {
  action_type: 'send_welcome_email',
  title: 'Send welcome email',
  description: 'Sends a welcome email to a new customer',
  category: 'email',
  required_fields: ['to', 'template'],
}

export interface RegisteredPlugin {
  id: string
  slug: string
  secret: string
}

/** Of a plugin that many are to call at once. */
export const MANY_AT_ONCE = { max_in_flight: 64 }

/** Registers a plugin and its actions. @throws {Error} when that is refused */
export async function registerPlugin(
  shop: Tenant,
  url: string,
  slug = 'email-marketing',
  actions: object[] = [WELCOME],
  settings: object = {},
): Promise<RegisteredPlugin> {
  const registered = await shop.post('/api/plugins', {
    name: slug,
    slug,
    webhook_url: `${url}/hook`,
    events: [],
    ...settings,
  })
  if (registered.statusCode !== 201) throw new Error(registered.body)
  const answer = await shop.post(`/api/plugins/${slug}/register-actions`, { actions })
  if (answer.statusCode !== 200) throw new Error(answer.body)
  return registered.json<RegisteredPlugin>()
}

/** An action at the path of its own name. */
export function actionAt(name: string, fields: object = {}): object {
  return { action_type: name, title: name, description: name, endpoint: `/${name}`, ...fields }
}

/** @throws {Error} when it is not answered with 200 */
export async function dispatch(
  shop: Tenant,
  events: Action[],
  fields: { flow_execution_id?: string; mode?: 'parallel' | 'sequential' } = {},
): Promise<DispatchResult> {
  const answer = await shop.post('/api/plugins/events/automation', { ...fields, events })
  if (answer.statusCode !== 200) throw new Error(answer.body)
  return answer.json()
}

/** The whole log, newest first, or the entries that the query finds. */
export async function readLog(shop: Tenant, query = ''): Promise<LogEntry[]> {
  const answer = await shop.get(`/api/automation/event-log?limit=200&${query}`)
  if (answer.statusCode !== 200) throw new Error(answer.body)
  return answer.json<{ data: LogEntry[] }>().data
}

export interface PluginServer extends Receiver {
  /** Requests to a path, or all. */
  calls(path?: string): Received[]
}

type Behaviour = (response: ServerResponse, received: Received) => void

/** A plugin that answers each path as it is told; 200 with `{"done":true}` else. */
export async function startPlugin(
  t: Test,
  behaviours: Record<string, Behaviour> = {},
): Promise<PluginServer> {
  const receiver = await startReceiver(t)
  receiver.answer((received, response) => {
    const behaviour = behaviours[received.path.split('?')[0] ?? '']
    if (behaviour === undefined) json(200, { done: true })(response)
    else behaviour(response, received)
  })
  return {
    ...receiver,
    calls: (path) => receiver.received.filter((each) => path === undefined || each.path === path),
  }
}

export function json(status: number, body: unknown, headers: Record<string, string> = {}) {
  return (response: ServerResponse): void => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
  }
}

/** A gate that a behaviour waits at. */
export function gate(): { opened: Promise<void>; open: () => void } {
  const { promise, resolve } = Promise.withResolvers<undefined>()
  return { opened: promise, open: () => resolve(undefined) }
}

/** A shop with a plugin that offers one action, and an execution of a flow that asks for it. */
export async function flowActionShop(service: TestApp, url: string, action = 'work') {
  const shop = service.tenant()
  await registerPlugin(shop, url, 'worker', [actionAt(action, { endpoint: '/work' })])
  const flowExecutionId = await startExecution(service, shop.id)
  const request: StepActionRequest = {
    flowExecutionId,
    eventKey: 'step_1',
    actionType: action,
    pluginRef: 'worker',
    payload: { a: 1 },
    timeoutMs: null,
    maxRetries: 0,
    causationDepth: 1,
    causationId: null,
    mayHaveRun: false,
  }
  return {
    shop,
    run: (given: Partial<StepActionRequest> = {}) =>
      service.app.dispatcher.runAction(shop.id, { ...request, ...given }),
    /** Changes the execution; null: deletes it. */
    end: async (to: { status: ExecutionStatus; body_gone?: 'erased' } | null) => {
      const db = service.db
      if (to === null)
        await db.deleteFrom('automation_executions').where('id', '=', flowExecutionId).execute()
      else await db.updateTable('automation_executions').set(to).where('id', '=', flowExecutionId).execute()
    },
    find: () => service.app.dispatcher.findResult(shop.id, flowExecutionId, 'step_1'),
  }
}

async function startExecution(service: TestApp, tenantId: string): Promise<string> {
  const id = newId()
  await service.db
    .insertInto('automation_executions')
    .values({
      tenant_id: tenantId,
      id,
      flow_id: newId(),
      version: 1,
      status: 'running',
      trigger_kind: 'manual',
      trigger: '{}',
      state: '{}',
      expires_at: new Date(Date.now() + 3_600_000),
    })
    .execute()
  return id
}

/** Sends a plugin's completion of the call that it received. */
export function completeCall(service: TestApp, received: Received | undefined, body: object) {
  const { invocation_id: id } = JSON.parse(received?.body ?? '') as { invocation_id: string }
  return service.app.inject({
    method: 'POST',
    url: `/api/actions/${id}/complete`,
    headers: { 'x-completion-token': String(received?.headers['x-completion-token']) },
    payload: body,
  })
}

export function invocationsOf(service: TestApp, shop: Tenant): Promise<unknown[]> {
  return service.db.selectFrom('action_invocations').select('id').where('tenant_id', '=', shop.id).execute()
}
