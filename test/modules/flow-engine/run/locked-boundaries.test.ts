import { sql } from 'kysely'
import t from 'tap'
import { feedSettled } from '#test/modules/event/support.ts'
import { eventually } from '#test/support/deliveries.ts'
import { HeldTransaction } from '#test/support/locks.ts'
import { flowOf, HOUR_MS, MINUTE_MS, outcomes, post, startReceiver, startWorld, wait } from '../support.ts'

const world = await startWorld(t)
const pool = world.app.pools.worker

t.test('an answer that came is kept, though nobody can say whether its row is locked', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const flow = await shop.publish(
    flowOf({ one: post(receiver, '/one', 'later'), later: wait(HOUR_MS, 'end') }),
  )
  const lock = new HeldTransaction(world.db)
  receiver.answer((_received, response) => {
    const locking = lock.begin((trx) =>
      sql`select from automation_executions where flow_id = ${flow} for update`.execute(trx),
    )
    void locking.then(() => response.end())
  })
  // Its name is taken in each connection: Postgres refuses the question.
  const clients = await Promise.all(Array.from({ length: pool.options.max }, () => pool.connect()))
  await Promise.all(clients.map((client) => client.query('prepare locked_boundaries as select 1')))
  for (const client of clients) client.release()
  await shop.send('order.created', {})
  await feedSettled({ db: shop.db })
  await shop.match()
  let hasEnded = false
  const running = shop
    .engine()
    .drain()
    .finally(() => (hasEnded = true))
  await eventually('the question was asked', async () => {
    if (hasEnded) return true
    const { rows } = await sql`
      select from pg_stat_activity where datname = current_database() and query like 'select e.id%lease_token%'
    `.execute(world.db)
    return rows.length > 0
  })
  await lock.commit()
  await running
  shop.pass(2 * MINUTE_MS)
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['waiting/delay'])
  t.equal(receiver.received.length, 1, 'the call does not go out again')
  const [execution] = await shop.executions(flow)
  t.match(await shop.steps(execution?.id ?? ''), [{ step_id: 'one', status: 'succeeded' }])
})
