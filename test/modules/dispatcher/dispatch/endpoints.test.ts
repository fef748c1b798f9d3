import t from 'tap'
import { startApp } from '#test/support/app.ts'
import { actionAt, dispatch, registerPlugin, startPlugin } from '../support.ts'

const HOSTILE = [
  '//evil/',
  '///evil',
  '@evil/',
  '/@evil/',
  '../../admin',
  '/../admin',
  '/a/../../admin',
  '/%2e%2e/admin',
  '/..%2fadmin',
  '\\\\evil\\',
  '/\\evil',
  'https://evil/',
  'http:evil',
  '/a#b',
  '/a\tb',
  '/a b',
  '.',
]

const service = await startApp(t)

t.test('an endpoint that could leave the plugin is not registered', async (t) => {
  const plugin = await startPlugin(t)
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'p', [actionAt('do')])
  for (const endpoint of HOSTILE) {
    const answer = await shop.post('/api/plugins/p/register-actions', {
      actions: [{ action_type: 'evil', title: 'Evil', endpoint }],
    })
    t.match(answer.json(), { errors: [{ pointer: '/actions/0/endpoint' }] }, endpoint)
    t.ok(answer.statusCode === 400 || answer.statusCode === 422)
  }
})

t.test('and if one were stored, nothing but the plugin would be called', async (t) => {
  const evil = await startPlugin(t)
  const plugin = await startPlugin(t)
  const shop = service.tenant()
  const { id } = await registerPlugin(shop, plugin.url, 'p', [actionAt('do')])
  const { host } = new URL(evil.url)
  const endpoints = [
    ...HOSTILE,
    `//${host}/`,
    `@${host}/`,
    `\\\\${host}\\`,
    `http://${host}/`,
    `:80@${host}/`,
  ]
  for (const endpoint of endpoints) {
    await service.db
      .updateTable('plugins')
      .set((eb) => ({
        registered_actions: eb.fn('jsonb_set', [
          'registered_actions',
          eb.val('{0,endpoint}'),
          eb.val(JSON.stringify(endpoint)),
        ]),
      }))
      .where('id', '=', id)
      .execute()
    await service.db
      .updateTable('tenants')
      .set((eb) => ({ actions_version: eb('actions_version', '+', 1) }))
      .where('id', '=', shop.id)
      .execute()
    const { results } = await dispatch(shop, [{ action_type: 'do', payload: {} }])
    t.match(results, [{ success: false, error: { code: 'blocked' }, response_status: null }], endpoint)
  }
  t.equal(evil.received.length + plugin.received.length, 0)
})

t.test('an endpoint stays below the base URL that the plugin has now', async (t) => {
  const before = await startPlugin(t)
  const after = await startPlugin(t)
  const shop = service.tenant()
  await registerPlugin(shop, before.url, 'p', [actionAt('do')])
  await dispatch(shop, [{ action_type: 'do', payload: {} }])
  const moved = await shop.patch('/api/plugins/p', {
    webhook_url: `${after.url}/hook`,
    base_url: `${after.url}/v2`,
  })
  t.equal(moved.statusCode, 200, moved.body)
  const { results } = await dispatch(shop, [{ action_type: 'do', payload: {} }])
  t.match(results, [{ success: true }])
  t.strictSame([before.received.length, after.received.map(({ path }) => path)], [1, ['/v2/do']])
})

t.test("an id cannot climb out of the platform's path", async (t) => {
  const platform = await startPlugin(t)
  const other = await startApp(t, { env: { PLATFORM_URL: `${platform.url}/shop/` } })
  const ids = ['..', '.', '../admin', '..%2fadmin', 'a/b', 'a?b#c', '\\evil\\', '@evil', '//evil/', 'ü 1', 7]
  const { results } = await dispatch(
    other.tenant(),
    ids.map((id) => ({ action_type: 'update_order_status', payload: { id, status: 'paid' } })),
  )
  t.strictSame(
    results.map(({ success, error }) => (success ? 'ok' : error?.code)),
    ids.map((id) => (id === '..' || id === '.' ? 'invalid_payload' : 'ok')),
  )
  t.strictSame(
    platform.received.map(({ path }) => path),
    ids.slice(2).map((id) => `/shop/api/orders/${encodeURIComponent(id)}/status`),
  )
})
