import { randomBytes } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import t from 'tap'
import { newId } from '#lib/ids.ts'
import { clientOf } from '#test/modules/plugin/support.ts'
import { appOn } from '#test/infra/app-on.ts'
import { clientFor, startApp, type Tenant, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { eventually, sendEvents } from '#test/support/deliveries.ts'
import { actionAt, dispatch, gate, json, readLog, registerPlugin, startPlugin } from '../support.ts'

const WORK = actionAt('work', { timeout_ms: 30_000 })

/** Answers after a moment, and counts how many it answers at once. */
function counting(answerMs = 20) {
  const seen = { underWay: 0, most: 0 }
  const behaviour = (response: ServerResponse): void => {
    seen.most = Math.max(seen.most, ++seen.underWay)
    setTimeout(() => {
      seen.underWay--
      json(200, { done: true })(response)
    }, answerMs)
  }
  return { seen, behaviour }
}

const ask = (n: number) => ({ action_type: 'work', payload: { n } })

t.test(
  'a plugin gets as many calls at once as its max_in_flight allows, from all who dispatch',
  async (t) => {
    const service = await startApp(t)
    for (const [settings, allowed] of [
      [{}, 4],
      [{ max_in_flight: 1 }, 1],
      [{ max_in_flight: 7 }, 7],
    ] as const) {
      const { seen, behaviour } = counting()
      const plugin = await startPlugin(t, { '/work': behaviour })
      const shop = service.tenant()
      await registerPlugin(shop, plugin.url, 'worker', [WORK], settings)
      const dispatches = Array.from({ length: 8 }, (_, n) =>
        dispatch(
          shop,
          Array.from({ length: 4 }, (_, m) => ask(10 * n + m)),
          { mode: 'parallel' },
        ),
      )
      for (const { summary } of await Promise.all(dispatches)) t.strictSame(summary.succeeded, 4)
      t.equal(seen.most, allowed)
    }
  },
)

t.test('deliveries and calls of a plugin share its max_in_flight, and both come through', async (t) => {
  const service = await startApp(t, { env: { ROLES: 'api,worker' } })
  const { seen, behaviour } = counting()
  const plugin = await startPlugin(t, { '/work': behaviour, '/hook': behaviour })
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'worker', [WORK], { events: ['product.*'], max_in_flight: 3 })
  await sendEvents(shop, 60)
  const dispatches = Array.from({ length: 20 }, (_, n) => dispatch(shop, [ask(n), ask(100 + n)]))
  for (const { summary } of await Promise.all(dispatches)) t.equal(summary.succeeded, 2)
  const before = plugin.calls('/hook').length
  t.ok(before > 10, `${before} deliveries beside 40 calls`)
  await eventually('all is delivered', () => plugin.calls('/hook').length === 60)
  t.equal(seen.most, 3)
})

t.test('a rate limit holds for calls, and one that would wait too long is told when to come', async (t) => {
  const service = await startApp(t)
  const plugin = await startPlugin(t)
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'worker', [WORK], { rate_limit_per_second: 0.05 })
  const first = await dispatch(shop, [ask(1)])
  t.equal(first.summary.succeeded, 1)
  const id = newId()
  const second = await dispatch(shop, [{ ...ask(2), event_key: 'b' }], { flow_execution_id: id })
  t.match(second.results, [
    {
      success: false,
      attempts: 0,
      response_status: null,
      error: { code: 'plugin_busy', message: /rate limit.*\d+ s/ },
    },
  ])
  t.equal(plugin.calls('/work').length, 1)
  const [entry] = await readLog(shop)
  t.match(entry, { success: false, error_code: 'plugin_busy', attempts: 0 })
  // Nothing was done: the same request may do it.
  t.equal((await shop.patch('/api/plugins/worker', { rate_limit_per_second: null })).statusCode, 200)
  const again = await dispatch(shop, [{ ...ask(2), event_key: 'b' }], { flow_execution_id: id })
  t.match(again.results, [{ success: true, replayed: false, attempts: 1 }])
})

t.test(
  'Retry-After holds for all calls of a plugin, until it is over or the plugin is changed',
  async (t) => {
    const service = await startApp(t)
    let busy = true
    const plugin = await startPlugin(t, {
      '/work': (response) => {
        if (busy) json(429, { message: 'slow down' }, { 'retry-after': '40' })(response)
        else json(200, {})(response)
      },
    })
    const shop = service.tenant()
    await registerPlugin(shop, plugin.url, 'worker', [WORK])
    const first = await dispatch(shop, [ask(1)])
    t.match(first.results, [{ success: false, response_status: 429, attempts: 1 }])
    const others = await Promise.all(Array.from({ length: 5 }, (_, n) => dispatch(shop, [ask(n)])))
    for (const { results } of others) {
      t.match(results, [
        { success: false, attempts: 0, error: { code: 'plugin_busy', message: /Retry-After/ } },
      ])
    }
    t.equal(plugin.calls('/work').length, 1)
    busy = false
    t.equal((await shop.patch('/api/plugins/worker', { name: 'Worker, mended' })).statusCode, 200)
    const after = await dispatch(shop, [ask(9)])
    t.equal(after.summary.succeeded, 1)
  },
)

