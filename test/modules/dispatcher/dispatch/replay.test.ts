import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import t from 'tap'
import { appOn } from '#test/infra/app-on.ts'
import { clientFor, startApp, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { eventually } from '#test/support/deliveries.ts'
import { actionAt, dispatch, gate, json, readLog, registerPlugin, startPlugin } from '../support.ts'

const env = { MASTER_KEY: randomBytes(32).toString('base64') }
const service = await startApp(t, { env })

t.test('the same dispatch again runs what failed, and nothing that had succeeded', async (t) => {
  let healthy = false
  const plugin = await startPlugin(t, {
    '/flaky': (response) => json(healthy ? 200 : 500, { healthy })(response),
  })
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'p', [actionAt('sure'), actionAt('flaky')])
  const events = [
    { action_type: 'sure', payload: { a: 1, b: { c: 2, d: [3] } }, event_key: 'first' },
    { action_type: 'flaky', payload: {}, event_key: 'second' },
    { action_type: 'unknown', payload: {}, event_key: 'third' },
  ]
  const fields = { flow_execution_id: 'again' }
  const first = await dispatch(shop, events, fields)
  t.match(first.results, [{ success: true, replayed: false }, { success: false }, { success: false }])
  healthy = true
  const second = await dispatch(shop, events, fields)
  t.match(second.results, [
    { success: true, replayed: true, data: { done: true }, response_status: 200, attempts: 1 },
    { success: true, replayed: false, data: { healthy: true } },
    { success: false, error: { code: 'unknown_action' } },
  ])
  t.equal(second.results[0]?.invocation_id, first.results[0]?.invocation_id)
  const third = await dispatch(shop, events, fields)
  t.match(third.results, [{ replayed: true }, { replayed: true }, { success: false }])
  t.equal(plugin.calls('/sure').length, 1)
  t.equal(plugin.calls('/flaky').length, 2)
  t.equal(
    new Set(plugin.calls('/flaky').map(({ headers }) => headers['idempotency-key'])).size,
    1,
    'it is called again under the same key',
  )
})

t.test('members in another order are the same payload', async (t) => {
  const plugin = await startPlugin(t)
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'p', [actionAt('do')])
  const fields = { flow_execution_id: 'order' }
  await dispatch(shop, [{ action_type: 'do', payload: { a: 1, b: { c: 2, d: 3 } } }], fields)
  const { results } = await dispatch(
    shop,
    [{ action_type: 'do', payload: { b: { d: 3, c: 2 }, a: 1 } }],
    fields,
  )
  t.match(results, [{ success: true, replayed: true }])
})

t.test('a key stands for one action, plugin and payload', async (t) => {
  const plugin = await startPlugin(t)
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'p', [actionAt('do'), actionAt('other')])
  const fields = { flow_execution_id: 'conflict' }
  const event = { action_type: 'do', payload: { n: 1 }, event_key: 'k' }
  await dispatch(shop, [event], fields)
  for (const another of [
    { ...event, payload: { n: 2 } },
    { ...event, action_type: 'other' },
    { ...event, plugin_id: 'p' },
  ]) {
    const { results } = await dispatch(shop, [another], fields)
    t.match(results, [{ success: false, error: { code: 'event_key_conflict' }, attempts: 0 }])
  }
  t.equal(plugin.calls().length, 1)
  const { results } = await dispatch(shop, [event], { flow_execution_id: 'elsewhere' })
  t.match(results, [{ success: true, replayed: false }], 'in another execution it is another action')
})

t.test('tenants have executions of their own', async (t) => {
  const plugin = await startPlugin(t)
  for (const shop of [service.tenant(), service.tenant()]) {
    await registerPlugin(shop, plugin.url, 'p', [actionAt('do')])
    const { results } = await dispatch(shop, [{ action_type: 'do', payload: {} }], {
      flow_execution_id: 'shared',
    })
    t.match(results, [{ success: true, replayed: false }])
  }
  t.equal(plugin.calls().length, 2)
})

t.test('names that would run together give Idempotency-Keys of their own', async (t) => {
  const plugin = await startPlugin(t)
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'p', [actionAt('do')])
  const names: [string, string][] = [
    ['a:b', 'c'],
    ['a', 'b:c'],
    ['a%3Ab', 'c'],
    ['zwölf\n', 'ключ'],
    ['x'.repeat(255), 'y'.repeat(128)],
  ]
  for (const [flow_execution_id, event_key] of names) {
    const { results } = await dispatch(shop, [{ action_type: 'do', payload: {}, event_key }], {
      flow_execution_id,
    })
    t.match(results, [{ success: true, replayed: false }])
  }
  const keys = plugin.calls().map(({ headers }) => String(headers['idempotency-key']))
  t.equal(new Set(keys).size, names.length, keys.join(' '))
  t.ok(keys.every((key) => /^[\x21-\x7e]{1,200}$/.test(key)))
})

