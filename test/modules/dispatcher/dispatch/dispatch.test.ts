import { request } from 'node:http'
import t from 'tap'
import { parseSecret, verifyWebhook } from '#lib/secrets/signature.ts'
import { startApp, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { eventually } from '#test/support/deliveries.ts'
import { listen } from '#test/infra/app-on.ts'
import {
  actionAt,
  dispatch,
  gate,
  json,
  MANY_AT_ONCE,
  readLog,
  registerPlugin,
  startPlugin,
  WELCOME,
} from '../support.ts'

const service = await startApp(t)

t.test("the platform's documented calls work as they are written", async (t) => {
  const platform = await startPlugin(t, { '/api/customers': json(201, { id: 'c_1' }) })
  const plugin = await startPlugin(t, { '/hook': json(200, { message_id: 'm_1' }) })
  const withPlatform = await startApp(t, {
    env: { PLATFORM_URL: platform.url, PLATFORM_TOKEN: 'platform-token' },
  })
  const shop = withPlatform.tenant()
  const { id, secret } = await registerPlugin(shop, plugin.url, 'email-marketing', [WELCOME])
  const body = {
    flow_execution_id: 'flow_123',
    events: [
      { action_type: 'create_customer', payload: { email: 'ada@example.com', name: 'Ada' } },
      {
        action_type: 'send_welcome_email',
        plugin_id: id,
        payload: { to: 'ada@example.com', template: 'welcome' },
      },
    ],
  }
  const answer = await shop.post('/api/plugins/events/automation', body)
  t.equal(answer.statusCode, 200)
  t.match(answer.json(), {
    flow_execution_id: 'flow_123',
    results: [
      {
        action_type: 'create_customer',
        success: true,
        status: 'succeeded',
        data: { id: 'c_1' },
        response_status: 201,
        attempts: 1,
        replayed: false,
      },
      {
        action_type: 'send_welcome_email',
        success: true,
        status: 'succeeded',
        data: { message_id: 'm_1' },
        response_status: 200,
        attempts: 1,
        replayed: false,
      },
    ],
    summary: { total: 2, succeeded: 2, failed: 0 },
  })
  t.match(platform.received, [
    {
      method: 'POST',
      path: '/api/customers',
      headers: {
        authorization: 'Bearer platform-token',
        'x-tenant-id': shop.id,
        'idempotency-key': 'flow_123:#0',
        'content-type': 'application/json',
      },
      body: '{"email":"ada@example.com","name":"Ada"}',
    },
  ])
  const [call] = plugin.received
  t.match(call, { method: 'POST', path: '/hook', headers: { 'idempotency-key': 'flow_123:#1' } })
  t.strictSame(JSON.parse(call?.body ?? ''), {
    to: 'ada@example.com',
    template: 'welcome',
    action_type: 'send_welcome_email',
    tenant_id: shop.id,
    flow_execution_id: 'flow_123',
    invocation_id: call?.headers['webhook-id'],
    payload: { to: 'ada@example.com', template: 'welcome' },
  })
  const verified = verifyWebhook(call?.headers ?? {}, call?.body ?? '', [parseSecret(secret)], {
    toleranceSeconds: 300,
    nowSeconds: Math.floor(Date.now() / 1_000),
  })
  t.equal(verified, 'valid', 'signed like a delivery')

  const alias = await shop.post('/api/events/automation', body)
  t.match(alias.json(), { results: [{ replayed: true, data: { id: 'c_1' } }, { replayed: true }] })
  t.equal(platform.received.length + plugin.received.length, 2, 'the alias is the same dispatcher')
})

t.test('a plugin is named by UUID or slug, and needs no name where it alone has the action', async (t) => {
  const plugin = await startPlugin(t)
  const shop = service.tenant()
  const { id } = await registerPlugin(shop, plugin.url, 'mailer', [actionAt('mail')])
  const { results } = await dispatch(shop, [
    { action_type: 'mail', payload: {} },
    { action_type: 'mail', payload: {}, plugin_id: 'mailer' },
    { action_type: 'mail', payload: {}, plugin_id: id.toUpperCase() },
  ])
  t.ok(results.every(({ success }) => success))
  t.equal(plugin.calls('/mail').length, 3)
})

t.test('actions run one after the other, whatever became of those before', async (t) => {
  let underWay = 0
  let most = 0
  const order: string[] = []
  const plugin = await startPlugin(t, {
    '/step': (response, { body }) => {
      most = Math.max(most, ++underWay)
      const { n } = (JSON.parse(body) as { payload: { n: number } }).payload
      order.push(String(n))
      setImmediate(() => {
        underWay--
        json(n === 1 ? 422 : 200, { n })(response)
      })
    },
  })
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'steps', [actionAt('step')])
  const { results, summary } = await dispatch(
    shop,
    [0, 1, 2, 3].map((n) => ({ action_type: 'step', payload: { n } })),
  )
  t.strictSame(
    results.map(({ data, success }) => [data, success]),
    [
      [{ n: 0 }, true],
      [undefined, false],
      [{ n: 2 }, true],
      [{ n: 3 }, true],
    ],
  )
  t.strictSame(order, ['0', '1', '2', '3'])
  t.equal(most, 1)
  t.strictSame(summary, { total: 4, succeeded: 3, failed: 1 })
})