t.test('Retry-After of a call has deliveries wait, and that of a delivery has calls wait', async (t) => {
  const service = await startApp(t, { env: { ROLES: 'api,worker' } })
  const plugin = await startPlugin(t, {
    '/hook': json(429, {}, { 'retry-after': '30' }),
    '/work': json(429, {}, { 'retry-after': '30' }),
  })
  for (const [slug, first] of [
    ['delivered', '/hook'],
    ['called', '/work'],
  ] as const) {
    const shop = service.tenant()
    await registerPlugin(shop, plugin.url, slug, [WORK], { events: ['product.*'] })
    const before = plugin.calls().length
    if (first === '/hook') {
      await sendEvents(shop, 1)
      await eventually('it is delivered to', () => plugin.calls('/hook').length === 1)
      const { results } = await dispatch(shop, [ask(1)])
      t.match(results, [{ attempts: 0, error: { code: 'plugin_busy' } }])
    } else {
      await dispatch(shop, [ask(1)])
      await sendEvents(shop, 1)
      const held = await eventually('its lane is given back until then', async () => {
        const lane = await service.db
          .selectFrom('delivery_lanes')
          .select(['hold_until', 'lease_until'])
          .where('tenant_id', '=', shop.id)
          .executeTakeFirstOrThrow()
        return lane.lease_until === null && lane.hold_until !== null ? lane : null
      })
      t.ok(held)
    }
    t.equal(plugin.calls().length, before + 1)
  }
})

t.test('what a plugin calls while it answers does not wait for itself', async (t) => {
  const service = await startApp(t)
  const shop = service.tenant()
  const authors = new Map<string, Tenant>()
  const within = (name: string, inner: string) => (response: ServerResponse) => {
    const answer = async (): Promise<void> => {
      const { results } = await dispatch(authors.get(name) as Tenant, [{ action_type: inner, payload: {} }])
      json(results[0]?.success === true ? 200 : 400, results[0])(response)
    }
    answer().catch((error: unknown) => json(500, { message: String(error) })(response))
  }
  const plugin = await startPlugin(t, { '/a': within('one', 'b'), '/b': within('two', 'c') })
  for (const [name, actions] of [
    ['one', [actionAt('a'), actionAt('c')]],
    ['two', [actionAt('b')]],
  ] as const) {
    const { id: pluginId } = await registerPlugin(shop, plugin.url, name, [...actions], { max_in_flight: 1 })
    t.equal((await shop.patch(`/api/plugins/${name}`, { scopes: ['actions:call:*'] })).statusCode, 200)
    authors.set(name, await clientOf(service, shop, { pluginId }))
  }
  const asked = await Promise.all(
    Array.from({ length: 6 }, () => dispatch(shop, [{ action_type: 'a', payload: {} }])),
  )
  for (const { results } of asked) t.match(results, [{ success: true, attempts: 1 }])
  t.equal(plugin.calls('/c').length, 6)
})

t.test('processes share it, and who waits in one that stops is told', async (t) => {
  const env = { MASTER_KEY: randomBytes(32).toString('base64') }
  const first = await startApp(t, { env })
  const second = await appOn(t, first.databaseUrl, { env })
  const { opened, open } = gate()
  const { seen, behaviour } = counting(50)
  const plugin = await startPlugin(t, {
    '/work': behaviour,
    '/held': (response) => void opened.then(() => json(200, {})(response)),
  })
  const shop = first.tenant()
  const held = actionAt('held', { timeout_ms: 30_000 })
  await registerPlugin(shop, plugin.url, 'worker', [WORK, held], { max_in_flight: 4 })
  const elsewhere = clientFor(second, shop.id, TEST_PLATFORM_KEY)
  // Each hears of the other.
  for (const client of [shop, elsewhere, shop]) await dispatch(client, [ask(0)])
  seen.most = 0
  const all = Array.from({ length: 30 }, (_, n) =>
    [shop, elsewhere].map((client) => dispatch(client, [ask(n)])),
  )
  for (const { summary } of await Promise.all(all.flat())) t.equal(summary.succeeded, 1)
  t.equal(seen.most, 4)

  const holding = [1, 2].map(() => dispatch(elsewhere, [{ action_type: 'held', payload: {} }]))
  await eventually('its share is taken', () => plugin.calls('/held').length === 2)
  const waiting = dispatch(elsewhere, [ask(1)])
  await eventually('one waits', async () => {
    const metrics = await second.inject({
      url: '/metrics',
      headers: { authorization: `Bearer ${TEST_PLATFORM_KEY}` },
    })
    return /^bcs_plugin_calls_waiting 1$/m.test(metrics.body)
  })
  const stopped = second.close()
  t.match((await waiting).results, [{ success: false, attempts: 0, error: { code: 'plugin_busy' } }])
  open()
  for (const { summary } of await Promise.all(holding)) t.equal(summary.succeeded, 1)
  await stopped
})
