import t from 'tap'
import { MAX_COMPLETION_TOKEN_CHARS } from '#modules/dispatcher/completion/token.ts'
import { startApp, type Tenant } from '#test/support/app.ts'
import type { Received } from '#test/support/receiver.ts'
import { completeCall, flowActionShop, invocationsOf, json, readLog, startPlugin } from './support.ts'

const service = await startApp(t)
/** As long as names of actions may be. */
const LONG = 'a'.repeat(100)
const shopWith = (url: string, action?: string) => flowActionShop(service, url, action)
const complete = (received: Received | undefined, body: object) => completeCall(service, received, body)
const rowsOf = (shop: Tenant) => invocationsOf(service, shop)
const FAILURE = { success: false, error: { code: 'busy', message: 'Later.' } }

t.test('an action of a step is called under its name, and the log alone tells of it', async (t) => {
  const plugin = await startPlugin(t)
  const { shop, run } = await shopWith(plugin.url)
  const first = await run()
  t.match(first, { success: true, status: 'succeeded', data: { done: true }, attempts: 1, replayed: false })
  const second = await run()
  t.equal(second.invocationId, first.invocationId, 'whatever is repeated is one invocation')
  const [one, two] = plugin.received
  t.equal(one?.headers['idempotency-key'], two?.headers['idempotency-key'])
  t.equal(one?.headers['webhook-id'], first.invocationId)
  t.match(await readLog(shop), [
    { status: 'succeeded', invocation_id: first.invocationId },
    { status: 'succeeded', invocation_id: first.invocationId },
  ])
  t.strictSame(await rowsOf(shop), [])
})

t.test('what is refused is logged, and no one is called', async (t) => {
  const plugin = await startPlugin(t)
  const { shop, run } = await shopWith(plugin.url)
  t.match(await run({ actionType: 'sing' }), { success: false, error: { code: 'unknown_action' } })
  t.match(await readLog(shop), [{ action_type: 'sing', success: false, error_code: 'unknown_action' }])
  t.equal(plugin.received.length, 0)
})

t.test('what a plugin repeats of the tokens that it was sent is in no result', async (t) => {
  const plugin = await startPlugin(t, {
    '/work': (response, { headers }) => json(200, { said: Object.values(headers).join(' ') })(response),
  })
  const { shop, run } = await shopWith(plugin.url)
  const shown = JSON.stringify([await run(), await readLog(shop)])
  const sent = plugin.received[0]?.headers ?? {}
  for (const name of ['x-completion-token', 'x-causation-token']) {
    t.type(sent[name], 'string', name)
    t.notMatch(shown, String(sent[name]), name)
  }
})

t.test('what was accepted is completed later, and not called again by who takes it over', async (t) => {
  const plugin = await startPlugin(t, { '/work': json(202, { queued: true }) })
  const { shop, run, find } = await shopWith(plugin.url)
  t.match(await run(), { success: true, status: 'accepted', data: { queued: true } })
  t.match(await find(), { status: 'accepted' })
  t.match(await run({ mayHaveRun: true }), { status: 'accepted', replayed: true })
  t.equal(plugin.received.length, 1)
  t.equal((await complete(plugin.received[0], { success: true, data: { n: 1 } })).statusCode, 200)
  t.match(await find(), { status: 'succeeded', data: { n: 1 } })
  t.match(await run({ mayHaveRun: true }), { status: 'succeeded', data: { n: 1 }, replayed: true })
  t.equal(plugin.received.length, 1)
  t.match(await readLog(shop), [{ status: 'succeeded', result: { n: 1 } }])
  t.equal((await complete(plugin.received[0], { success: true, data: { n: 1 } })).statusCode, 200)
  t.match((await complete(plugin.received[0], { success: true })).json(), { code: 'invocation_completed' })
})

