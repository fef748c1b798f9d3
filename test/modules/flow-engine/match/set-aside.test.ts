import { sql } from 'kysely'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { newId, uuidTime } from '#lib/ids.ts'
import { feedSettled } from '#test/modules/event/support.ts'
import { waitEvent } from '../wait/support.ts'
import { flowOf, HOUR_MS, outcomes, settings, type Shop, startWorld, step, wait } from '../support.ts'

const world = await startWorld(t, { FLOW_MAX_STARTS_PER_MINUTE: '5' })
const URL = '/api/automation/set-aside-events'

/** Sends an event that is set aside before any flow sees it; events that are sent after it have later ids. */
async function sendAside(shop: Shop, event: string, data: object): Promise<string> {
  const id = await shop.send(event, data)
  await feedSettled(shop)
  await sql`
    insert into set_aside_events (tenant_id, event_id, reason) values (${shop.tenant.id}, ${id}, 'by the test')`.execute(
    shop.db,
  )
  await sql`
    update flow_cursors c set position = e.position, event_id = e.id from events e
    where c.tenant_id = ${shop.tenant.id} and e.tenant_id = c.tenant_id and e.id = ${id}`.execute(shop.db)
  while (Date.now() <= uuidTime(id).getTime()) await setImmediate()
  return id
}

async function takeUp(shop: Shop, id: string): Promise<void> {
  const answer = await shop.tenant.post(`${URL}/${id}/take-up`)
  if (answer.statusCode !== 202) throw new Error(answer.body)
}

const listed = async (shop: Shop) => (await shop.tenant.get(URL)).json<{ data: { id: string }[] }>().data

const on = (event: string) => ({
  triggers: [
    { id: 'trigger_1', type: 'event' as const, event_types: [event], filter: null, plugin_id: null },
  ],
})

t.test('what was to cancel a start and came after its event ends it when it is taken up', async (t) => {
  const shop = await world.shop()
  const match = { cart_id: '{{trigger.cart_id}}' }
  const cancel_on = [{ event: 'order.created', match, filter: null }]
  const flow = await shop.publish(
    flowOf(
      { later: wait(HOUR_MS, 'end') },
      { ...on('cart.abandoned'), settings: settings({ enrolment: { cancel_on } }) },
    ),
  )
  const bought = await sendAside(shop, 'cart.abandoned', { cart_id: 1 })
  const left = await sendAside(shop, 'cart.abandoned', { cart_id: 2 })
  await shop.send('order.created', { cart_id: 1 })
  await shop.run()
  for (const id of [bought, left]) await takeUp(shop, id)
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['cancelled/cancel_on', 'waiting/delay'])
})

t.test('an event that is taken up is none of what began after it', async (t) => {
  const shop = await world.shop()
  const match = { order_id: '{{trigger.order_id}}' }
  const cancel_on = [{ event: 'order.cancelled', match, filter: null }]
  const rest = { settings: settings({ enrolment: { cancel_on } }) }
  await shop.publish(flowOf({ paid: waitEvent({}) }, rest))
  await shop.send('order.created', { order_id: 1 })
  await shop.run()
  while (Date.now() <= uuidTime((await shop.executions())[0]?.id ?? '').getTime()) await setImmediate()
  const aside = [
    await sendAside(shop, 'order.paid', { order_id: 1 }),
    await sendAside(shop, 'order.paid', { order_id: 2 }),
    await sendAside(shop, 'order.cancelled', { order_id: 3 }),
  ]
  await shop.send('order.created', { order_id: 2 })
  await shop.send('order.created', { order_id: 3 })
  await shop.run()
  t.strictSame(outcomes(await shop.executions()), Array(3).fill('waiting/event'))
  for (const id of aside) await takeUp(shop, id)
  await shop.run()
  t.strictSame(outcomes(await shop.executions()), ['completed/done', 'waiting/event', 'waiting/event'])
  t.strictSame(await listed(shop), [])
})

t.test('starts after an event are none of its minute', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  const aside = await sendAside(shop, 'order.created', { n: 0 })
  for (let n = 1; n <= 5; n++) await shop.send('order.created', { n })
  await shop.run()
  await takeUp(shop, aside)
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), Array(6).fill('waiting/delay'))
})

t.test('trouble with the feed is none of what is taken up', async (t) => {
  const shop = await world.shop()
  const { id: tenantId } = shop.tenant
  const stop = step({ type: 'stop', config: { outcome: 'done', reason: null }, next: {} })
  const flow = await shop.publish(flowOf({ stop_1: stop }))
  await sql`
    create function refuse_poison() returns trigger language plpgsql as $$
    begin raise exception 'poison' using errcode = '22023'; end $$`.execute(shop.db)
  await sql`create trigger refuse_poison before insert on automation_executions
    for each row when (new.trigger::text like '%poison%') execute function refuse_poison()`.execute(shop.db)
  t.teardown(() => sql`drop function refuse_poison cascade`.execute(shop.db))
  const aside = await sendAside(shop, 'order.created', { order_id: 'aside' })
  const poison = await shop.send('order.created', { order_id: 'poison' })
  await feedSettled(shop)
  const matcher = world.app.flowEngine.createMatcher()
  const pass = () => matcher.pass([tenantId], shop.now())
  // As part of a batch, and then as often as it is tried alone.
  for (let tries = 0; tries < 4; tries++) await pass()
  t.strictSame(
    (await listed(shop)).map(({ id }) => id),
    [aside],
    'the next pass gives it up',
  )

  await takeUp(shop, aside)
  await pass()
  t.strictSame(await listed(shop), [], 'it was tried, and is matched')
  await sql`
    insert into automation_executions (tenant_id, id, flow_id, version, schema_version, status, reason, trigger_kind,
      trigger, state, causation_depth, expires_at, created_at, finished_at)
    values (${tenantId}, ${newId()}, ${flow}, 1, 1, 'skipped', 'catch_up', 'webhook', '{"data":{},"event":null}', '{}', 0,
      now(), now(), now())`.execute(shop.db)
  await sql`update flow_cursors set catch_up = true where tenant_id = ${tenantId}`.execute(shop.db)
  await pass()
  t.strictSame(outcomes(await shop.executions()), ['queued', 'queued'])
  // The pass that finds nothing more to take up, and the one that gives the poison up without another try.
  await pass()
  await pass()
  t.match(await listed(shop), [{ id: poison, times: 1, reason: 'The database refused it (SQLSTATE 22023).' }])
})
