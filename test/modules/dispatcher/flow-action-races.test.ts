import t from 'tap'
import { newId } from '#lib/ids.ts'
import { acceptInvocation, completeEarly } from '#modules/dispatcher/completion/accept-repository.ts'
import {
  type CompletionClaim,
  type EarlyCompletion,
  readCompletionToken,
} from '#modules/dispatcher/completion/token.ts'
import type { ResultRecord } from '#modules/dispatcher/dispatch/result-repository.ts'
import { startApp } from '#test/support/app.ts'
import { HeldTransaction } from '#test/support/locks.ts'
import type { Received } from '#test/support/receiver.ts'
import { completeCall, flowActionShop, invocationsOf, json, startPlugin } from './support.ts'

const service = await startApp(t)

t.test('an action is accepted while what its plugin tells of it is being committed', async (t) => {
  const blocked = new HeldTransaction(service.db)
  const plugin = await startPlugin(t, {
    '/work': (response, received) => {
      void blocked
        .begin((trx) => completeEarly(trx, claimOf(received), earlyOf(received), told(5)))
        .then(() => json(202, {})(response))
    },
  })
  const { run, find } = await flowActionShop(service, plugin.url)
  const running = run()
  await blocked.commitOnceWaitedFor()
  t.match(await running, { success: true, status: 'succeeded', data: 5 })
  t.match(await find(), { status: 'succeeded', data: 5 })
})

t.test('an action is completed while its acceptance is being committed', async (t) => {
  const plugin = await startPlugin(t, { '/work': (response) => response.destroy() })
  const { shop, run, find } = await flowActionShop(service, plugin.url)
  await run()
  const [call] = plugin.received
  const blocked = new HeldTransaction(service.db)
  await blocked.begin((trx) => acceptInvocation(trx, accepted(call), Buffer.alloc(0)))
  const completing = completeCall(service, call, { success: true, data: 6 })
  await blocked.commitOnceWaitedFor()
  t.equal((await completing).statusCode, 200)
  t.match(await find(), { status: 'succeeded', data: 6 })
  t.equal((await invocationsOf(service, shop)).length, 1)
})

t.test('an action is accepted and completed at the same moment, whichever row comes first', async (t) => {
  // Each statement must find its index free and meet the other's row in another one: about one pair in 200.
  const PAIRS = 2_000
  const plugin = await startPlugin(t, { '/work': (response) => response.destroy() })
  const { run } = await flowActionShop(service, plugin.url)
  await run()
  const [call] = plugin.received
  const undecided: number[] = []
  for (let pair = 0; pair < PAIRS; pair++) {
    const invocationId = newId()
    const eventKey = `pair_${pair}`
    const [isAccepted, isCompleted] = await Promise.all([
      acceptInvocation(service.db, { ...accepted(call), invocationId, eventKey }, Buffer.alloc(0)),
      completeEarly(
        service.db,
        { ...claimOf(call), invocationId },
        { ...earlyOf(call), eventKey },
        told(pair),
      ),
    ])
    if (isAccepted === isCompleted) undecided.push(pair)
  }
  t.strictSame(undecided, [], 'one of the two is first')
})

function claimOf(received: Received | undefined): CompletionClaim {
  const token = String(received?.headers['x-completion-token'])
  return readCompletionToken(service.app.secretBox, token) as CompletionClaim
}

function earlyOf(received: Received | undefined): EarlyCompletion {
  return claimOf(received).early as EarlyCompletion
}

function told(data: unknown) {
  const text = JSON.stringify(data)
  return { success: true, data: text, errorCode: null, errorMessage: null, loggedResult: text, hash: null }
}

/** Returns the record of a call that was answered with 202. */
function accepted(received: Received | undefined): ResultRecord {
  const { tenantId, invocationId } = claimOf(received)
  const { flowExecutionId, eventKey, actionType, pluginId } = earlyOf(received)
  return {
    tenantId,
    invocationId,
    flowExecutionId,
    eventKey,
    actionType,
    pluginId,
    logId: newId(),
    lease: null,
    plugin: 'worker',
    payload: '{}',
    status: 'accepted',
    attempts: 1,
    responseStatus: 202,
    data: null,
    errorCode: null,
    errorMessage: null,
    loggedResult: null,
    durationMs: 1,
    completeSeconds: 60,
    keyId: null,
  }
}
