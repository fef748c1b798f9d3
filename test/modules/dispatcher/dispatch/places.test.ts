import type { ServerResponse } from 'node:http'
import t from 'tap'
import { newId } from '#lib/ids.ts'
import type { DispatchResult } from '#modules/dispatcher/schemas.ts'
import { SharedPlaces } from '#lib/async/shared-places.ts'
import { CallPlaces, type Entrant } from '#modules/dispatcher/dispatch/places.ts'
import { MAX_CAUSATION_DEPTH } from '#modules/event/index.ts'
import { clientOf } from '#test/modules/plugin/support.ts'
import { startApp, type Tenant } from '#test/support/app.ts'
import { eventually } from '#test/support/deliveries.ts'
import {
  actionAt,
  dispatch,
  gate,
  invocationsOf,
  json,
  MANY_AT_ONCE,
  registerPlugin,
  startPlugin,
} from '../support.ts'

/** Called while the test holds its answer: as long as an action may take, also where the machine is slow. */
const HELD = actionAt('slow', { timeout_ms: 30_000 })

const call = (tenantId: string, pluginId: string | null = null, by: string | null = null): Entrant => ({
  tenantId,
  pluginId,
  by,
})

t.test('a party takes four fifths alone, and less of what others have left', async (t) => {
  const places = new SharedPlaces(10)
  const take = (party: string): number => {
    let count = 0
    while (places.take(party)) count++
    return count
  }
  t.equal(take('a'), 8)
  t.equal(take('b'), 2)
  t.equal(take('c'), 0)
  places.leave('a', 8)
  t.equal(take('c'), 7)
  places.leave('b', 2)
  places.leave('c', 7)
  t.notOk(places.take('a', 11), 'more than there are')
  t.notOk(places.take('a', 9), 'more than its share, in one')
  t.ok(places.take('a', 8))
})

t.test('who waits comes in turn, one of each party after the other', async (t) => {
  const places = new CallPlaces(1)
  const leave = await places.enter(call('a'))
  const came: string[] = []
  const pass = async (party: string): Promise<void> => {
    const end = await places.enter(call(party))
    came.push(party)
    end?.()
  }
  const all = [pass('a'), pass('a'), pass('a'), pass('b'), pass('b'), pass('c')]
  leave?.()
  await Promise.all(all)
  t.strictSame(came, ['a', 'b', 'c', 'a', 'b', 'a'])
})

t.test('whoever waits when the process stops goes on without a place', async (t) => {
  const places = new CallPlaces(1)
  await places.enter(call('a'))
  const waiting = places.enter(call('a'))
  places.close()
  t.type(await waiting, 'function')
  t.type(await places.enter(call('b')), 'function')
})

t.test('who waits for too long is told, and keeps nobody behind it waiting', async (t) => {
  const places = new CallPlaces(1, 20)
  const leave = await places.enter(call('a'))
  t.strictSame(await Promise.all([places.enter(call('a')), places.enter(call('b'))]), [null, null])
  leave?.()
  t.type(places.enter(call('b')), 'function', 'at once')
})

t.test('what a plugin dispatches while it is called goes on in the place of that call', async (t) => {
  const places = new CallPlaces(5, 20)
  const outer = Array.from({ length: 4 }, () => places.enter(call('a', 'outer')))
  t.ok(outer.every((leave) => typeof leave === 'function'))
  t.equal(await places.enter(call('a', 'outer')), null, 'the shop has its share')
  t.equal(await places.enter(call('a', 'inner', 'other')), null, 'no call of that plugin is open')
  t.type(places.enter(call('b', 'inner', 'outer')), 'function', 'another shop has places')
  const inner = Array.from({ length: 4 }, () => places.enter(call('a', 'inner', 'outer')))
  t.ok(
    inner.every((leave) => typeof leave === 'function'),
    'one for each open call, at once',
  )
  t.equal(await places.enter(call('a', 'inner', 'outer')), null, 'and no more')
  t.type(places.enter(call('a', null, 'inner')), 'function', 'a chain goes on')
  const waiting = places.enter(call('a', 'inner', 'outer'))
  const [first] = inner
  if (typeof first === 'function') first()
  t.type(await waiting, 'function', 'who waits for a lent place gets it when it is given back')
})

t.test('who came first goes on first, and what may borrow does not wait behind what may not', async (t) => {
  const places = new CallPlaces(1)
  const leave = await places.enter(call('a', 'p'))
  const came: string[] = []
  const pass = async (name: string, by: string | null): Promise<(() => void) | null> => {
    const end = await places.enter(call('a', 'q', by))
    came.push(name)
    return end
  }
  const plain = pass('plain', null)
  const lent = pass('lent', 'p')
  const end = await lent
  const second = pass('second', 'p')
  end?.()
  const endSecond = await second
  endSecond?.()
  leave?.()
  ;(await plain)?.()
  t.strictSame(came, ['lent', 'second', 'plain'])
})

