import { sql } from 'kysely'
import t from 'tap'
import { eventually } from '#test/support/deliveries.ts'
import { MINUTE_MS, startWorld } from '#test/modules/flow-engine/support.ts'
import { activate, type Fired, firings, schedule } from './support.ts'

t.test('a worker fires and runs what is due by itself, on time once it knows of it', async (t) => {
  const world = await startWorld(t, { ROLES: 'api,worker' })
  const shop = await world.shop()
  const flow = await activate(world, shop, [schedule('* * * * *')], new Date(Date.now() - MINUTE_MS))
  await eventually('the execution waits', async () => (await shop.executions(flow))[0]?.status === 'waiting')
  // The clock of the database is the machine's own here.
  const soon = new Date(Date.now() + 7_000)
  const isSecond = ({ scheduled_at }: Fired): boolean => scheduled_at === soon.toISOString()
  await sql`update automation_schedules set cron = '0 0 1 1 *', due_at = ${soon}, next_fire_at = ${soon}
    where flow_id = ${flow}`.execute(world.db)
  await eventually('it fires again', async () => (await firings(shop, flow)).some(isSecond))
  const again = (await firings(shop, flow)).find(isSecond)
  t.ok(Date.parse(again?.fired_at ?? '') >= soon.getTime(), 'not before its time')
})