t.test('what succeeded stays so when its plugin is gone', async (t) => {
  const plugin = await startPlugin(t)
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'p', [actionAt('do')])
  const fields = { flow_execution_id: 'gone' }
  const events = [{ action_type: 'do', payload: { n: 1 } }]
  await dispatch(shop, events, fields)
  t.equal((await shop.delete('/api/plugins/p')).statusCode, 204)
  t.match((await dispatch(shop, events, fields)).results, [{ success: true, replayed: true }])
  t.match((await dispatch(shop, [{ action_type: 'do', payload: { n: 2 } }], fields)).results, [
    { error: { code: 'unknown_action' } },
  ])
  t.equal(plugin.calls().length, 1)
})

t.test('asked again while it runs, by any replica, each action is done once', async (t) => {
  const door = gate()
  const plugin = await startPlugin(t, {
    '/slow': (response) => void door.opened.then(() => json(200, { slow: true })(response)),
  })
  const shop = service.tenant()
  const replica = clientFor(await appOn(t, service.databaseUrl, { env }), shop.id, TEST_PLATFORM_KEY)
  await registerPlugin(shop, plugin.url, 'p', [actionAt('quick'), actionAt('slow'), actionAt('after')])
  const events = ['quick', 'slow', 'after'].map((action_type) => ({ action_type, payload: {} }))
  const fields = { flow_execution_id: 'twice' }
  const first = dispatch(shop, events, fields)
  await plugin.waitFor(2)
  const others = [shop, shop, replica, replica].map((client) => dispatch(client, events, fields))
  door.open()
  t.match((await first).results, [{ replayed: false }, { replayed: false }, { replayed: false }])
  for (const { results } of await Promise.all(others)) {
    t.match(
      results,
      events.map(() => ({ success: true, replayed: true })),
    )
  }
  t.equal(plugin.calls().length, 3)
  t.equal((await readLog(shop)).length, 3, 'and logged once')
})

t.test('twenty at the same moment on two replicas do each action once', async (t) => {
  const plugin = await startPlugin(t)
  const shop = service.tenant()
  const replica = clientFor(await appOn(t, service.databaseUrl, { env }), shop.id, TEST_PLATFORM_KEY)
  await registerPlugin(shop, plugin.url, 'p', [actionAt('do')])
  const events = Array.from({ length: 10 }, (_, n) => ({ action_type: 'do', payload: { n } }))
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, n) =>
      dispatch(n % 2 === 0 ? shop : replica, n % 4 < 2 ? events : events.map((each) => ({ ...each })), {
        flow_execution_id: 'race',
        mode: n % 3 === 0 ? 'parallel' : 'sequential',
      }),
    ),
  )
  t.ok(answers.every(({ summary }) => summary.succeeded === 10))
  t.equal(plugin.calls().length, 10)
  const doneBy = answers.flatMap(({ results }) => results).filter(({ replayed }) => !replayed)
  t.equal(doneBy.length, 10)
})

t.test('what another process had begun and left is taken over when its lease has run out', async (t) => {
  const door = gate()
  const plugin = await startPlugin(t, {
    '/do': (response) => void door.opened.then(() => json(200, {})(response)),
  })
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'p', [actionAt('do')])
  const fields = { flow_execution_id: 'left' }
  const events = [{ action_type: 'do', payload: {} }]
  const frozen = dispatch(shop, events, fields)
  await plugin.waitFor(1)
  await service.db
    .updateTable('action_invocations')
    .set({ lease_until: new Date(0) })
    .where('tenant_id', '=', shop.id)
    .execute()
  const taker = dispatch(shop, events, fields)
  await plugin.waitFor(2)
  door.open()
  const results = [(await frozen).results[0], (await taker).results[0]]
  t.match(results[1], { success: true, replayed: false }, 'the taker has it')
  t.match(results[0], { success: false, error: { code: 'in_progress' } }, 'who lost it writes nothing')
  const keys = plugin.calls().map(({ headers }) => headers['idempotency-key'])
  t.equal(new Set(keys).size, 1)
  const log = await readLog(shop)
  t.strictSame(log.map(({ error_code }) => error_code).sort(), ['in_progress', null])
  t.match((await dispatch(shop, events, fields)).results, [{ success: true, replayed: true }])
})