t.test('a plugin that calls itself on and on is bounded', async (t) => {
  const places = new CallPlaces(2, 20)
  let depth = 0
  let by: string | null = null
  while ((await places.enter(call('a', 'p', by))) !== null) {
    depth++
    by = 'p'
  }
  t.equal(
    depth,
    2 * (1 + MAX_CAUSATION_DEPTH),
    'a chain as long as automations may follow each other, to a place',
  )
})

t.test('nothing is left of calls that have ended', async (t) => {
  const places = new CallPlaces(1, 20)
  for (let round = 0; round < 3; round++) {
    const outer = await places.enter(call('a', 'p'))
    const inner = await places.enter(call('a', 'q', 'p'))
    // A call may be given up while what it has dispatched goes on.
    outer?.()
    const late = await places.enter(call('a', 'q', 'p'))
    t.type(late, 'function', 'the place is free, and nothing is lent')
    t.equal(await places.enter(call('a', 'q', 'p')), null)
    late?.()
    inner?.()
  }
})

t.test('plugins that dispatch within their actions end when all places are taken by them', async (t) => {
  const service = await startApp(t, { env: { MAX_ACTIONS_IN_FLIGHT: '5' } })
  const shop = service.tenant()
  const { opened, open } = gate()
  const authors = new Map<string, Tenant>()
  const within =
    (plugin: string, action: string, isHeld = false) =>
    (response: ServerResponse): void => {
      const answer = async (): Promise<void> => {
        if (isHeld) await opened
        const { results } = await dispatch(authors.get(plugin) as Tenant, [
          { action_type: action, payload: {} },
        ])
        json(results[0]?.success === true ? 200 : 400, results[0])(response)
      }
      answer().catch((error: unknown) => json(500, { message: String(error) })(response))
    }
  const server = await startPlugin(t, {
    '/outer': within('outer', 'middle', true),
    '/middle': within('middle', 'leaf'),
  })
  for (const name of ['outer', 'middle', 'leaf']) {
    const { id: pluginId } = await registerPlugin(shop, server.url, name, [
      actionAt(name, { timeout_ms: 30_000 }),
    ])
    const given = await shop.patch(`/api/plugins/${name}`, { scopes: ['actions:call:*'] })
    t.equal(given.statusCode, 200, given.body)
    authors.set(name, await clientOf(service, shop, { pluginId }))
  }
  const asked = Array.from({ length: 8 }, () => dispatch(shop, [{ action_type: 'outer', payload: {} }]))
  await eventually('the shop has its share of places', () => server.calls('/outer').length === 4)
  open()
  for (const { results } of await Promise.all(asked)) t.match(results, [{ success: true, attempts: 1 }])
  t.strictSame(
    ['/outer', '/middle', '/leaf'].map((path) => server.calls(path).length),
    [8, 8, 8],
  )
})

t.test('dispatches of one shop to slow plugins leave places for another shop', async (t) => {
  const service = await startApp(t, { env: { MAX_ACTIONS_IN_FLIGHT: '10' } })
  const { opened, open } = gate()
  const slow = await startPlugin(t, {
    '/slow': (response) => void opened.then(() => json(200, {})(response)),
  })
  const quick = await startPlugin(t)
  const [large, small] = [service.tenant(), service.tenant()]
  await registerPlugin(large, slow.url, 'slow', [HELD], MANY_AT_ONCE)
  await registerPlugin(small, quick.url, 'quick', [actionAt('quick')])
  const asked = Array.from({ length: 30 }, () =>
    dispatch(large, [{ action_type: 'slow', payload: {} }], { flow_execution_id: newId() }),
  )
  await eventually('the slow ones have what they may', () => slow.calls().length === 8)
  await eventually(
    'the others are claimed and wait',
    async () => (await invocationsOf(service, large)).length === 30,
  )
  for (let count = 0; count < 3; count++) {
    const { summary } = await dispatch(small, [{ action_type: 'quick', payload: {} }])
    t.strictSame(summary, { total: 1, succeeded: 1, failed: 0 })
  }
  t.equal(slow.calls().length, 8, 'all of that while they were held')
  open()
  const answers = await Promise.all(asked)
  t.ok(
    answers.every(({ summary }) => summary.succeeded === 1),
    'nothing of the large shop is lost',
  )
  t.equal(slow.calls().length, 30)
})

