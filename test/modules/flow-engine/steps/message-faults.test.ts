import t from 'tap'
import { completion } from '#test/modules/message/support.ts'
import { ANN, MAIL, messages, publish, startMessaging, WRITTEN } from './support.ts'
import { HOUR_MS } from '../support.ts'

const { platform, ai, world, runOnce, sent } = await startMessaging(t)

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
