import t from 'tap'
import { ACTIONS } from '#examples/email-plugin/capabilities.ts'
import { startApp } from '#test/support/app.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { startMailbox } from '#test/examples/mailbox.ts'
import { startPlugin } from '#test/examples/mailer-plugin.ts'
import { bodyOf, created, GRAPH, runnerOf } from '../support.ts'

t.test('the builder’s example runs as it is written, with the example plugin', async (t) => {
  const service = await startApp(t)
  const run = runnerOf(service)
  const shop = service.tenant()
  const mailbox = await startMailbox(t)
  const { plugin, secret } = await startPlugin(t, {
    smtpUrl: mailbox.url,
    automationUrl: 'http://127.0.0.1:1',
  })
  const log = await startReceiver(t)
  const register = async (body: object, slug: string, actions: readonly object[]) => {
    bodyOf(await shop.post('/api/plugins', { slug, name: slug, ...body }), 201)
    bodyOf(await shop.post(`/api/plugins/${slug}/register-actions`, { actions }))
  }
  await register({ webhook_url: `${plugin.url}/webhooks`, secret }, 'email-marketing', ACTIONS)
  const logging = { action_type: 'log_error', title: 'Log an error' }
  await register({ webhook_url: `${log.url}/hook` }, 'logging-plugin', [logging])

  const flow = await created(shop, GRAPH)
  t.match(flow, { status: 'active', published_version: 1 })
  const send = async (data: object) => {
    bodyOf(await shop.post('/api/events', { event: 'customer.created', data }), 202)
    await run(shop)
  }
  const customer = { customer_id: 'cus_1', customer_name: 'Ana', email: 'ana@example.com' }
  await send({ ...customer, location: { country: 'US' } })
  await send({ ...customer, location: { country: 'PT' } })
  t.equal(mailbox.mails.length, 1)
  t.match(mailbox.mails[0], { subject: 'Welcome, Ana!', to: [{ address: 'ana@example.com' }] })
  t.strictSame(log.received, [])

  await send({ customer_id: 'cus_2', customer_name: 'Bo', location: { country: 'US' } })
  t.equal(mailbox.mails.length, 1, 'nobody knows where Bo is to be written to')
  const told = JSON.parse(log.received[0]?.body.toString() ?? '{}') as object
  t.match(told, {
    action_type: 'log_error',
    payload: {},
    context: {
      flow_id: flow.id,
      flow_version: 1,
      step_id: 'error_handler_1',
      iteration: null,
      trigger: { event: 'customer.created', data: { customer_id: 'cus_2' }, data_omitted: false },
    },
  })
  const executions = await service.db
    .selectFrom('automation_executions')
    .select(['status', 'reason'])
    .where('flow_id', '=', flow.id)
    .orderBy('id')
    .execute()
  t.strictSame(executions, [
    { status: 'completed', reason: 'done' },
    { status: 'completed', reason: 'filtered' },
    { status: 'completed', reason: 'done' },
  ])
})
