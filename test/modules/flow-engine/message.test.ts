import t from 'tap'
import { newId } from '../../../src/lib/ids.ts'
import { completion, startAi } from '../message/ai-server.ts'
import { registerMailer, type Shop, startReceiver, startWorld, HOUR_MS } from './support.ts'

t.setTimeout(120_000)
const platform = await startReceiver(t)
const ai = await startAi(t)
const world = await startWorld(t, {
  PLATFORM_URL: platform.url,
  PLATFORM_TOKEN: 'the-token-of-the-platform',
  AI_BASE_URL: ai.baseUrl,
  AI_API_KEY: 'sk-operators-own-key-000000',
  AI_MODEL: 'small',
})

const MAIL = {
  id: 'mail',
  type: 'message',
  channel: 'email',
  to: '{{trigger.email}}',
  subject: 'Thank you,\n{{trigger.name}}',
  body: 'Hello {{trigger.name}}',
}
const WRITTEN = { ...MAIL, ai: { prompt: 'Thank {{trigger.name}} for the order' } }
const ANN = { name: 'Ann', email: 'ann@example.com' }

t.beforeEach(() => {
  platform.received.length = ai.received.length = 0
  platform.answer((_received, response) => response.end('{"id":"n_1"}'))
  ai.say('Dear Ann, thank you!')
})

/** Publishes these steps behind `order.created`. @returns the flow's id */
async function publish(shop: Shop, steps: object[], rest: object = {}): Promise<string> {
  const trigger = { type: 'event', event_types: ['order.created'] }
  const answer = await shop.tenant.post('/api/automation/flows', {
    name: 'Thanks',
    status: 'active',
    trigger,
    steps,
    ...rest,
  })
  if (answer.statusCode !== 201) throw new Error(answer.body)
  return answer.json<{ id: string }>().id
}

async function runOnce(steps: object[], data: object = ANN): Promise<{ shop: Shop; id: string }> {
  const shop = await world.shop()
  const flow = await publish(shop, steps)
  await shop.send('order.created', data)
  await shop.run()
  const [execution] = await shop.executions(flow)
  if (execution === undefined) throw new Error('nothing was started')
  return { shop, id: execution.id }
}

interface Message {
  id: string
  step_id: string
  iteration: string
  to: string
  body: string
  status: string
  channel: string
}

async function messages(shop: Shop, query = ''): Promise<Message[]> {
  const answer = await shop.tenant.get(`/api/automation/messages?${query}`)
  if (answer.statusCode !== 200) throw new Error(answer.body)
  return answer.json<{ data: Message[] }>().data
}

function sent(): { path: string; body: Record<string, unknown> }[] {
  return platform.received.map(({ path, body }) => ({
    path,
    body: JSON.parse(body) as Record<string, unknown>,
  }))
}

t.test('an email is filled in, recorded and sent by the platform', async (t) => {
  const { shop, id } = await runOnce([
    MAIL,
    {
      id: 'note',
      type: 'message',
      channel: 'notification',
      subject: 'Mail {{steps.mail.output.result.id}}',
      body: '{{steps.mail.output.body}} went to {{steps.mail.output.to}}',
    },
    { id: 'sms', type: 'message', channel: 'sms', to: '+4512345678', body: 'Hi' },
  ])
  const mail = { to: 'ann@example.com', subject: 'Thank you, Ann', body: 'Hello Ann' }
  t.strictSame(sent(), [
    { path: '/api/notifications/email', body: mail },
    {
      path: '/api/notifications',
      body: { title: 'Mail n_1', message: 'Hello Ann went to ann@example.com' },
    },
    { path: '/api/notifications/sms', body: { to: '+4512345678', message: 'Hi' } },
  ])
  t.equal(platform.received[0]?.headers['idempotency-key'], `${id}:mail`)
  const [step] = await shop.steps(id)
  const [message] = (await messages(shop)).toReversed()
  t.match(step, { type: 'message', status: 'succeeded', port: 'success', input: mail })
  t.strictSame(step?.output, {
    message_id: message?.id,
    channel: 'email',
    ...mail,
    source: 'template',
    model: null,
    fallback_reason: null,
    result: { id: 'n_1' },
  })
  t.match(message, { step_id: 'mail', status: 'sent', execution_id: id, ...mail })
  t.equal(ai.received.length, 0)
})

