import { randomBytes } from 'node:crypto'
import t from 'tap'
import { newId } from '#lib/ids.ts'
import { createSecretBox } from '#lib/secrets/secret-box.ts'
import { newCompletionToken, readCompletionToken } from '#modules/dispatcher/completion/token.ts'
import { expireInvocations } from '#modules/dispatcher/completion/repository.ts'
import { startApp, type Tenant } from '#test/support/app.ts'
import type { Received } from '#test/support/receiver.ts'
import {
  actionAt,
  dispatch,
  json,
  type PluginServer,
  readLog,
  registerPlugin,
  type Result,
  startPlugin,
} from '../support.ts'

const service = await startApp(t)
const ACCEPT = { '/later': json(202, { queued: true }) }

t.test('an accepted action is completed once, with its own token', async (t) => {
  const plugin = await startPlugin(t, ACCEPT)
  const { shop, run } = await shopWith(plugin)
  const accepted = await run()
  t.match(accepted, { success: true, status: 'accepted', data: { queued: true }, response_status: 202 })
  t.match(await readLog(shop), [{ status: 'accepted', success: true }])
  t.match(await run(), { status: 'accepted', replayed: true }, 'it is not asked for again meanwhile')

  const { token, id } = completionOf(plugin.received[0])
  t.equal(id, accepted.invocation_id)
  for (const wrong of [
    '',
    'x',
    token.slice(0, -2),
    `${token.slice(0, -6)}AAAAAA`,
    tokenOfAnother(shop.id, id),
  ]) {
    t.match((await complete(id, wrong, { success: true })).json(), {
      status: 404,
      code: 'invocation_not_found',
    })
  }
  t.equal((await complete(crypto.randomUUID(), token, { success: true })).statusCode, 404)
  t.equal((await complete(id, token, { success: 'yes' })).statusCode, 400)

  const done = await complete(id, token, { success: true, data: { message_id: 'm_1', password: 'secret' } })
  t.strictSame([done.statusCode, done.json()], [200, { invocation_id: id, status: 'succeeded' }])
  const again = await complete(id, token, {
    data: { password: 'secret', message_id: 'm_1' },
    success: true,
  })
  t.strictSame([again.statusCode, again.json()], [200, done.json()], 'the same result is the same answer')
  for (const other of [
    { success: false },
    { success: true },
    { success: true, data: { message_id: 'm_2' } },
  ]) {
    t.match((await complete(id, token, other)).json(), { status: 409, code: 'invocation_completed' })
  }
  t.match(await run(), {
    success: true,
    status: 'succeeded',
    data: { message_id: 'm_1' },
    replayed: true,
    response_status: 202,
  })
  t.match(await readLog(shop), [
    { status: 'succeeded', success: true, result: { message_id: 'm_1', password: '[redacted]' } },
  ])
  t.equal(plugin.received.length, 1)
})

t.test(
  'a reported failure is the result, and asking again does it again with a token of its own',
  async (t) => {
    const plugin = await startPlugin(t, ACCEPT)
    const { shop, run } = await shopWith(plugin)
    await run()
    const first = completionOf(plugin.received[0])
    const error = { code: 'mailbox_full', message: 'The mailbox is full.' }
    t.match((await complete(first.id, first.token, { success: false, error })).json(), { status: 'failed' })
    t.match(await readLog(shop), [
      { success: false, status: 'failed', error_code: 'mailbox_full', result: error },
    ])

    t.match(await run(), { status: 'accepted', replayed: false })
    const second = completionOf(plugin.received[1])
    t.equal(second.id, first.id)
    t.equal(
      plugin.received[0]?.headers['idempotency-key'],
      plugin.received[1]?.headers['idempotency-key'],
      'the plugin sees that it is the same action',
    )
    t.equal((await complete(first.id, first.token, { success: false, error })).statusCode, 200)
    t.match(
      await readLog(shop),
      [{ status: 'failed', error_code: 'mailbox_full' }, { error_code: 'mailbox_full' }],
      'the same failure with the first token is the end: a plugin may keep its first token for ever',
    )
    t.equal((await complete(first.id, first.token, { success: false, error })).statusCode, 200, 'told again')
    t.equal((await readLog(shop)).length, 2)
    t.match(await run(), { status: 'accepted', replayed: false }, 'and it can be asked for once more')
    const third = completionOf(plugin.received[2])
    t.equal((await complete(third.id, third.token, { success: false })).statusCode, 200)
    t.equal((await complete(first.id, first.token, { success: false })).statusCode, 200)
    t.match(await readLog(shop), [
      { error_code: 'reported_failure' },
      { error_code: 'mailbox_full' },
      { error_code: 'mailbox_full' },
    ])
  },
)

