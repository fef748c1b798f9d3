import { sql } from 'kysely'
import t from 'tap'
import { newId } from '#lib/ids.ts'
import type { CanonicalFlow } from '#lib/flow/types.ts'
import type { Condition } from '#lib/condition/index.ts'
import { longestSilence } from '#test/support/silence.ts'
import { feedSettled } from '#test/modules/event/support.ts'
import { flowOf, type Shop, startWorld, step } from '../support.ts'
import { hashesOfMatch } from '#modules/flow-engine/wait/hash.ts'
import { initialState } from '#modules/flow-engine/run/state.ts'

const world = await startWorld(t)

/** Of CPU time, generous for slow machines: without turns it is several seconds. */
const MAX_SILENCE_MS = 1_000

/** Costs as much as it may. */
function costly(root: string): Condition {
  let condition: unknown = { field: 'item', operator: 'equals', value: 1 }
  for (let level = 0; level < 4; level++) {
    condition = { field: `${root}.list`, operator: 'all', value: condition }
  }
  return condition as Condition
}
const DATA = { total: 120, list: Array(300).fill(1) }

function triggered(filter: Condition | null, steps: CanonicalFlow['steps']): CanonicalFlow {
  return flowOf(steps, {
    triggers: [{ id: 'trigger_1', type: 'event', event_types: ['order.created'], filter, plugin_id: null }],
  })
}
const stop = { stop: step({ type: 'stop', config: { outcome: 'done', reason: null }, next: {} }) }

async function sendMany(shop: Shop, count: number): Promise<void> {
  const events = Array.from({ length: count }, (_, n) => ({ event: 'order.created', data: { ...DATA, n } }))
  const response = await shop.tenant.post('/api/events', { events })
  if (response.statusCode !== 202) throw new Error(response.body)
}

t.test('triggers that cost much hold nobody up, and say that they started nothing', async (t) => {
  const shop = await world.shop()
  const flows: string[] = []
  for (let n = 0; n < 10; n++) flows.push(await shop.publish(triggered(costly('trigger'), stop)))
  const cheap = { field: 'trigger.total', operator: 'gt', value: 100 } as Condition
  const honest = await shop.publish(triggered(cheap, stop))
  await sendMany(shop, 30)
  await feedSettled(shop)
  const silence = await longestSilence(shop.match())
  t.ok(silence < MAX_SILENCE_MS, `silent for ${silence} ms`)
  t.equal((await shop.executions(honest)).length, 30, 'the flow beside them starts for every event')
  for (const flow of flows) {
    const executions = await shop.executions(flow)
    t.equal(executions.length, 30)
    t.ok(executions.every(({ status, reason }) => status === 'skipped' && reason === 'filter_budget'))
  }
})

t.test('a tenant’s turn ends before all of its events are gone through', async (t) => {
  const shop = await world.shop()
  const other = await world.shop()
  const flow = await shop.publish(triggered(costly('trigger'), stop))
  const honest = await other.publish(triggered(null, stop))
  await sendMany(shop, 30)
  await other.send('order.created', {})
  await feedSettled(shop)
  const matcher = world.app.flowEngine.createMatcher()
  t.equal(await matcher.pass([shop.tenant.id, other.tenant.id], null), 'more')
  const first = (await shop.executions(flow)).length
  t.ok(first > 0 && first < 30, `${first} in the first turn`)
  t.equal((await other.executions(honest)).length, 1, 'the other shop had its turn')
  let turns = 1
  while ((await matcher.pass([shop.tenant.id], null)) === 'more') turns++
  t.equal((await shop.executions(flow)).length, 30)
  t.ok(turns > 2, `${turns} turns`)
})

t.test('executions whose steps cost much let others in between', async (t) => {
  const condition = costly('trigger')
  const steps = Object.fromEntries(
    Array.from({ length: 20 }, (_, n) => [
      `check_${n}`,
      step({
        type: 'condition',
        config: { condition },
        next: { true: 'end', false: n === 19 ? 'end' : `check_${n + 1}` },
      }),
    ]),
  )
  const shop = await world.shop()
  for (let n = 0; n < 5; n++) await shop.publish(triggered(null, steps))
  await sendMany(shop, 4)
  await feedSettled(shop)
  await shop.match()
  const silence = await longestSilence(shop.engine().drain())
  t.ok(silence < MAX_SILENCE_MS, `silent for ${silence} ms`)
  t.match((await shop.executions())[0], { status: 'completed', reason: 'filtered' })
})

