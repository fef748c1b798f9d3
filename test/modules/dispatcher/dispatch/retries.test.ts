import { createServer } from 'node:net'
import t from 'tap'
import { startApp } from '#test/support/app.ts'
import { actionAt, dispatch, json, readLog, registerPlugin, startPlugin } from '../support.ts'

const service = await startApp(t)
const IDEMPOTENT = { idempotent: true }

t.test('only an idempotent action is called again after its request was sent', async (t) => {
  let calls = 0
  const plugin = await startPlugin(t, {
    '/safe': (response) => json(++calls < 3 ? 503 : 200, { calls })(response),
    '/unsafe': json(503, {}),
    '/refused': json(422, {}),
  })
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'p', [
    actionAt('safe', IDEMPOTENT),
    actionAt('unsafe'),
    actionAt('refused', IDEMPOTENT),
  ])
  const { results } = await dispatch(
    shop,
    ['safe', 'unsafe', 'refused'].map((action_type) => ({ action_type, payload: {} })),
  )
  t.match(results, [
    { success: true, data: { calls: 3 }, attempts: 3 },
    { success: false, error: { code: 'http_5xx' }, attempts: 1 },
    { success: false, error: { code: 'http_4xx' }, attempts: 1 },
  ])
  const safe = plugin.calls('/safe')
  for (const header of ['idempotency-key', 'webhook-id']) {
    t.equal(new Set(safe.map(({ headers }) => headers[header])).size, 1, `${header} is the same`)
  }
  t.equal(new Set(safe.map(({ body }) => body)).size, 1)
  t.equal(plugin.calls('/unsafe').length, 1)
  t.match(await readLog(shop, 'action=safe'), [{ attempts: 3, success: true }])
})

t.test('an answer that broke off is no answer', async (t) => {
  let calls = 0
  const plugin = await startPlugin(t, {
    '/torn': (response) => {
      if (++calls > 1) {
        json(200, { whole: true })(response)
        return
      }
      response.writeHead(200, { 'content-length': '100' }).write('{"half":')
      setImmediate(() => response.socket?.resetAndDestroy())
    },
  })
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'p', [actionAt('torn', IDEMPOTENT)])
  const { results } = await dispatch(shop, [{ action_type: 'torn', payload: {} }])
  t.match(results, [{ success: true, data: { whole: true }, attempts: 2 }])
})

t.test('any action is called again when nobody was there to hear it', async (t) => {
  const plugin = await startPlugin(t)
  const { port } = new URL(plugin.url)
  await plugin.close()
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'p', [actionAt('do')])
  const server = createServer((socket) =>
    socket.once('data', () => socket.end('HTTP/1.1 204 No Content\r\n\r\n')),
  )
  t.teardown(() => server.close())
  const { egress } = service.app
  const request = egress.request.bind(egress)
  egress.request = async (wanted) => {
    const response = await request(wanted)
    // The plugin comes up as soon as it was missed.
    if (response.errorClass === 'connect_refused') {
      await new Promise<void>((resolve) => server.listen(Number(port), '127.0.0.1', resolve))
    }
    return response
  }
  const { results } = await dispatch(shop, [{ action_type: 'do', payload: {} }])
  egress.request = request
  t.match(results, [{ success: true, response_status: 204, attempts: 2 }])
})

t.test('a Retry-After that is longer than a caller waits ends the attempts', async (t) => {
  const plugin = await startPlugin(t, {
    '/busy': json(429, { message: 'Come back.' }, { 'retry-after': '60' }),
  })
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'p', [actionAt('busy', IDEMPOTENT)])
  const { results } = await dispatch(shop, [{ action_type: 'busy', payload: {} }])
  t.match(results, [
    { error: { code: 'http_4xx', message: 'Come back.' }, response_status: 429, attempts: 1 },
  ])
})

t.test('the plugin is asked at its state of now, not of when the dispatch began', async (t) => {
  const shop = service.tenant()
  const plugin = await startPlugin(t, {
    '/first': (response) => void shop.post('/api/plugins/p/pause').then(() => json(200, {})(response)),
  })
  await registerPlugin(shop, plugin.url, 'p', [actionAt('first'), actionAt('second')])
  const events = ['first', 'second'].map((action_type) => ({ action_type, payload: {} }))
  const { results } = await dispatch(shop, events)
  t.match(results, [{ success: true }, { success: false, error: { code: 'plugin_inactive' } }])
  t.equal(plugin.calls('/second').length, 0)
})