t.test('an old failure that comes late does not keep out what its plugin tells of the new run', async (t) => {
  for (const answer of ['accepted', 'under way'] as const) {
    const plugin = await startPlugin(t, {
      '/later': (response, received) => {
        const { id, token } = completionOf(received)
        if (answer === 'accepted' || plugin.received.length === 1) json(202, {})(response)
        else {
          const first = completionOf(plugin.received[0])
          void complete(first.id, first.token, { success: false })
            .then(() => complete(id, token, { success: true, data: 2 }))
            .then(() => json(202, {})(response))
        }
      },
    })
    const { shop, run } = await shopWith(plugin)
    await run()
    const first = completionOf(plugin.received[0])
    t.equal((await complete(first.id, first.token, { success: false })).statusCode, 200)
    const again = await run()
    if (answer === 'accepted') {
      t.match(again, { status: 'accepted' })
      const second = completionOf(plugin.received[1])
      t.equal((await complete(first.id, first.token, { success: false })).statusCode, 200)
      t.match(await readLog(shop), [{ error_code: 'reported_failure' }, { error_code: 'reported_failure' }])
      t.equal((await complete(second.id, second.token, { success: true, data: 2 })).statusCode, 200)
      t.match((await complete(second.id, second.token, { success: true, data: 3 })).json(), {
        code: 'invocation_completed',
      })
    }
    t.match(await run(), { status: 'succeeded', data: 2, replayed: true }, answer)
    t.match((await complete(first.id, first.token, { success: false })).json(), {
      code: 'invocation_completed',
    })
    t.match(await run(), { status: 'succeeded', data: 2, replayed: true }, answer)
    t.match((await readLog(shop))[0], { status: 'succeeded', result: 2 }, answer)
    t.equal(plugin.received.length, 2)
  }
})

t.test("a failure that the plugin calls like one of the service's is told as the plugin's", async (t) => {
  const plugin = await startPlugin(t, ACCEPT)
  const { shop, run } = await shopWith(plugin)
  await run()
  const { id, token } = completionOf(plugin.received[0])
  const error = { code: 'timeout', message: 'The mail server was too slow.' }
  t.equal((await complete(id, token, { success: false, error })).statusCode, 200)
  t.match(await readLog(shop), [{ error_code: 'plugin_timeout' }])
})

for (const [answer, behaviour] of [
  ['its own 202', json(202, {})],
  ['a 500', json(500, {})],
] as const) {
  t.test(`a plugin may complete an action before ${answer}`, async (t) => {
    const plugin = await startPlugin(t, {
      '/later': (response, received) => {
        const { id, token } = completionOf(received)
        void complete(id, token, { success: true, data: { early: true } }).then(() => behaviour(response))
      },
    })
    const { shop, run } = await shopWith(plugin)
    const result = { success: true, status: 'succeeded', data: { early: true } }
    t.match(await run(), { ...result, replayed: false, attempts: 1 })
    t.match(await run(), { ...result, replayed: true })
    t.match(await readLog(shop), [{ success: true, status: 'succeeded', result: { early: true } }])
    t.equal((await readLog(shop)).length, 1)
    t.equal(plugin.received.length, 1)
  })
}

t.test('a plugin that repeats its stored 202 completes with the token that it stored', async (t) => {
  const plugin = await startPlugin(t, {
    '/later': (response) => {
      // The first 202 is lost on its way.
      if (plugin.received.length === 1) response.destroy()
      else json(202, { queued: true })(response)
    },
  })
  const { shop, run } = await shopWith(plugin)
  t.match(await run(), { success: false, status: 'failed', attempts: 1 })
  t.match(await run(), { status: 'accepted', replayed: false })
  const [first, second] = plugin.received.map(completionOf)
  t.equal(first?.id, second?.id)
  t.equal((await complete(first?.id, first?.token, { success: true, data: 1 })).statusCode, 200)
  t.equal((await complete(second?.id, second?.token, { success: true, data: 1 })).statusCode, 200)
  t.match(await run(), { status: 'succeeded', data: 1, replayed: true })
  t.match(await readLog(shop), [{ status: 'succeeded', result: 1 }, { status: 'failed' }])
  t.equal(plugin.received.length, 2)
})

