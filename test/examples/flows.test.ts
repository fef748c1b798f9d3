import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import { freePort } from '#test/support/free-port.ts'
import { GRAPH, LINEAR } from '#test/support/flow-examples.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { type Receiver, startReceiver } from '#test/support/receiver.ts'
import { serve } from '#test/support/serve.ts'
import { startMailbox, UNKNOWN_DOMAIN } from './mailbox.ts'
import { startExample, urlOf } from './processes.ts'
import { idOf } from './shop.ts'
import { eventually } from '#test/support/deliveries.ts'

const TENANT = '11111111-1111-1111-1111-111111111111'
const PLATFORM_TOKEN = 'a-token-of-the-test'
const MINUTE_MS = 60 * 1000
const DAY_MS = 24 * 60 * MINUTE_MS

type Json = Record<string, unknown>
interface Step extends Json {
  step_id: string
}
interface Run extends Json {
  id: string
  status: string
  created_at: string
  steps: Step[]
}

interface Place {
  mailbox: Awaited<ReturnType<typeof startMailbox>>
  /** The plugin that the graph example calls when something goes wrong. */
  logging: Receiver
  /** Of the service. */
  post: (path: string, body: object, status?: number) => Promise<Json>
  get: (path: string) => Promise<Json>
  /** Lists the objects that the platform has. */
  listed: (path: string) => Promise<Json[]>
  /** As somebody who uses the shop. */
  newCustomer: (customer: object) => Promise<string>
}

/** Service, platform and the mail plugin, each a process of its own. */
async function startPlace(t: Test): Promise<Place> {
  const database = await createTestDatabase(t)
  const platformUrl = `http://127.0.0.1:${await freePort()}`
  const server = await serve(t, {
    DATABASE_URL: database.url,
    PLATFORM_URL: platformUrl,
    PLATFORM_TOKEN,
  })
  const url = await server.url()
  await urlOf(
    startExample(t, 'platform', {
      PORT: new URL(platformUrl).port,
      AUTOMATION_URL: url,
      PLATFORM_TOKEN,
      TENANT_ID: TENANT,
    }),
  )
  const mailbox = await startMailbox(t)
  startExample(t, 'email-plugin', {
    AUTOMATION_URL: url,
    SMTP_URL: mailbox.url,
    WEBHOOK_SECRET: `whsec_${randomBytes(32).toString('base64')}`,
  })
  const post: Place['post'] = (path, body, status) => sent(url + path, body, {}, status)
  const get: Place['get'] = async (path) => (await (await fetch(url + path)).json()) as Json
  const logging = await startReceiver(t)
  logging.answer((_call, response) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"logged":true}'),
  )
  const slug = 'logging-plugin'
  await post('/api/plugins', { slug, name: 'Logging', webhook_url: logging.url }, 201)
  const actions = [{ action_type: 'log_error', title: 'Log an error' }]
  await post(`/api/plugins/${slug}/register-actions`, { actions })
  await eventually('the mail plugin to register its action', async () => {
    const { data } = (await get('/api/plugins/actions?plugin=email-marketing')) as { data?: unknown[] }
    return data?.length === 1 ? true : null
  })

  const authorization = `Bearer ${PLATFORM_TOKEN}`
  return {
    mailbox,
    logging,
    post,
    get,
    listed: async (path) => {
      const answer = await fetch(platformUrl + path, { headers: { authorization } })
      return ((await answer.json()) as { data: Json[] }).data
    },
    newCustomer: async (customer) =>
      idOf(await sent(`${platformUrl}/api/customers`, customer, { authorization }, 201)),
  }
}

async function sent(
  url: string,
  body: object,
  headers: Record<string, string> = {},
  status = 200,
): Promise<Json> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
  const text = await response.text()
  if (response.status !== status) throw new Error(`${url}: ${response.status} ${text}`)
  return JSON.parse(text) as Json
}

/** The flow's execution about this customer, once it has ended, with its steps. */
function runAbout({ get }: Place, flow: unknown, customer: string): Promise<Run> {
  return eventually(`the run for ${customer}`, async () => {
    const page = await get(`/api/automation/executions?flow=${String(flow)}`)
    for (const { id, status } of page['data'] as Run[]) {
      if (['queued', 'running', 'waiting'].includes(status)) continue
      const run = (await get(`/api/automation/executions/${id}`)) as Run
      if ((run['trigger'] as Json)['customer_id'] === customer) return run
    }
    return null
  })
}

const SUCCEEDED = { status: 'succeeded', error: null, attempts: 1, carried_over: false }

/** Returns the expected record of the condition: it sends nothing. */
function tested(result: boolean): object {
  const output = { result }
  return {
    ...SUCCEEDED,
    step_id: 'condition_1',
    type: 'condition',
    port: String(result),
    input: null,
    output,
  }
}