t.test('beyond its share a shop is told to come again, and nothing of that was done', async (t) => {
  const service = await startApp(t, { env: { MAX_ACTIONS_IN_FLIGHT: '5' } })
  const { opened, open } = gate()
  const slow = await startPlugin(t, {
    '/slow': (response) => void opened.then(() => json(200, {})(response)),
  })
  const [large, small] = [service.tenant(), service.tenant()]
  await registerPlugin(large, slow.url, 'slow', [HELD], MANY_AT_ONCE)
  await registerPlugin(small, slow.url, 'quick', [actionAt('quick')])
  const list = Array.from({ length: 100 }, () => ({ action_type: 'slow', payload: {} }))
  const asked = Array.from({ length: 8 }, () => dispatch(large, list))
  await eventually(
    'four fifths of 1,000 actions are taken in',
    async () => (await invocationsOf(service, large)).length === 800,
  )
  const refused = await large.post('/api/events/automation', { events: list.slice(0, 1) })
  t.match(refused.json(), { status: 503, code: 'overloaded', detail: /the shop .* share/ })
  t.equal(refused.headers['retry-after'], '2')
  t.equal((await invocationsOf(service, large)).length, 800, 'nothing was claimed for it')
  t.equal((await dispatch(small, [{ action_type: 'quick', payload: {} }])).summary.succeeded, 1)
  open()
  for (const { summary } of await Promise.all(asked)) t.equal(summary.succeeded, 100)
  t.equal((await dispatch(large, list.slice(0, 1))).summary.succeeded, 1, 'and then it may')
})

t.test('bodies count, too', async (t) => {
  const service = await startApp(t, { env: { MAX_ACTIONS_IN_FLIGHT: '1' } })
  const { opened, open } = gate()
  const slow = await startPlugin(t, {
    '/slow': (response) => void opened.then(() => json(200, {})(response)),
  })
  const shop = service.tenant()
  await registerPlugin(shop, slow.url, 'slow', [HELD], MANY_AT_ONCE)
  const large = [{ action_type: 'slow', payload: { text: 'x'.repeat(1_000_000) } }]
  let refused = 0
  const answers = Array.from({ length: 20 }, async () => {
    const answer = await shop.post('/api/events/automation', { events: large })
    if (answer.statusCode === 503) refused++
    return answer
  })
  await eventually('those beyond are refused', () => refused === 7)
  open()
  const codes = (await Promise.all(answers)).map(({ statusCode }) => statusCode)
  t.equal(codes.filter((code) => code === 200).length, 13, 'four fifths of 16 MiB')
})

t.test('results in memory are shared out, and what is held beyond a share begins nothing', async (t) => {
  const service = await startApp(t, { env: { MAX_ACTIONS_IN_FLIGHT: '50' } })
  const { opened, open } = gate()
  const text = 'x'.repeat(250_000)
  const plugin = await startPlugin(t, {
    '/large': json(200, { text }),
    '/slow': (response) => void opened.then(() => json(200, {})(response)),
  })
  const [large, small] = [service.tenant(), service.tenant()]
  await registerPlugin(large, plugin.url, 'plugin', [actionAt('large'), HELD], MANY_AT_ONCE)
  await registerPlugin(small, plugin.url, 'quick', [actionAt('quick')])
  // Each holds 4 MB of results while its last action is under way.
  const list = [
    ...Array.from({ length: 16 }, () => ({ action_type: 'large', payload: {} })),
    { action_type: 'slow', payload: {} },
  ]
  const asked: Promise<DispatchResult>[] = []
  // Four fifths of 64 MiB are 53.7 million characters.
  for (let count = 0; count < 13; count++) asked.push(dispatch(large, list))
  await eventually('their results are there', () => plugin.calls('/slow').length === 13)
  // Its slow action has begun before nothing is begun any more, and keeps what it holds.
  const last = [...list].reverse()
  asked.push(dispatch(large, last, { mode: 'parallel' }))
  await eventually('the last one comes to where nothing is begun', async () => {
    const { data } = (await large.get('/api/automation/event-log?error_code=overloaded')).json<{
      data: unknown[]
    }>()
    return data.length > 0
  })
  const refused = await large.post('/api/events/automation', { events: list })
  t.match(refused.json(), { status: 503, code: 'overloaded' })
  t.equal(
    (await dispatch(small, [{ action_type: 'quick', payload: {} }])).summary.succeeded,
    1,
    'another shop may',
  )
  open()
  const answers = await Promise.all(asked)
  const whole = answers.slice(0, 13)
  t.ok(whole.every(({ summary }) => summary.succeeded === 17))
  const stopped = (answers[13]?.results ?? []).filter(({ success }) => !success)
  t.ok(stopped.length > 0 && stopped.length < 17, `${stopped.length} were not begun`)
  for (const each of stopped) t.match(each, { error: { code: 'overloaded' }, attempts: 0 })
  const again = await dispatch(large, last, { flow_execution_id: answers[13]?.flow_execution_id ?? '' })
  t.equal(again.summary.succeeded, 17, 'the same again does the rest')
  t.equal(again.results.filter(({ replayed }) => replayed).length, 17 - stopped.length)
})
