import { sql } from 'kysely'
import t from 'tap'
import { SYSTEM_ACTOR } from '#infra/auth/auth.ts'
import { startApp } from '#test/support/app.ts'
import { eventually } from '#test/support/deliveries.ts'
import { HeldTransaction } from '#test/support/locks.ts'
import { actionAt, invocationsOf, registerPlugin, startPlugin } from '../support.ts'

const service = await startApp(t)
const { db } = service
const INPUT = { flow_execution_id: 'once', events: [{ action_type: 'act', payload: {} }] }

t.test('a dispatch is told of while its actions are claimed, and before one is done', async (t) => {
  const plugin = await startPlugin(t)
  const shop = service.tenant()
  await registerPlugin(shop, plugin.url, 'p', [actionAt('act')])
  const held = new HeldTransaction(db)
  await held.begin((trx) => sql`lock table audit_log in exclusive mode`.execute(trx))
  const dispatched = shop.post('/api/plugins/events/automation', INPUT)
  await eventually('the action is claimed', async () => (await invocationsOf(service, shop)).length === 1)
  t.equal(plugin.received.length, 0)
  await held.commitOnceWaitedFor()
  t.match((await dispatched).json(), { summary: { succeeded: 1 } })
  t.equal(plugin.received.length, 1)
})

t.test('what the audit log cannot tell of is not done, and no other dispatch fails by it', async (t) => {
  const plugin = await startPlugin(t)
  const shops = [service.tenant(), service.tenant(), service.tenant()]
  for (const shop of shops) await registerPlugin(shop, plugin.url, 'p', [actionAt('act')])
  const dispatch = (index: number, requestId: string) =>
    service.app.dispatcher.dispatch({ ...SYSTEM_ACTOR, requestId }, shops[index]?.id ?? '', INPUT)
  // Postgres keeps no such character.
  const ended = await Promise.allSettled([dispatch(0, 'a'), dispatch(1, 'b\u0000'), dispatch(2, 'c')])
  t.strictSame(
    ended.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  )
  t.equal(plugin.received.length, 2)
  t.match(await dispatch(1, 'b'), { results: [{ success: true, attempts: 1, replayed: false }] })
  t.equal(plugin.received.length, 3)
})