t.test('both example flows run as they are printed, and their log tells what each step did', async (t) => {
  const place = await startPlace(t)
  const linear = await place.post('/api/automation/flows', LINEAR, 201)
  const graph = await place.post('/api/automation/flows', GRAPH, 201)
  t.match([linear, graph], Array(2).fill({ status: 'active', published_version: 1 }))
  t.strictSame([linear['problems'], graph['problems']], [[], []])
  t.strictSame([linear['definition'], graph['definition']], [LINEAR, GRAPH], 'kept as they were sent')

  await t.test(
    'linear: a customer with an address gets a mail, and the team a task in three days',
    async (t) => {
      const id = await place.newCustomer({ email: 'eva@example.com', name: 'Eva Lund' })
      const run = await runAbout(place, linear['id'], id)
      t.match(run, { status: 'completed', reason: 'done', error: null, step_count: 3, waiting_for: [] })
      const [mail] = await place.listed('/api/notifications')
      const [task] = await place.listed('/api/tasks')
      const due = String(task?.['due_date'])
      t.match(run.steps, [
        tested(true),
        {
          ...SUCCEEDED,
          step_id: 'action_1',
          type: 'action',
          port: 'success',
          input: { to: 'eva@example.com', subject: 'Welcome Eva Lund!', template: 'welcome_email' },
          output: {
            notification_id: mail?.['notification_id'],
            channel: 'email',
            recipient: 'eva@example.com',
          },
        },
        {
          ...SUCCEEDED,
          step_id: 'action_2',
          type: 'action',
          port: 'success',
          input: { title: 'Follow up with Eva Lund', due_date: due },
          output: {
            task_id: task?.['task_id'],
            title: 'Follow up with Eva Lund',
            due_date: due,
            status: 'open',
          },
        },
      ])
      t.equal(run.steps.length, 3)
      const aheadMs = Date.parse(due) - Date.parse(run.created_at)
      t.ok(aheadMs >= 3 * DAY_MS && aheadMs < 3 * DAY_MS + MINUTE_MS, `due ${aheadMs} ms after the start`)
    },
  )

  await t.test('graph: a customer in the US is welcomed by the plugin', async (t) => {
    const location = { country: 'US', city: 'Boston' }
    const id = await place.newCustomer({ email: 'ana@example.com', name: 'Ana Sousa', location })
    const run = await runAbout(place, graph['id'], id)
    t.match(run, { status: 'completed', reason: 'done', error: null })
    const [mail] = await place.mailbox.waitFor(1)
    t.match(mail, { subject: 'Welcome, Ana Sousa!', to: [{ address: 'ana@example.com' }] })
    t.match(run.steps, [
      tested(true),
      {
        ...SUCCEEDED,
        step_id: 'action_1',
        type: 'action',
        port: 'success',
        input: { template: 'welcome_template', variables: { customer_name: 'Ana Sousa' } },
        output: { message_id: mail?.messageId, to: 'ana@example.com' },
      },
    ])
    t.strictSame(place.logging.received, [])
  })

  await t.test('graph: a customer elsewhere is filtered out by the condition', async (t) => {
    const location = { country: 'PT', city: 'Porto' }
    const id = await place.newCustomer({ email: 'rui@example.com', name: 'Rui', location })
    const run = await runAbout(place, graph['id'], id)
    t.match(run, { status: 'completed', reason: 'filtered', error: null })
    t.match(run.steps, [tested(false)])
    t.equal(run.steps.length, 1)
    t.equal(place.mailbox.mails.length, 1)
  })

  await t.test(
    'graph: a mail that nobody can deliver goes to the error handler, which is told why',
    async (t) => {
      const email = `bo@${UNKNOWN_DOMAIN}`
      const id = await place.newCustomer({ email, name: 'Bo', location: { country: 'US' } })
      const run = await runAbout(place, graph['id'], id)
      t.match(run, { status: 'completed', reason: 'done', error: null })
      const error = { code: 'http_4xx', message: /550 No such mailbox/ }
      t.match(run.steps, [
        tested(true),
        { step_id: 'action_1', status: 'failed', port: 'error', attempts: 1, error, output: { error } },
        {
          ...SUCCEEDED,
          step_id: 'error_handler_1',
          type: 'action',
          port: 'success',
          input: {},
          output: { logged: true },
        },
      ])
      t.equal(place.mailbox.mails.length, 1)
      t.equal(place.logging.received.length, 1)
      const told = JSON.parse(place.logging.received[0]?.body ?? '') as Json
      t.match(told, {
        action_type: 'log_error',
        flow_execution_id: run.id,
        payload: {},
        context: {
          flow_id: graph['id'],
          step_id: 'error_handler_1',
          error: { step_id: 'action_1', ...error },
          trigger: { event: 'customer.created', data: { customer_id: id, email } },
        },
      })
    },
  )

  await t.test(
    'graph: while the mail server is away the step is tried again, and the log counts it',
    async (t) => {
      await place.mailbox.close()
      const location = { country: 'US' }
      const id = await place.newCustomer({ email: 'mia@example.com', name: 'Mia', location })
      await eventually('the pause before the next attempt', async () => {
        const page = await place.get(`/api/automation/executions?flow=${String(graph['id'])}&status=waiting`)
        return (page['data'] as Json[]).some(({ reason }) => reason === 'retry') || null
      })
      const mailbox = await startMailbox(t, place.mailbox.port)
      const run = await runAbout(place, graph['id'], id)
      t.match(run, { status: 'completed', reason: 'done' })
      const [mail] = await mailbox.waitFor(1)
      t.match(run.steps, [
        tested(true),
        { step_id: 'action_1', status: 'succeeded', error: null, output: { message_id: mail?.messageId } },
      ])
      t.ok(Number(run.steps[1]?.['attempts']) > 1)
      t.equal(mailbox.mails.length, 1)
    },
  )
})