t.test('what a crash of the database forgot while it was done is recorded under the same id', async (t) => {
  const door = gate()
  const plugin = await startPlugin(t, {
    '/do': (response) => void door.opened.then(() => json(200, { n: 1 })(response)),
    '/later': (response) => void door.opened.then(() => json(202, {})(response)),
    '/no': (response) => void door.opened.then(() => json(422, {})(response)),
  })
  const shop = service.tenant()
  await registerPlugin(
    shop,
    plugin.url,
    'p',
    ['do', 'later', 'no'].map((name) => actionAt(name)),
  )
  const fields = { flow_execution_id: 'forgotten', mode: 'parallel' as const }
  const events = ['do', 'later', 'no'].map((action_type) => ({ action_type, payload: {} }))
  const running = dispatch(shop, events, fields)
  await plugin.waitFor(3)
  await service.db.deleteFrom('action_invocations').where('tenant_id', '=', shop.id).execute()
  door.open()
  const { results } = await running
  t.match(results, [
    { success: true, replayed: false, data: { n: 1 } },
    { success: true, replayed: false, status: 'accepted' },
    { success: false, replayed: false, response_status: 422 },
  ])
  const again = await dispatch(shop, events, fields)
  t.match(again.results, [
    { success: true, replayed: true, data: { n: 1 }, invocation_id: results[0]?.invocation_id },
    { success: true, replayed: true, invocation_id: results[1]?.invocation_id },
    { success: false, replayed: false, invocation_id: results[2]?.invocation_id },
  ])
  t.equal(plugin.calls('/do').length, 1)
  t.equal(plugin.calls('/later').length, 1)
  t.equal((await readLog(shop)).length, 4, 'each call has one entry')
  const token = String(plugin.calls('/later')[0]?.headers['x-completion-token'])
  const completed = await service.app.inject({
    method: 'POST',
    url: `/api/actions/${results[1]?.invocation_id}/complete`,
    headers: { 'x-completion-token': token },
    payload: { success: true, data: {} },
  })
  t.equal(completed.statusCode, 200, completed.body)
})

t.test('what a crash forgot and somebody else has begun since then is left to them', async (t) => {
  const doors = [gate(), gate()]
  const plugin = await startPlugin(t, {
    '/do': (response) => void doors[plugin.calls().length - 1]?.opened.then(() => json(200, {})(response)),
  })
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'p', [actionAt('do')])
  const fields = { flow_execution_id: 'begun anew' }
  const events = [{ action_type: 'do', payload: {} }]
  const first = dispatch(shop, events, fields)
  await plugin.waitFor(1)
  await service.db.deleteFrom('action_invocations').where('tenant_id', '=', shop.id).execute()
  const second = dispatch(shop, events, fields)
  await plugin.waitFor(2)
  doors[0]?.open()
  t.match((await first).results, [{ success: false, error: { code: 'in_progress' } }])
  doors[1]?.open()
  t.match((await second).results, [{ success: true, replayed: false }])
})

t.test('a process that lost what it had claimed does not begin it', async (t) => {
  const door = gate()
  const plugin = await startPlugin(t, {
    '/first': (response) => void door.opened.then(() => json(200, {})(response)),
  })
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'p', [actionAt('first', { timeout_ms: 30_000 }), actionAt('second')])
  const fields = { flow_execution_id: 'lost' }
  const events = ['first', 'second'].map((action_type) => ({ action_type, payload: {} }))
  const slow = dispatch(shop, events, fields)
  await plugin.waitFor(1)
  // Another process did the second action while this one did not run: its clock stood still, so it has to ask.
  await service.db
    .updateTable('action_invocations')
    .set({ status: 'succeeded', lease_token: 7, data: '{"by":"another"}', finished_at: new Date() })
    .where('tenant_id', '=', shop.id)
    .where('event_key', '=', '#1')
    .execute()
  const now = performance.now.bind(performance)
  performance.now = () => now() + 14_000
  t.teardown(() => Reflect.deleteProperty(performance, 'now'))
  door.open()
  t.match((await slow).results, [
    { success: true, replayed: false },
    { success: true, replayed: true, data: { by: 'another' } },
  ])
  t.equal(plugin.calls('/second').length, 0)
})

t.test('a dispatch that cannot go on gives back what it had not begun', async (t) => {
  const plugin = await startPlugin(t)
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'p', [actionAt('first'), actionAt('second')])
  const fields = { flow_execution_id: 'broken' }
  const events = ['first', 'second'].map((action_type) => ({ action_type, payload: {} }))
  const { deliveries } = service.app
  const target = deliveries.target.bind(deliveries)
  deliveries.target = () => Promise.reject(new Error('the database is away'))
  const failed = await shop.post('/api/plugins/events/automation', { ...fields, events })
  deliveries.target = target
  t.equal(failed.statusCode, 500)
  // A wait for the end of this lease would be noticed.
  await sql`update action_invocations set lease_until = lease_until + interval '1 hour'
    where tenant_id = ${shop.id} and status = 'running'`.execute(service.db)
  const { results } = await dispatch(shop, events, fields)
  t.match(results, [{ success: true }, { success: true }], 'without waiting for leases to run out')
  await eventually('nothing is held', async () => {
    const open = await service.db
      .selectFrom('action_invocations')
      .select('id')
      .where('tenant_id', '=', shop.id)
      .where('status', '=', 'running')
      .execute()
    return open.length === 0
  })
})
