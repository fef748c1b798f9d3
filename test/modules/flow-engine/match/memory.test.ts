import { pino } from 'pino'
import t from 'tap'
import { ActiveFlows } from '#modules/flow-engine/match/active-flows.ts'
import { ProgramCache } from '#modules/flow-engine/run/program.ts'
import { flowOf, startWorld, step } from '../support.ts'

const world = await startWorld(t)
const LARGE = 'x'.repeat(900_000)

/** A step that holds much, behind one that ends the execution. */
const large = {
  end: step({ type: 'stop', config: { outcome: 'done', reason: null }, next: {} }),
  never: step({ type: 'set', config: { variables: { LARGE } }, next: { next: 'end' } }),
}

t.test('a matcher holds of active flows what starts them, not their steps', async (t) => {
  const shop = await world.shop()
  const flows = []
  for (let n = 0; n < 20; n++) flows.push(await shop.publish(flowOf(large)))
  const active = new ActiveFlows(new ProgramCache(world.db), pino({ level: 'silent' }))
  const known = await world.db.transaction().execute((trx) => active.get(trx, shop.tenant.id, 1))
  t.equal(known.flows.length, 20)
  t.ok(known.bytes < 20 * 2_000, `${known.bytes} bytes of 18 MB`)
  t.ok(known.flows.every(({ program }) => Object.keys(program.flow.steps).length === 0))
  await shop.send('order.created', {})
  await shop.run()
  for (const flow of flows.slice(0, 3)) {
    t.match(await shop.executions(flow), [{ status: 'completed', reason: 'done' }])
  }
})

t.test('programs are remembered within a budget of bytes', async (t) => {
  const shop = await world.shop()
  const programs = new ProgramCache(world.db)
  const flow = await shop.publish(flowOf(large))
  const first = await programs.get(shop.tenant.id, flow, 1)
  t.equal(await programs.get(shop.tenant.id, flow, 1), first, 'it is at hand')
  await world.db
    .updateTable('automation_flow_versions')
    .set({ definition: 'x'.repeat(1024 * 1024) })
    .where('flow_id', '=', flow)
    .execute()
  const others: string[] = []
  for (let n = 0; n < 70; n++) others.push(await shop.publish(flowOf({ end: large.end })))
  await world.db
    .updateTable('automation_flow_versions')
    .set({ definition: 'x'.repeat(1024 * 1024) })
    .where('tenant_id', '=', shop.tenant.id)
    .execute()
  for (const id of others) await programs.get(shop.tenant.id, id, 1)
  t.not(await programs.get(shop.tenant.id, flow, 1), first, 'the least recently used went first')
  const last = await programs.get(shop.tenant.id, others.at(-1) ?? '', 1)
  t.equal(await programs.get(shop.tenant.id, others.at(-1) ?? '', 1), last)
})

t.test('flows of a tenant whose events keep coming stay at hand while others come and go', async (t) => {
  const busy = await world.shop()
  const others = [await world.shop(), await world.shop(), await world.shop()]
  const flow = flowOf({ end: large.end }, { variables: { text: 'x'.repeat(100_000) } })
  for (const shop of [busy, ...others]) await shop.publish(flow)
  const active = new ActiveFlows(new ProgramCache(world.db), pino({ level: 'silent' }), 250_000)
  const get = (shop: typeof busy) =>
    world.db.transaction().execute((trx) => active.get(trx, shop.tenant.id, 1))
  const known = await get(busy)
  const [first] = others
  const left = first === undefined ? undefined : await get(first)
  for (const other of others) {
    await get(other)
    t.equal(await get(busy), known)
  }
  t.not(first === undefined ? undefined : await get(first), left, 'there is room for two')
})