/** Executions that wait for `order.paid` of one order, as registrations leave them. */
async function seedWaits(shop: Shop, count: number, filter: Condition | null): Promise<string[]> {
  const flow = await shop.publish(triggered(null, { stop: stop.stop }))
  const ids = Array.from({ length: count }, () => newId())
  const state = JSON.stringify(initialState('stop', {}))
  const { exact: hash } = hashesOfMatch('order.paid', { order_id: 'o1' })
  const stored = filter === null ? null : JSON.stringify({ condition: filter, scope: {} })
  await sql`insert into automation_executions (tenant_id, id, flow_id, version, status, reason, trigger_kind, trigger, state,
      due_at, expires_at)
    select ${shop.tenant.id}, id, ${flow}, 1, 'waiting', 'event', 'manual', '{"data":null,"event":null}', ${state},
      now() + interval '1 day', now() + interval '2 days' from unnest(${ids}::uuid[]) as id`.execute(shop.db)
  await sql`insert into automation_waits (tenant_id, execution_id, alternative, step_id, event, paths, match_hash, filter,
      purpose)
    select ${shop.tenant.id}, id, 0, 'wait', 'order.paid', 'order_id', ${hash}, ${stored}::jsonb, 'resume'
    from unnest(${ids}::uuid[]) as id`.execute(shop.db)
  await sql`insert into automation_wait_shapes (tenant_id, event, paths) values (${shop.tenant.id}, 'order.paid', 'order_id')
    on conflict do nothing`.execute(shop.db)
  return ids
}

async function received(shop: Shop): Promise<number> {
  const { rows } = await sql<{ count: number }>`select count(*)::int as count from automation_waits
    where tenant_id = ${shop.tenant.id} and received_event_id is not null`.execute(shop.db)
  return rows[0]?.count ?? 0
}

t.test('those who wait for one value are gone through in turns, and none is left out', async (t) => {
  const shop = await world.shop()
  // Each costs some 3,000 steps and is met: a turn is used up after a page.
  const filter = {
    any: [
      {
        field: 'event.data.list',
        operator: 'any',
        value: { field: 'item', operator: 'equals', value: 2 },
      },
      { field: 'event.data.total', operator: 'gt', value: 100 },
    ],
  } as Condition
  const ids = await seedWaits(shop, 1_500, filter)
  await shop.send('order.paid', { ...DATA, order_id: 'o1' })
  await feedSettled(shop)
  const matcher = world.app.flowEngine.createMatcher()
  t.equal(await matcher.pass([shop.tenant.id], null), 'more')
  const first = await received(shop)
  t.ok(first > 0 && first < ids.length, `${first} of ${ids.length} in the first turn`)
  const { rows } = await sql<{ waits_after: string }>`select waits_after from flow_cursors
    where tenant_id = ${shop.tenant.id}`.execute(shop.db)
  t.ok(ids.includes(rows[0]?.waits_after ?? ''), 'where it goes on is on record')
  while ((await matcher.pass([shop.tenant.id], null)) === 'more');
  t.equal(await received(shop), ids.length)
  t.match(
    (await sql`select waits_after from flow_cursors where tenant_id = ${shop.tenant.id}`.execute(shop.db))
      .rows,
    [{ waits_after: null }],
  )
})

t.test('a wait whose filter costs too much says which event it did not take', async (t) => {
  const shop = await world.shop()
  const [id = ''] = await seedWaits(shop, 1, costly('event.data'))
  const event = await shop.send('order.paid', { ...DATA, order_id: 'o1' })
  await shop.send('order.paid', { order_id: 'another' })
  await feedSettled(shop)
  await shop.match()
  t.equal(await received(shop), 0)
  const response = await shop.tenant.get(`/api/automation/executions/${id}`)
  t.match(response.json(), {
    passed_over: [{ event: 'order.paid', event_id: event, iteration: '', reason: 'filter_budget' }],
  })
})

t.test(
  'a wait that is registered while an event’s waits are being gone through gets the event',
  async (t) => {
    const shop = await world.shop()
    const filter = {
      field: 'event.data.list',
      operator: 'all',
      value: { field: 'item', operator: 'gt', value: 0 },
    }
    const wait = step({
      type: 'wait_event',
      config: {
        any: [{ event: 'order.paid', match: { order_id: '{{trigger.order_id}}' }, filter: null }],
        timeout_ms: 60_000,
        look_back_ms: 0,
      },
      next: { received: 'end', timeout: 'end' },
    })
    const flow = await shop.publish(triggered(null, { wait }))
    // Started before those that are seeded, and so before them in the order of ids.
    await shop.send('order.created', { order_id: 'o1' })
    await feedSettled(shop)
    await shop.match()
    await seedWaits(shop, 1_500, filter)
    await shop.send('order.paid', { ...DATA, order_id: 'o1' })
    await feedSettled(shop)
    const matcher = world.app.flowEngine.createMatcher()
    t.equal(await matcher.pass([shop.tenant.id], null), 'more')
    await shop.engine().drain()
    const [execution] = await shop.executions(flow)
    t.match(execution, { status: 'completed', reason: 'done' }, 'it has come already')
    while ((await matcher.pass([shop.tenant.id], null)) === 'more');
    await shop.engine().drain()
    t.ok((await shop.executions()).every(({ status }) => status === 'completed'))
  },
)
