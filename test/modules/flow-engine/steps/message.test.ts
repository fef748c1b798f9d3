import t from 'tap'
import { newId } from '#lib/ids.ts'
import { ANN, MAIL, messages, publish, startMessaging, WRITTEN } from './support.ts'
import { HOUR_MS, registerMailer, startReceiver, startWorld } from '../support.ts'

const { platform, ai, world, runOnce, sent } = await startMessaging(t)

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
    format: 'text',
    source: 'template',
    model: null,
    fallback_reason: null,
    fallback_detail: null,
    result: { id: 'n_1' },
  })
  t.match(message, { step_id: 'mail', status: 'sent', execution_id: id, ...mail })
  t.equal(ai.received.length, 0)
})

t.test('in an HTML email values are text, and go where the platform takes HTML', async (t) => {
  const steps = [
    {
      ...MAIL,
      format: 'html',
      subject: 'For {{trigger.name}}',
      body: '<p>Hello {{trigger.name}}</p>{% for x in trigger.items %}<li>{{x.name}}</li>{% endfor %}{{trigger.banner | raw}}',
    },
    { ...MAIL, id: 'plain', format: 'text', body: 'Hello {{trigger.name}}' },
  ]
  const data = {
    ...ANN,
    name: '<b>Ann</b> & "Co"',
    banner: '<i>Sale</i>',
    items: [{ name: 'A&B' }, { name: '<script>' }],
  }
  const { shop, id } = await runOnce(steps, data)
  const html =
    '<p>Hello &lt;b&gt;Ann&lt;/b&gt; &amp; &quot;Co&quot;</p><li>A&amp;B</li><li>&lt;script&gt;</li><i>Sale</i>'
  t.match(sent(), [
    { body: { subject: 'For <b>Ann</b> & "Co"', html, text: undefined, body: undefined } },
    { body: { text: 'Hello <b>Ann</b> & "Co"', html: undefined, body: undefined } },
  ])
  const [step] = await shop.steps(id)
  t.match(step?.output, { format: 'html', body: html })
  t.match(await messages(shop), [{ format: 'text' }, { format: 'html', body: html }])
})

t.test('what an AI wrote is plain text, also in an HTML email', async (t) => {
  ai.say('Dear <Ann>,\n\nthank you.')
  const { shop, id } = await runOnce([{ ...WRITTEN, format: 'html' }])
  t.match(sent(), [{ body: { html: '<p>Dear &lt;Ann&gt;,</p>\n<p>thank you.</p>' } }])
  const [step] = await shop.steps(id)
  t.match(step?.output, { source: 'ai', format: 'html' })
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