t.test('an idempotent action whose first 202 came too late is accepted once', async (t) => {
  const plugin = await startPlugin(t, {
    '/later': (response) => {
      if (plugin.received.length > 1) json(202, { queued: true })(response)
    },
  })
  const { shop, run } = await shopWith(plugin, { idempotent: true, timeout_ms: 300 })
  t.match(await run(), { status: 'accepted', attempts: 2 })
  const [first] = plugin.received.map(completionOf)
  t.equal((await complete(first?.id, first?.token, { success: true, data: 1 })).statusCode, 200)
  t.match(await run(), { status: 'succeeded', data: 1, replayed: true })
  t.match(await readLog(shop), [{ status: 'succeeded', result: 1 }])
  t.equal((await readLog(shop)).length, 1)
})

t.test('what a plugin tells counts more than how its call had ended, as long as it is in time', async (t) => {
  const plugin = await startPlugin(t, { '/later': (response) => response.destroy() })
  const { shop, run } = await shopWith(plugin)
  t.match(await run(), { success: false })
  const { id, token } = completionOf(plugin.received[0])
  const age = (seconds: number) =>
    service.db
      .updateTable('action_invocations')
      .set({ finished_at: new Date(Date.now() - seconds * 1_000) })
      .where('tenant_id', '=', shop.id)
      .execute()
  await age(service.config.actionCompletionSeconds + 1)
  t.match((await complete(id, token, { success: true })).json(), { status: 409, code: 'invocation_expired' })
  await age(service.config.actionCompletionSeconds - 60)
  t.equal((await complete(id, token, { success: true, data: 1 })).statusCode, 200)
  t.match(await run(), { success: true, data: 1, replayed: true })
  t.match(await readLog(shop), [{ success: true, payload: { n: 1 }, result: 1 }, { success: false }])
  t.equal(plugin.received.length, 1)
})

t.test('the answer to a call is a result, too', async (t) => {
  const plugin = await startPlugin(t, { '/later': json(200, { n: 1, m: 12345678901234567890n.toString() }) })
  const { run } = await shopWith(plugin)
  t.match(await run(), { status: 'succeeded' })
  const { id, token } = completionOf(plugin.received[0])
  const data = { m: '12345678901234567890', n: 1.0 }
  t.equal((await complete(id, token, { success: true, data })).statusCode, 200, 'told again')
  t.match((await complete(id, token, { success: true })).json(), { code: 'invocation_completed' })
})

t.test('of two results at the same moment one counts', async (t) => {
  const plugin = await startPlugin(t, ACCEPT)
  const { shop, run } = await shopWith(plugin)
  await run()
  const { id, token } = completionOf(plugin.received[0])
  const told = [1, 2, 1, 2, 1, 2].map((data) => complete(id, token, { success: true, data }))
  const codes = (await Promise.all(told)).map(({ statusCode }) => statusCode)
  const { data } = await run()
  t.strictSame(codes, data === 1 ? [200, 409, 200, 409, 200, 409] : [409, 200, 409, 200, 409, 200])
  t.equal((await readLog(shop)).length, 1)
})

t.test('a token is good for its own invocation and tenant, and outlives a rotated master key', async (t) => {
  const plugin = await startPlugin(t, ACCEPT)
  const [one, other] = [await shopWith(plugin), await shopWith(plugin)]
  await one.run()
  await other.run()
  const [mine, theirs] = plugin.received.map(completionOf)
  t.equal((await complete(mine?.id, theirs?.token, { success: true })).statusCode, 404)
  t.equal((await complete(theirs?.id, mine?.token, { success: true })).statusCode, 404)

  const [old, current] = [randomBytes(32), randomBytes(32)]
  const claim = { tenantId: one.shop.id, invocationId: crypto.randomUUID(), claimedAt: 1, early: null }
  const sealed = newCompletionToken(createSecretBox(old), claim)
  t.strictSame(readCompletionToken(createSecretBox(current, [old]), sealed), claim)
  t.equal(readCompletionToken(createSecretBox(current), sealed), null)
})