t.test('a plugin that completes before it answers has completed', async (t) => {
  const plugin = await startPlugin(t, {
    '/work': (response, received) => {
      void complete(received, { success: true, data: { early: true } }).then(({ statusCode }) => {
        json(202, { completed: statusCode })(response)
      })
    },
  })
  const { shop, run, find } = await shopWith(plugin.url)
  t.match(await run(), { success: true, status: 'succeeded', data: { early: true }, replayed: false })
  t.match(await find(), { status: 'succeeded', data: { early: true } })
  t.match(await readLog(shop), [{ status: 'succeeded', result: { early: true } }])
})

t.test('who takes over a call finds what the plugin said of it meanwhile', async (t) => {
  const plugin = await startPlugin(t, { '/work': (response) => response.destroy() })
  const { run } = await shopWith(plugin.url)
  t.match(await run(), { success: false, transient: true })
  t.equal((await complete(plugin.received[0], { success: true, data: { late: true } })).statusCode, 200)
  const calls = plugin.received.length
  t.match(await run({ mayHaveRun: true }), { status: 'succeeded', data: { late: true }, replayed: true })
  t.equal(plugin.received.length, calls)
})

t.test('a failure that a plugin tells of before it answers is what counts', async (t) => {
  const plugin = await startPlugin(t, {
    '/work': (response, received) => {
      void complete(received, FAILURE).then(({ statusCode }) =>
        json(202, { completed: statusCode })(response),
      )
    },
  })
  const { shop, run, find } = await shopWith(plugin.url)
  t.match(await run(), { success: false, status: 'failed', error: { code: 'busy' }, transient: false })
  t.match(await find(), { status: 'failed', error: { code: 'busy' } })
  t.match(await readLog(shop), [{ success: false, error_code: 'busy' }])
})

t.test('what a plugin has reported as failed is not called again by who takes it over', async (t) => {
  const plugin = await startPlugin(t, { '/work': json(202, {}) })
  const { run, find } = await shopWith(plugin.url)
  await run()
  t.equal((await complete(plugin.received[0], FAILURE)).statusCode, 200)
  t.match(await run({ mayHaveRun: true }), { status: 'failed', error: { code: 'busy' }, transient: false })
  t.match(await find(), { status: 'failed' })
  t.equal(plugin.received.length, 1)
})

t.test('an action that was completed in its process’s last moments is in the log', async (t) => {
  // The process died with its call: only the process that takes it over can log it.
  const plugin = await startPlugin(t, { '/work': (response) => response.destroy() })
  const { shop, run } = await shopWith(plugin.url)
  await run()
  await complete(plugin.received[0], { success: true, data: { late: true } })
  await run({ mayHaveRun: true })
  const [last] = await readLog(shop)
  t.match(last, { success: true, status: 'succeeded', result: { late: true }, payload: { a: 1 } })
})

t.test(
  'what is completed after its call had failed, and before the next one, is not called again',
  async (t) => {
    const plugin = await startPlugin(t, { '/work': json(500, {}) })
    const { run } = await shopWith(plugin.url, LONG)
    t.match(await run(), { success: false, transient: true })
    t.equal((await complete(plugin.received[0], { success: true, data: 1 })).statusCode, 200, 'of any length')
    t.match(await run({ mayHaveRun: true }), { status: 'succeeded', data: 1 })
    t.equal(plugin.received.length, 1)
  },
)

t.test('an action with the longest names allowed is completed, early and late', async (t) => {
  let isLost = false
  const plugin = await startPlugin(t, {
    '/work': (response) => (isLost ? response.destroy() : json(202, {})(response)),
  })
  const { shop, run } = await shopWith(plugin.url, LONG)
  const eventKey = `${'s'.repeat(64)}:999`
  t.match(await run({ eventKey }), { status: 'accepted' })
  const [call] = plugin.received
  const token = String(call?.headers['x-completion-token'])
  t.ok(token.length > 512, 'longer than a usual one')
  t.ok(token.length < MAX_COMPLETION_TOKEN_CHARS / 2, `${token.length} characters leave space for more`)
  t.equal((await complete(call, { success: true, data: 1 })).statusCode, 200)
  t.match(await readLog(shop), [{ event_key: eventKey, status: 'succeeded', result: 1 }])

  const lost = `${'t'.repeat(64)}:999`
  isLost = true
  t.match(await run({ eventKey: lost }), { success: false, transient: true })
  t.equal((await complete(plugin.received.at(-1), { success: true, data: 2 })).statusCode, 200)
  t.match(await run({ eventKey: lost, mayHaveRun: true }), { status: 'succeeded', data: 2 })
})