t.test('what an AI wrote is sent as it is, and never filled in again', async (t) => {
  ai.say('Dear {{trigger.name}}, {{steps.mail.output.to}}')
  const { shop, id } = await runOnce([WRITTEN])
  t.match(sent(), [
    { body: { subject: 'Thank you, Ann', body: 'Dear {{trigger.name}}, {{steps.mail.output.to}}' } },
  ])
  const [step] = await shop.steps(id)
  t.match(step?.output, { source: 'ai', model: 'small', fallback_reason: null })
})

t.test('with an AI that fails the template is sent, and the step says why', async (t) => {
  ai.answer((_received, response) => response.end('{}'))
  const { shop, id } = await runOnce([WRITTEN])
  t.match(sent(), [{ body: { body: 'Hello Ann' } }])
  const [step] = await shop.steps(id)
  t.match(step, { status: 'succeeded', output: { source: 'template', fallback_reason: 'invalid_response' } })
})

t.test('without AI_BASE_URL the template is sent, and the step says so', async (t) => {
  const plain = await startWorld(t, { PLATFORM_URL: platform.url })
  const shop = await plain.shop()
  const flow = await publish(shop, [WRITTEN])
  await shop.send('order.created', ANN)
  await shop.run()
  const [execution] = await shop.executions(flow)
  const [step] = await shop.steps(execution?.id ?? '')
  t.match(step?.output, {
    source: 'template',
    model: null,
    fallback_reason: 'not_configured',
    body: 'Hello Ann',
  })
  t.match(sent(), [{ body: { body: 'Hello Ann' } }])
})

t.test('a message that has to be sent again says the same, and nobody is asked twice', async (t) => {
  let answers = 0
  ai.answer((_received, response) => void response.end(completion(`Answer ${++answers}`)))
  platform.answer(503)
  const { shop } = await runOnce([{ ...WRITTEN, retry: { max_retries: 3, base_ms: 1_000 } }])
  t.match(await messages(shop), [{ status: 'pending', body: 'Answer 1' }])
  platform.answer((_received, response) => response.end('{}'))
  shop.pass(HOUR_MS)
  await shop.run()
  t.ok(sent().length >= 2)
  t.strictSame([...new Set(platform.received.map(({ body }) => body))].length, 1)
  t.strictSame([...new Set(platform.received.map(({ headers }) => headers['idempotency-key']))].length, 1)
  t.equal(answers, 1)
  t.match(await messages(shop), [{ status: 'sent', body: 'Answer 1' }])
})

t.test('after a crash between recording and sending, what was recorded is sent', async (t) => {
  const shop = await world.shop()
  const flow = await publish(shop, [{ id: 'later', type: 'delay', duration: '1 hour' }, WRITTEN])
  await shop.send('order.created', ANN)
  await shop.run()
  const [execution] = await shop.executions(flow)
  // As the worker that died left it: recorded, and neither sent nor in the execution.
  await world.app.messages.compose(
    { tenantId: shop.tenant.id, executionId: execution?.id ?? '', stepId: 'mail', iteration: '' },
    {
      channel: 'email',
      to: 'ann@example.com',
      subject: 'Before the crash',
      body: 'Written before the crash',
      ai: null,
    },
  )
  shop.pass(2 * HOUR_MS)
  await shop.run()
  t.match(sent(), [{ body: { subject: 'Before the crash', body: 'Written before the crash' } }])
  t.equal(ai.received.length, 0)
  const [, step] = await shop.steps(execution?.id ?? '')
  t.match(step, { input: { body: 'Written before the crash' }, output: { body: 'Written before the crash' } })
  t.equal((await messages(shop)).length, 1)
})

t.test('a message that was erased between two attempts is sent to nobody', async (t) => {
  platform.answer(503)
  const { shop, id } = await runOnce([{ ...MAIL, retry: { max_retries: 1, base_ms: 1_000 } }])
  await shop.db
    .updateTable('automation_messages')
    .set({ body: '', recipient: null })
    .where('execution_id', '=', id)
    .execute()
  platform.received.length = 0
  shop.pass(HOUR_MS)
  await shop.run()
  t.match(await shop.steps(id), [{ status: 'failed', error: { code: 'message_erased' } }])
  t.equal(platform.received.length, 0)
})

