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

  const URL = '/api/automation/set-aside-events'
  const list = async (tenant = shop.tenant) => (await tenant.get(URL)).json<{ data: SetAside[] }>().data
  const [aside, ...none] = await list()
  t.strictSame(none, [])
  t.match(aside, {
    event: 'order.created',
    reason: 'The database refused it (SQLSTATE 22023).',
    times: 1,
    is_taken_up: false,
  })
  t.strictSame(await list(other.tenant), [])
  const takeUp = (tenant = shop.tenant) => tenant.post(`${URL}/${aside?.id}/take-up`)
  t.match((await takeUp(other.tenant)).json(), { status: 404, code: 'set_aside_event_not_found' })

  t.match((await takeUp()).json(), { is_taken_up: true })
  await shop.send('order.created', { order_id: 'last' })
  for (let tries = 0; tries < 10; tries++) await shop.run()
  t.match(await list(), [{ times: 2, is_taken_up: false }], 'it failed again')
  t.equal((await shop.executions()).length, 4, 'and kept no other from being matched')

  await sql`drop trigger refuse_poison on automation_executions`.execute(world.db)
  t.equal((await takeUp()).statusCode, 202)
  await shop.send('order.created', { order_id: 'newest' })
  await shop.run()
  t.strictSame(await list(), [])
  const started = (await shop.executions()).map(
    ({ trigger }) => (trigger['data'] as { order_id: string }).order_id,
  )
  t.same(started, ['before', 'poison', 'after', 'later', 'last', 'newest'])
  t.match((await takeUp()).json(), { status: 404 })
  await shop.run()
  t.equal((await shop.executions()).length, 6, 'once')
})

t.test('an error that passes sets no event aside, however often it comes', async (t) => {
  const world = await startWorld(t)
  const shop = await world.shop()
  await shop.publish(
    flowOf({ done: step({ type: 'stop', config: { outcome: 'done', reason: null }, next: {} }) }),
  )
  await sql`create sequence refusals`.execute(world.db)
  // A disk that is full, a deadlock, a server that shuts down, too many connections.
  await sql`
    create function refuse_for_now() returns trigger language plpgsql as $$
    declare
      codes text[] := array['53100', '40P01', '57P03', '53300'];
      time bigint := nextval('refusals');
    begin
      if time <= 12 then raise exception 'for now' using errcode = codes[1 + time % 4]; end if;
      return new;
    end $$`.execute(world.db)
  await sql`create trigger refuse_for_now before insert on automation_executions
    for each row execute function refuse_for_now()`.execute(world.db)
  await shop.send('order.created', { order_id: 'one' })
  await shop.send('order.created', { order_id: 'two' })
  for (let tries = 0; tries < 30; tries++) await shop.run().catch(() => undefined)
  const { rows } = await sql<{ last_value: string }>`select last_value from refusals`.execute(world.db)
  t.ok(Number(rows[0]?.last_value) > 12, 'it came every time')
  t.same(outcomes(await shop.executions()), ['completed/done', 'completed/done'])
  const aside = await shop.tenant.get('/api/automation/set-aside-events')
  t.strictSame(aside.json<{ data: SetAside[] }>().data, [])
})

interface SetAside {
  id: string
  times: number
}