t.test('a plugin that repeats its stored 202 completes with the first token, once', async (t) => {
  const plugin = await startPlugin(t, {
    '/work': (response) => {
      if (plugin.received.length === 1) response.destroy()
      else json(202, { queued: true })(response)
    },
  })
  const { shop, run, find } = await shopWith(plugin.url)
  t.match(await run(), { success: false, transient: true })
  t.match(await run({ mayHaveRun: true }), { status: 'accepted' })
  for (const call of plugin.received) {
    t.equal((await complete(call, { success: true, data: { n: 1 } })).statusCode, 200)
  }
  t.match(await find(), { status: 'succeeded', data: { n: 1 } })
  t.equal((await rowsOf(shop)).length, 1)
})

t.test('what a plugin completes while it is called counts, also if that call fails', async (t) => {
  const plugin = await startPlugin(t, {
    '/work': (response, received) => {
      void complete(received, { success: true, data: { early: true } }).then(() => json(500, {})(response))
    },
  })
  const { shop, run } = await shopWith(plugin.url)
  t.match(await run(), { success: true, status: 'succeeded', data: { early: true } })
  t.match(await readLog(shop), [{ status: 'succeeded', result: { early: true } }])
})

t.test('an execution that has ended has what is told afterwards in the log', async (t) => {
  const plugin = await startPlugin(t, { '/work': (response) => response.destroy() })
  const { shop, run, end } = await shopWith(plugin.url)
  await run()
  await end({ status: 'cancelled' })
  t.equal((await complete(plugin.received[0], { success: true, data: 1 })).statusCode, 200)
  t.match(await readLog(shop), [{ success: true, result: 1, payload: { a: 1 } }, { success: false }])
})

t.test('what was cancelled is completed for the log', async (t) => {
  const plugin = await startPlugin(t, { '/work': json(202, {}) })
  const { shop, run, end } = await shopWith(plugin.url)
  await run()
  await end({ status: 'cancelled' })
  t.equal((await complete(plugin.received[0], { success: true, data: 1 })).statusCode, 200)
  t.match(await readLog(shop), [{ status: 'succeeded', result: 1 }])
})

t.test('of what was erased nothing comes back, and what is gone makes no row', async (t) => {
  const plugin = await startPlugin(t, { '/work': json(202, {}) })
  const { shop, run, end } = await shopWith(plugin.url)
  await run()
  await end({ status: 'cancelled', body_gone: 'erased' })
  const told = { success: false, error: { message: 'ana@example.com has no mailbox' } }
  t.equal((await complete(plugin.received[0], told)).statusCode, 200)
  t.match(await readLog(shop), [{ status: 'failed', error_code: 'reported_failure', result: null }])
  t.match((await complete(plugin.received[0], told)).json(), { code: 'invocation_completed' })
  const row = await service.db
    .selectFrom('action_invocations')
    .selectAll()
    .where('tenant_id', '=', shop.id)
    .executeTakeFirst()
  t.match(row, { data: null, error_message: null, completion_hash: null })

  const failing = await startPlugin(t, { '/work': json(500, {}) })
  for (const how of ['erased', 'deleted'] as const) {
    const gone = await shopWith(failing.url)
    await gone.run()
    await gone.end(how === 'erased' ? { status: 'failed', body_gone: how } : null)
    const answer = await complete(failing.received.at(-1), { success: true })
    t.match(answer.json(), { status: 409, code: 'invocation_expired' }, how)
    t.strictSame(await rowsOf(gone.shop), [])
  }
})
