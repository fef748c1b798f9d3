import { sql } from 'kysely'
import t from 'tap'
import { newId } from '#lib/ids.ts'
import { validate } from '#lib/schema/safe/index.ts'
import { CATALOGUE } from '#modules/event/index.ts'
import { readLatestEnds } from '#modules/flow-engine/run/flow-repository.ts'
import { analyze, rowsRead } from '#test/support/plans.ts'
import { flowOf, post, type Shop, startReceiver, startWorld } from '../support.ts'

const world = await startWorld(t)
const receiver = await startReceiver(t)
const ENDED = 30_000
t.beforeEach(() => {
  receiver.answer(404)
})

async function alertsOf(shop: Shop): Promise<{ event: string; data: Record<string, unknown> }[]> {
  const rows = await shop.db
    .selectFrom('events')
    .select(['event', 'body'])
    .where('tenant_id', '=', shop.tenant.id)
    .where('source', '=', 'system')
    .orderBy('id')
    .execute()
  return rows.map(({ event, body }) => {
    const { data } = JSON.parse(body ?? '') as { data: Record<string, unknown> }
    const schema = CATALOGUE.get(event)?.schema
    t.ok(schema !== undefined && validate(schema, data).length === 0, `${event} is as the catalogue has it`)
    return { event, data }
  })
}

async function sendOrders(shop: Shop, count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    await shop.send('order.created', { order_id: n })
    await shop.run()
  }
}

const namesOf = (alerts: readonly { event: string }[]): string[] => alerts.map(({ event }) => event)

t.test(
  'a flow that fails half of the time is told of once, before it is paused, and so is its recovery',
  async (t) => {
    const shop = await world.shop()
    const flow = await shop.publish(flowOf({ call: post(receiver, '/', 'end') }))
    await sendOrders(shop, 4)
    t.strictSame(await alertsOf(shop), [], 'four are not enough')
    await sendOrders(shop, 1)
    const [alert] = await alertsOf(shop)
    t.match(alert, {
      event: 'flow.failing',
      data: {
        flow: 'flow',
        flow_id: flow,
        failed: 5,
        of: 5,
        cause: { step_id: 'call', code: 'http_4xx' },
        executions: Array(5).fill({ id: String, status: 'failed' }),
        summary: /^5 of the last 5 runs of flow have failed: /,
        what_to_do: /GET \/api\/automation\/executions\//,
      },
    })
    await sendOrders(shop, 2)
    receiver.answer(204)
    await sendOrders(shop, 9)
    t.strictSame(namesOf(await alertsOf(shop)), ['flow.failing'], 'nine successes do not end it')
    await sendOrders(shop, 1)
    t.strictSame(namesOf(await alertsOf(shop)), ['flow.failing', 'flow.recovered'])
    receiver.answer(404)
    await sendOrders(shop, 5)
    t.strictSame(namesOf(await alertsOf(shop)), ['flow.failing', 'flow.recovered', 'flow.failing'])
    await sendOrders(shop, 15)
    t.strictSame(namesOf(await alertsOf(shop)).slice(3), ['flow.paused'])
    t.match((await alertsOf(shop)).at(-1)?.data, { summary: /paused/, what_to_do: /activate/ })
  },
)

t.test(
  'what the other side is to blame for is told of, too, and does not count towards a pause',
  async (t) => {
    const shop = await world.shop()
    receiver.answer(503)
    const flow = await shop.publish(flowOf({ call: post(receiver, '/', 'end') }))
    await sendOrders(shop, 6)
    t.match(await alertsOf(shop), [{ event: 'flow.failing', data: { flow_id: flow, failed: 5, of: 5 } }])
    t.match(
      await shop.db.selectFrom('automation_flows').selectAll().where('id', '=', flow).executeTakeFirst(),
      { status: 'active', consecutive_failures: 0, failing_since: Date },
    )
  },
)