t.test('in parallel mode ten run at a time, and the results are in order', async (t) => {
  const all = gate()
  let underWay = 0
  let most = 0
  const plugin = await startPlugin(t, {
    '/step': (response, { body }) => {
      most = Math.max(most, ++underWay)
      if (underWay === 10) all.open()
      void all.opened.then(() => {
        setImmediate(() => {
          underWay--
          json(200, (JSON.parse(body) as { payload: object }).payload)(response)
        })
      })
    },
  })
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'steps', [actionAt('step')], MANY_AT_ONCE)
  const events = Array.from({ length: 40 }, (_, n) => ({ action_type: 'step', payload: { n } }))
  const { results } = await dispatch(shop, events, { mode: 'parallel' })
  t.strictSame(
    results.map(({ data }) => data),
    events.map(({ payload }) => payload),
  )
  t.equal(most, 10)
})

t.test('a malformed request is refused as a whole and does nothing', async (t) => {
  const plugin = await startPlugin(t)
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'mailer', [actionAt('mail')])
  const mail = { action_type: 'mail', payload: {} }
  const refused: [unknown, string][] = [
    [{ events: [] }, 'no action'],
    [{ events: Array.from({ length: 101 }, () => mail) }, 'more than a hundred'],
    [{ events: [mail, { payload: {} }] }, 'no action_type'],
    [{ events: [mail, { action_type: 'mail' }] }, 'no payload'],
    [{ events: [mail, { ...mail, payload: 'text' }] }, 'a payload that is no object'],
    [{ events: [mail, { ...mail, plugin: 'mailer' }] }, 'an unknown member'],
    [{ events: [mail], mode: 'random' }, 'an unknown mode'],
    [
      {
        events: [
          { ...mail, event_key: 'a' },
          { ...mail, event_key: 'a' },
        ],
      },
      'an event_key twice',
    ],
    [{ events: [{ ...mail, event_key: '#1' }, mail] }, 'an event_key that looks like a position'],
    [{ flow_execution_id: '', events: [mail] }, 'an empty flow_execution_id'],
    ['{"events":[', 'no JSON'],
  ]
  for (const [body, why] of refused) {
    const answer = await shop.post('/api/plugins/events/automation', body)
    t.equal(answer.statusCode, 400, `${why}: ${answer.body}`)
  }
  const other = await shop.post('/api/plugins/events/automation', {
    tenant_id: crypto.randomUUID(),
    events: [mail],
  })
  t.match(other.json(), { status: 403, code: 'tenant_mismatch' })
  t.equal(plugin.received.length, 0)
  t.strictSame(await readLog(shop), [])
})

t.test('without a flow_execution_id every request is a new one', async (t) => {
  const plugin = await startPlugin(t)
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'mailer', [actionAt('mail')])
  const first = await dispatch(shop, [{ action_type: 'mail', payload: {} }])
  const second = await dispatch(shop, [{ action_type: 'mail', payload: {} }])
  t.not(first.flow_execution_id, second.flow_execution_id)
  t.equal(plugin.calls('/mail').length, 2)
})

t.test('what was accepted goes on when the caller hangs up', async (t) => {
  const door = gate()
  const plugin = await startPlugin(t, {
    '/slow': (response) => void door.opened.then(() => json(200, {})(response)),
  })
  const port = await listen(service.app)
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'worker', [actionAt('slow'), actionAt('next')])
  const call = request({
    port,
    method: 'POST',
    path: '/api/plugins/events/automation',
    headers: {
      authorization: `Bearer ${TEST_PLATFORM_KEY}`,
      'x-tenant-id': shop.id,
      'content-type': 'application/json',
    },
  })
  call.on('error', () => undefined)
  const events = [
    { action_type: 'slow', payload: {} },
    { action_type: 'next', payload: {} },
  ]
  call.end(JSON.stringify({ flow_execution_id: 'gone', events }))
  await plugin.waitFor(1)
  call.destroy()
  await eventually(
    'the connection is closed',
    () =>
      new Promise<boolean>((resolve) =>
        service.app.server.getConnections((_error, count) => resolve(count === 0)),
      ),
  )
  door.open()
  await eventually('both are done', async () => (await readLog(shop)).length === 2)
  const { results } = await dispatch(shop, events, { flow_execution_id: 'gone' })
  t.match(results, [
    { success: true, replayed: true },
    { success: true, replayed: true },
  ])
  t.equal(plugin.calls().length, 2)
})

t.test(
  'numbers that a double cannot hold reach the plugin, the caller and a replay as they are',
  async (t) => {
    const plugin = await startPlugin(t, {
      '/count': (response) =>
        response
          .writeHead(200)
          .end('{"id":12345678901234567890,"exact":0.1000000000000000055511151231257827}'),
    })
    const shop = service.tenant()
    await registerPlugin(shop, plugin.url, 'counter', [actionAt('count')])
    const body =
      '{"flow_execution_id":"f","events":[{"action_type":"count","payload":{"id":98765432109876543210}}]}'
    const first = await shop.post('/api/plugins/events/automation', body)
    t.match(plugin.received[0]?.body, '"payload":{"id":98765432109876543210}')
    t.match(first.body, '"id":12345678901234567890')
    const again = await shop.post('/api/plugins/events/automation', body)
    t.match(again.body, '"replayed":true')
    t.match(again.body, '12345678901234567890')
    t.match(again.body, '0.1000000000000000055511151231257827')
  },
)