t.test('a plugin’s action sends it, with the fields that the flow gives it', async (t) => {
  const shop = await world.shop()
  const plugin = await startReceiver(t)
  plugin.answer((_received, response) => response.end('{"queued":true}'))
  await registerMailer(shop, plugin)
  const flow = await publish(shop, [
    {
      ...WRITTEN,
      send_with: {
        plugin_id: 'mailer',
        action_id: 'send_welcome_email',
        input: { template: '{{steps.mail.output.body | upcase}}' },
      },
    },
  ])
  await shop.send('order.created', ANN)
  await shop.run()
  const call = JSON.parse(plugin.received[0]?.body ?? '{}') as { payload: unknown }
  t.strictSame(call.payload, { to: 'ann@example.com', template: 'DEAR ANN, THANK YOU!' })
  const [execution] = await shop.executions(flow)
  const [step] = await shop.steps(execution?.id ?? '')
  t.match(step?.output, { source: 'ai', body: 'Dear Ann, thank you!', result: { queued: true } })
  t.equal(platform.received.length, 0)
})

t.test('a plugin that completes later completes the message', async (t) => {
  const shop = await world.shop()
  const plugin = await startReceiver(t)
  plugin.answer((_received, response) => response.writeHead(202).end())
  await registerMailer(shop, plugin)
  const input = { template: '{{steps.mail.output.body}}' }
  const send_with = { plugin_id: 'mailer', action_id: 'send_welcome_email', input }
  const flow = await publish(shop, [{ ...WRITTEN, send_with }])
  await shop.send('order.created', ANN)
  await shop.run()
  t.match(await messages(shop), [{ status: 'pending' }])
  const [received] = plugin.received
  const { invocation_id: invocation } = JSON.parse(received?.body ?? '{}') as { invocation_id: string }
  const completed = await world.app.inject({
    method: 'POST',
    url: `/api/actions/${invocation}/complete`,
    headers: {
      'content-type': 'application/json',
      'x-completion-token': String(received?.headers['x-completion-token']),
    },
    payload: { success: true, data: { delivered: 1 } },
  })
  t.equal(completed.statusCode, 200, completed.body)
  shop.pass(HOUR_MS / 2)
  await shop.run()
  const [execution] = await shop.executions(flow)
  const [step] = await shop.steps(execution?.id ?? '')
  t.match(step, {
    status: 'succeeded',
    input: { to: 'ann@example.com', template: 'Dear Ann, thank you!' },
    output: { source: 'ai', body: 'Dear Ann, thank you!', result: { delivered: 1 } },
  })
  t.match(await messages(shop), [{ status: 'sent' }])
})

t.test('a message that is refused goes to the error port and stays in the list as failed', async (t) => {
  platform.answer((_received, response) => response.writeHead(422).end('{"error":"unsubscribed"}'))
  const { shop, id } = await runOnce([
    { ...MAIL, on_error: 'told' },
    {
      id: 'told',
      type: 'set',
      variables: { code: '{{steps.mail.output.error.code | default: "none"}}' },
    },
  ])
  const [step] = await shop.steps(id)
  t.match(step, { status: 'failed', port: 'error', error: { code: 'http_4xx' } })
  t.match(await messages(shop), [{ status: 'failed', body: 'Hello Ann' }])
})

t.test('a message to nobody, to more than one line or without text is not written', async (t) => {
  const cases: [data: object, code: string][] = [
    [{ name: 'Ann', email: ' ' }, 'missing_recipient'],
    [{ name: 'Ann', email: 'ann@example.com\r\nBcc: all@example.com' }, 'invalid_recipient'],
    [{ name: 'Ann' }, 'template_error'],
  ]
  for (const [data, code] of cases) {
    const { shop, id } = await runOnce([WRITTEN], data)
    t.match(await shop.steps(id), [{ status: 'failed', error: { code } }], code)
    t.strictSame(await messages(shop), [])
  }
  const { shop, id } = await runOnce([{ ...WRITTEN, body: '{{trigger.text}}' }], { ...ANN, text: '\n' })
  t.match(await shop.steps(id), [{ status: 'failed', error: { code: 'empty_message' } }])
  t.equal(ai.received.length + platform.received.length, 0)
})

