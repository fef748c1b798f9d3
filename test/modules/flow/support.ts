import type { LightMyRequestResponse } from 'fastify'
import type { Tenant, TestApp } from '#test/support/app.ts'
import { feedSettled } from '#test/modules/event/support.ts'

export { GRAPH, LINEAR } from '#test/support/flow-examples.ts'

export const FLOWS = '/api/automation/flows'

/** A graph that makes a task; with `rest` in place of its members. */
export function taskFlow(rest: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    name: 'Make a task',
    trigger: { type: 'event', event_types: ['order.created'] },
    steps: [{ id: 'task', type: 'action', action_type: 'create_task', input: { title: 'Look' } }],
    ...rest,
  }
}

export interface FlowAnswer {
  id: string
  name: string
  status: string
  revision: number
  published_version: number | null
  has_unpublished_changes: boolean
  triggers: { type: string; event_types?: string[] }[]
  problems: { code: string; severity: string; pointer: string; step_id: string | null }[]
  definition: Record<string, unknown>
}

export async function created(tenant: Tenant, definition: unknown, path = FLOWS): Promise<FlowAnswer> {
  return answerOf(await tenant.post(path, definition), 201)
}

// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- what the test goes on to look at
export function answerOf<T = FlowAnswer>(response: LightMyRequestResponse, status = 200): T {
  return bodyOf(response, status) as T
}

export function bodyOf(response: LightMyRequestResponse, status = 200): Record<string, unknown> {
  if (response.statusCode !== status) throw new Error(`${response.statusCode}: ${response.body}`)
  return response.json<Record<string, unknown>>()
}

export function codeOf(response: LightMyRequestResponse): string {
  return `${response.statusCode} ${response.json<{ code: string }>().code}`
}

/** Matches the shop's events and runs what is due, by a matcher and an engine of the test's own. */
export function runnerOf({ app, db }: Pick<TestApp, 'app' | 'db'>): (shop: Tenant) => Promise<void> {
  const matcher = app.flowEngine.createMatcher()
  const engine = app.flowEngine.createEngine()
  return async (shop) => {
    await feedSettled({ db })
    while ((await matcher.pass([shop.id], null)) === 'more' || matcher.behind.size > 0);
    await engine.drain()
  }
}

/** The plugins that the graph example names, with their actions. */
export async function installPlugins(tenant: Tenant, url: string): Promise<void> {
  for (const [slug, actionType] of [
    ['email-marketing', 'send_welcome_email'],
    ['logging-plugin', 'log_error'],
  ]) {
    bodyOf(await tenant.post('/api/plugins', { slug, name: slug, webhook_url: url }), 201)
    const actions = [{ action_type: actionType, title: actionType }]
    bodyOf(await tenant.post(`/api/plugins/${slug}/register-actions`, { actions }))
  }
}