t.test('how a flow does is told by what has ended, whatever waits', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ call: post(receiver, '/', 'end') }))
  await sendOrders(shop, 4)
  await sql`
    insert into automation_executions (tenant_id, id, flow_id, version, status, trigger_kind, trigger, state, expires_at)
    select e.tenant_id, ids.id, e.flow_id, e.version, 'waiting', e.trigger_kind, e.trigger, e.state, e.expires_at
    from (select * from automation_executions where flow_id = ${flow} limit 1) e,
      unnest(${Array.from({ length: 120 }, () => newId())}::uuid[]) ids (id)`.execute(shop.db)
  await sendOrders(shop, 1)
  t.match(await alertsOf(shop), [{ event: 'flow.failing', data: { failed: 5, of: 5 } }])
})

t.test('a flow that fails now and then is told of once, and not as recovered in between', async (t) => {
  const shop = await world.shop()
  await shop.publish(flowOf({ call: post(receiver, '/', 'end') }))
  for (let n = 0; n < 24; n++) {
    receiver.answer(n % 2 === 0 ? 404 : 204)
    await sendOrders(shop, 1)
  }
  t.strictSame(namesOf(await alertsOf(shop)), ['flow.failing'])
})

t.test('the last ends of a flow are read in their order, however many there are', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ call: post(receiver, '/', 'end') }))
  await sendOrders(shop, 1)
  // By their ends the last five have failed, whatever their ids.
  await sql`
    insert into automation_executions (tenant_id, id, flow_id, version, status, trigger_kind, trigger, state, expires_at,
      created_at, finished_at)
    select e.tenant_id, gen_random_uuid(), e.flow_id, e.version, case when n <= 5 then 'failed' else 'completed' end,
      e.trigger_kind, e.trigger, e.state, e.expires_at, e.created_at,
      now() + interval '1 hour' - n * interval '1 second'
    from (select * from automation_executions where flow_id = ${flow} limit 1) e,
      generate_series(1, ${ENDED}) as ends (n)`.execute(shop.db)
  await analyze(shop.db, 'automation_executions')
  const read = { limit: 10, apart: ['flow.failing'] }
  t.strictSame(await readLatestEnds(shop.db, shop.tenant.id, flow, read), { failed: 5, of: 10, well: 0 })
  const [rows = Infinity] = await rowsRead(world.app.pools.worker, (db) =>
    readLatestEnds(db, shop.tenant.id, flow, read),
  )
  t.ok(rows <= 400, `${rows} rows are read of ${ENDED}`)
})

t.test('an alert does not cause itself', async (t) => {
  const shop = await world.shop()
  await shop.publish(
    flowOf(
      { call: post(receiver, '/', 'end') },
      {
        triggers: [
          { id: 'trigger_1', type: 'event', event_types: ['flow.failing'], filter: null, plugin_id: null },
        ],
      },
    ),
  )
  for (let n = 0; n < 7; n++) {
    await shop.send('flow.failing', { flow: 'another', flow_id: `f${n}`, failed: 5, of: 5 })
    await shop.run()
  }
  t.equal((await shop.executions()).filter(({ status }) => status === 'failed').length, 7)
  t.strictSame(await alertsOf(shop), [])
})

t.test(
  'flows that are started by each other’s alerts, and fail, are told of and paused once each',
  async (t) => {
    const shop = await world.shop()
    const on = (event: string) =>
      flowOf(
        { call: post(receiver, '/', 'end') },
        {
          triggers: [{ id: 'trigger_1', type: 'event', event_types: [event], filter: null, plugin_id: null }],
        },
      )
    for (const event of ['flow.failing', 'flow.failing', 'flow.paused', 'flow.paused', 'plugin.failing']) {
      await shop.publish(on(event))
    }
    await shop.publish(flowOf({ call: post(receiver, '/', 'end') }))
    await sendOrders(shop, 25)
    for (let n = 0; n < 10; n++) await shop.run()
    const alerts = await alertsOf(shop)
    t.strictSame(namesOf(alerts), ['flow.failing', 'flow.paused'])
    const before = await shop.db
      .selectFrom('events')
      .select(['event', 'causation_depth', 'causation_id'])
      .where('tenant_id', '=', shop.tenant.id)
      .where('source', '=', 'system')
      .execute()
    t.match(before, [
      { causation_depth: 1, causation_id: String },
      { causation_depth: 1, causation_id: String },
    ])
  },
)