t.test('each item of a loop has a message of its own', async (t) => {
  const body = [{ ...WRITTEN, to: '{{item}}', body: 'For {{item}}' }]
  const people = ['ann@example.com', 'bob@example.com', 'cy@example.com']
  const { shop } = await runOnce(
    [{ id: 'each', type: 'for_each', list: '{{trigger.people}}', body, concurrency: 2 }],
    { ...ANN, people },
  )
  const all = await messages(shop)
  t.strictSame(all.map(({ to }) => to).sort(), people)
  t.strictSame(all.map(({ iteration }) => iteration).sort(), ['0', '1', '2'])
  t.equal(platform.received.length, 3)
})

t.test('no secret reaches the AI, be it of the event, the operator or another step', async (t) => {
  const prompt = 'Write about {{trigger}} and {{trigger.note}} {{steps.look.output}}'
  platform.answer((_received, response) => response.end('{"id":"n_1","session_token":"tok-of-the-answer"}'))
  await runOnce(
    [
      { id: 'look', type: 'action', action_type: 'create_task', input: { title: 'x' } },
      { ...WRITTEN, ai: { prompt } },
    ],
    {
      ...ANN,
      password: 'correct-horse-battery',
      note: 'it is correct-horse-battery, the-token-of-the-platform, sk-operators-own-key-000000',
    },
  )
  t.equal(ai.received.length, 1)
  t.match(ai.requests()[0]?.messages[1]?.content, /ann@example\.com/)
  const bodies = ai.received.map(({ body }) => body).join()
  for (const secret of ['correct-horse', 'tok-of-the-answer', 'the-token-of', 'sk-operators']) {
    t.notMatch(bodies, secret)
  }
})

t.test('a test of the flow shows the template’s text; nothing is asked, recorded or sent', async (t) => {
  const shop = await world.shop()
  const flow = await publish(shop, [WRITTEN])
  const answer = await shop.tenant.post(`/api/automation/flows/${flow}/test`, { data: ANN })
  t.equal(answer.statusCode, 200, answer.body)
  t.match(answer.json<{ steps: unknown[] }>().steps, [
    {
      status: 'simulated',
      input: { to: 'ann@example.com', subject: 'Thank you, Ann', body: 'Hello Ann' },
      output: { source: 'template', body: 'Hello Ann', message_id: null },
      would: { kind: 'message', channel: 'email', to: 'ann@example.com', asks_ai: true },
    },
  ])
  t.strictSame(await messages(shop), [])
  t.equal(ai.received.length + platform.received.length, 0)
})

t.test(
  'messages are listed newest first, by page, execution, channel and time, to their tenant alone',
  async (t) => {
    const sms = { id: 'sms', type: 'message', channel: 'sms', to: '+4512345678', body: 'Hi' }
    const { shop, id } = await runOnce([MAIL, sms])
    await shop.send('order.created', { ...ANN, name: 'Bob' })
    await shop.run()
    const all = await messages(shop)
    t.strictSame(
      all.map(({ channel, body }) => [channel, body]),
      [
        ['sms', 'Hi'],
        ['email', 'Hello Bob'],
        ['sms', 'Hi'],
        ['email', 'Hello Ann'],
      ],
    )
    t.strictSame(
      (await messages(shop, `execution=${id}`)).map(({ step_id }) => step_id),
      ['sms', 'mail'],
    )
    t.equal((await messages(shop, 'channel=email')).length, 2)
    t.equal((await messages(shop, `since=${new Date(Date.now() + HOUR_MS).toISOString()}`)).length, 0)
    t.equal((await messages(shop, `since=${new Date(Date.now() - HOUR_MS).toISOString()}`)).length, 4)
    const first = (await shop.tenant.get('/api/automation/messages?limit=3')).json<{ next_cursor: string }>()
    t.strictSame(await messages(shop, `limit=3&cursor=${first.next_cursor}`), all.slice(3))
    t.equal((await shop.tenant.get('/api/automation/messages?cursor=x')).statusCode, 400)
    const one = `/api/automation/messages/${all[0]?.id}`
    t.strictSame((await shop.tenant.get(one)).json(), all[0])
    const other = await world.shop()
    t.strictSame(await messages(other), [])
    t.match((await other.tenant.get(one)).json(), { status: 404, code: 'message_not_found' })
    t.equal((await other.tenant.get(`/api/automation/messages/${newId()}`)).statusCode, 404)
  },
)
