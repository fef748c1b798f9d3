import t from 'tap'
import { newId } from '../../../src/lib/ids.ts'
import type { StepActionRequest } from '../../../src/modules/dispatcher/index.ts'
import { startApp, type Tenant } from '../../support/app.ts'
import type { Received } from '../../support/receiver.ts'
import { actionAt, json, readLog, registerPlugin, startPlugin } from './support.ts'

const service = await startApp(t)
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
  t.equal((await complete(plugin.received[0], { success: true })).statusCode, 409)
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
  // The process died with its call: nobody but who takes it over can log it.
  const plugin = await startPlugin(t, { '/work': (response) => response.destroy() })
  const { shop, run } = await shopWith(plugin.url)
  await run()
  await complete(plugin.received[0], { success: true, data: { late: true } })
  await run({ mayHaveRun: true })
  const [last] = await readLog(shop)
  t.match(last, { success: true, status: 'succeeded', result: { late: true }, payload: { a: 1 } })
})

async function shopWith(url: string) {
  const shop = service.tenant()
  await registerPlugin(shop, url, 'worker', [actionAt('work')])
  const flowExecutionId = newId()
  const request: StepActionRequest = {
    flowExecutionId,
    eventKey: 'step_1',
    actionType: 'work',
    pluginRef: 'worker',
    payload: { a: 1 },
    timeoutMs: null,
    maxRetries: 0,
    causationDepth: 1,
    causationId: null,
    mayHaveRun: false,
  }
  return {
    shop,
    run: (given: Partial<StepActionRequest> = {}) =>
      service.app.dispatcher.runAction(shop.id, { ...request, ...given }),
    find: () => service.app.dispatcher.findResult(shop.id, flowExecutionId, 'step_1'),
  }
}

function complete(received: Received | undefined, body: object) {
  const { invocation_id: id } = JSON.parse(received?.body ?? '') as { invocation_id: string }
  return service.app.inject({
    method: 'POST',
    url: `/api/actions/${id}/complete`,
    headers: { 'x-completion-token': String(received?.headers['x-completion-token']) },
    payload: body,
  })
}

function rowsOf(shop: Tenant): Promise<unknown[]> {
  return service.db.selectFrom('action_invocations').select('id').where('tenant_id', '=', shop.id).execute()
}