t.test('what its process left behind can still be completed, and is in the log then', async (t) => {
  const plugin = await startPlugin(t, ACCEPT)
  const { shop, run } = await shopWith(plugin)
  await run()
  const key_id = newId()
  // As if the process had died with the plugin's 202 in the air.
  await service.db
    .updateTable('action_invocations')
    .set({ status: 'running', lease_until: new Date(0), complete_until: null, attempts: 0, key_id })
    .where('tenant_id', '=', shop.id)
    .execute()
  await service.db.deleteFrom('automation_event_log').where('tenant_id', '=', shop.id).execute()
  const { id, token } = completionOf(plugin.received[0])
  t.equal((await complete(id, token, { success: true, data: 1 })).statusCode, 200)
  t.match(await readLog(shop), [
    { action_type: 'later', plugin: 'p', success: true, result: 1, attempts: 1, key_id },
  ])
  t.match(await run(), { success: true, data: 1, replayed: true })
})

t.test('after its deadline an accepted action has failed', async (t) => {
  const plugin = await startPlugin(t, ACCEPT)
  const { shop, run } = await shopWith(plugin)
  await run()
  const { id, token } = completionOf(plugin.received[0])
  await service.db
    .updateTable('action_invocations')
    .set({ complete_until: new Date(Date.now() - 1) })
    .where('tenant_id', '=', shop.id)
    .execute()
  const expired = { status: 409, code: 'invocation_expired' }
  t.match((await complete(id, token, { success: true })).json(), expired, 'even before it was looked through')
  t.equal(await expireInvocations(service.db), 1)
  t.equal(await expireInvocations(service.db), 0)
  const message = 'The plugin did not complete it in time.'
  t.match(await readLog(shop), [
    {
      success: false,
      status: 'failed',
      error_code: 'completion_timeout',
      result: { code: 'completion_timeout', message },
    },
  ])
  t.match((await complete(id, token, { success: true })).json(), expired)
  t.match(await run(), { status: 'accepted', replayed: false }, 'asked again, it is done again')
  t.equal((await complete(id, token, { success: true })).statusCode, 200, 'and any of its tokens is good')
})

t.test('what is told keeps its numbers, and is the same however they are spelled', async (t) => {
  const plugin = await startPlugin(t, ACCEPT)
  const { shop, run } = await shopWith(plugin)
  await run()
  const { id, token } = completionOf(plugin.received[0])
  const told = (data: string) => complete(id, token, `{"success":true,"data":${data}}`)
  const data = '[1e999,1.10,-0,9007199254740993]'
  t.equal((await told(data)).statusCode, 200)
  t.equal((await told('[10e998,1.1,0,9007199254740993.0]')).statusCode, 200, 'told again')
  t.match((await told('[1e999,1.1,0,9007199254740992]')).json(), { code: 'invocation_completed' })
  t.ok((await shop.get('/api/automation/event-log')).body.includes(`"result":${data}`))
})

t.test('a completion needs no key, and is bounded', async (t) => {
  const plugin = await startPlugin(t, ACCEPT)
  const { shop, run } = await shopWith(plugin)
  await run()
  const { id, token } = completionOf(plugin.received[0])
  t.equal((await complete(id, token, { success: true, data: 'x'.repeat(900_000) })).statusCode, 200)
  t.match(await readLog(shop), [{ result: { truncated: true } }])
})

async function shopWith(
  plugin: PluginServer,
  fields: object = {},
): Promise<{ shop: Tenant; run: () => Promise<Result> }> {
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'p', [actionAt('later', fields)])
  return {
    shop,
    run: async () => {
      const { results } = await dispatch(shop, [{ action_type: 'later', payload: { n: 1 } }], {
        flow_execution_id: 'f',
      })
      return results[0] as Result
    },
  }
}

function completionOf(received: Received | undefined): { id: string; token: string } {
  const { invocation_id: id } = JSON.parse(received?.body ?? '') as { invocation_id: string }
  return { id, token: String(received?.headers['x-completion-token']) }
}

function complete(id: string | undefined, token: string | undefined, body: unknown) {
  return service.app.inject({
    method: 'POST',
    url: `/api/actions/${String(id)}/complete`,
    headers: { 'content-type': 'application/json', 'x-completion-token': String(token) },
    payload: typeof body === 'string' ? body : JSON.stringify(body),
  })
}

/** Sealed as it should be, but under another master key. */
function tokenOfAnother(tenantId: string, invocationId: string): string {
  return newCompletionToken(createSecretBox(randomBytes(32)), {
    tenantId,
    invocationId,
    claimedAt: 1,
    early: null,
  })
}
