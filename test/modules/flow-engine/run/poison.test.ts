import { sql } from 'kysely'
import t from 'tap'
import { flowOf, outcomes, startWorld, step } from '../support.ts'

t.test('an event by which nothing can be started keeps no other from being matched', async (t) => {
  const world = await startWorld(t)
  const shop = await world.shop()
  const other = await world.shop()
  const flow = flowOf({ done: step({ type: 'stop', config: { outcome: 'done', reason: null }, next: {} }) })
  await shop.publish(flow)
  await other.publish(flow)
  await sql`
    create function refuse_poison() returns trigger language plpgsql as $$
    begin
      if new.trigger::text like '%poison%' then
        raise exception 'poison' using errcode = '22023';
      end if;
      return new;
    end $$`.execute(world.db)
  await sql`create trigger refuse_poison before insert on automation_executions
    for each row execute function refuse_poison()`.execute(world.db)

  await shop.send('order.created', { order_id: 'before' })
  await shop.send('order.created', { order_id: 'poison' })
  await shop.send('order.created', { order_id: 'after' })
  await other.send('order.created', { order_id: 'elsewhere' })
  for (let tries = 0; tries < 10; tries++) await shop.run()
  await other.run()

  t.same(outcomes(await shop.executions()), ['completed/done', 'completed/done'])
  t.same(outcomes(await other.executions()), ['completed/done'])
  await shop.send('order.created', { order_id: 'later' })
  await shop.run()
  t.equal((await shop.executions()).length, 3)
})
