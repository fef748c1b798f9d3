import { setTimeout as delay } from 'node:timers/promises'
import type { Api } from './api.ts'
import type { Claim } from './claims.ts'
import type { Stage } from './dispatch.ts'

export interface FlowShow {
  stage: Stage
  api: Api
  line: (text: string) => void
  signal: AbortSignal
}

interface Step {
  step_id: string
  type: string
  status: string
  port: string | null
  output: Record<string, unknown> | null
  duration_ms: number
}

interface Execution {
  id: string
  status: string
  reason: string | null
  created_at: string
  duration_ms: number | null
  error: { code: string; message: string } | null
}

interface Told {
  steps: Step[]
  execution: Execution
}

const LOOK_MS = 50
const DAY_MS = 24 * 60 * 60 * 1000
/** What may lie between the start of an execution and a step's own clock. */
const SLACK_MS = 60_000

const FLOW = {
  name: 'Welcome customers in Portugal',
  status: 'active',
  trigger: { type: 'event', event_types: ['customer.created'], plugin_id: 'platform' },
  steps: [
    {
      id: 'in_portugal',
      type: 'condition',
      condition: { field: 'location.country', operator: 'equals', value: 'PT' },
    },
    {
      id: 'welcome',
      type: 'action',
      plugin_id: 'email-marketing',
      action_id: 'send_welcome_email',
      config: { template: 'welcome', variables: { customer_name: '{{trigger.customer_name}}' } },
    },
    {
      id: 'follow_up',
      type: 'action',
      action_id: 'create_task',
      config: { title: 'Call {{trigger.name}}', due_date: '{{now + 3 days}}' },
    },
  ],
}

const EVA = { email: 'eva@example.com', name: 'Eva Lund', location: { country: 'PT', city: 'Porto' } }
const TOM = { email: 'tom@example.com', name: 'Tom Hill', location: { country: 'US', city: 'Boston' } }

/**
 * A flow that the platform's own customer.created starts: a condition, a mail by a plugin, a task three days ahead.
 * Two customers sign up, and the steps are shown as they happen.
 * @returns what the show claims
 */
export async function showFlow(show: FlowShow): Promise<Claim[]> {
  const { stage, api, line } = show
  line('A flow: customer.created -> condition -> mail -> task three days ahead.')
  const { id: flowId } = await api.post<{ id: string }>('/api/automation/flows', FLOW)
  await signUp(show, EVA)
  const welcomed = await follow(show, flowId, 1)
  await signUp(show, TOM)
  const filtered = await follow(show, flowId, 2)

  const mails = stage.mailbox.mails.filter(({ to }) => to?.some(({ address }) => address === EVA.email))
  const others = stage.mailbox.mails.filter(({ to }) => to?.some(({ address }) => address === TOM.email))
  const tasks = await listed(stage, '/api/tasks')
  line(`  mail  to ${EVA.email}: ${mails.map(({ subject }) => subject).join(', ')}`)
  line(`  task  ${tasks.map(({ title, due_date }) => `${title}, due ${due_date}`).join('; ')}`)
  line('')
  const [task] = tasks
  const aheadMs = Date.parse(task?.due_date ?? '') - Date.parse(welcomed.execution.created_at)
  const output = (id: string): Step['output'] | undefined =>
    welcomed.steps.find(({ step_id }) => step_id === id)?.output
  return [
    {
      text: 'the flow took its three steps in their order, and the stream told each of them',
      holds:
        endsAs(welcomed, 'done') &&
        welcomed.steps.map(({ step_id, port }) => `${step_id} ${port}`).join() ===
          'in_portugal true,welcome success,follow_up success',
    },
    {
      text: "the flow's mail is in the mailbox, once",
      holds: mails.length === 1 && mails[0]?.messageId === output('welcome')?.['message_id'],
    },
    {
      text: "the flow's task is in the platform, due in three days",
      holds:
        tasks.length === 1 &&
        task?.task_id === output('follow_up')?.['task_id'] &&
        Math.abs(aheadMs - 3 * DAY_MS) < SLACK_MS,
    },
    {
      text: 'for the customer elsewhere the flow ended at its condition, and wrote to nobody',
      holds: endsAs(filtered, 'filtered') && filtered.steps.length === 1 && others.length === 0,
    },
  ]
}

function endsAs({ execution: { status, reason } }: Told, expected: string): boolean {
  return status === 'completed' && reason === expected
}

/** Prints the steps of the flow's execution as they come. */
async function follow({ api, line, signal }: FlowShow, flowId: string, number: number): Promise<Told> {
  const steps: Step[] = []
  let execution = await executionOf(api, flowId, number, signal)
  for await (const { event, data } of api.follow(`/api/automation/executions/${execution.id}/stream`)) {
    if (event === 'step') {
      const step = data as Step
      steps.push(step)
      const { step_id, type, status, port, duration_ms } = step
      line(`  ${step_id.padEnd(11)}  ${type.padEnd(9)}  ${status} in ${duration_ms} ms, goes on by "${port}"`)
    } else if (event === 'status') {
      execution = data as Execution
    }
  }
  const { status, reason, duration_ms, error } = execution
  line(`  ${status}: ${error?.message ?? reason}, after ${duration_ms} ms`)
  return { steps, execution }
}

/** The flow's execution by its number, from 1. Rejects when the signal gives up first. */
async function executionOf(
  api: Api,
  flowId: string,
  number: number,
  signal: AbortSignal,
): Promise<Execution> {
  for (;;) {
    const { data } = await api.get<{ data: Execution[] }>(`/api/automation/executions?flow=${flowId}`)
    const found = data.at(-number)
    if (found !== undefined) return found
    await delay(LOOK_MS, undefined, { signal })
  }
}

/** In the platform, as a customer would. */
async function signUp({ stage, line }: FlowShow, customer: typeof EVA): Promise<void> {
  line(`${customer.name}, ${customer.location.city}, signs up:`)
  const response = await callPlatform(stage, '/api/customers', customer)
  if (!response.ok) throw new Error(`the platform took no customer: ${await response.text()}`)
}

async function listed(
  stage: Stage,
  path: string,
): Promise<{ task_id: string; title: string; due_date: string }[]> {
  const response = await callPlatform(stage, path)
  return ((await response.json()) as { data: { task_id: string; title: string; due_date: string }[] }).data
}

function callPlatform({ platform, environment }: Stage, path: string, body?: object): Promise<Response> {
  return fetch(platform.url + path, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      authorization: `Bearer ${environment.PLATFORM_TOKEN}`,
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
}
