import { sql } from 'kysely'
import t from 'tap'
import { HeldBack } from '#modules/flow-engine/run/held-back.ts'
import {
  claimExecutions,
  type ClaimedExecution,
  type InHand,
} from '#modules/flow-engine/run/execution-repository.ts'
import { feedSettled } from '#test/modules/event/support.ts'
import { recordValues } from '#test/support/statements.ts'
import { flowOf, HOUR_MS, type Shop, startWorld, wait } from '../support.ts'

const world = await startWorld(t)
const pool = world.app.pools.worker
const TARGET = 'platform'
const COUNT = 60

/** Executions in the order of their events, claimed and held back by the target. */
async function openHeld(): Promise<{ shop: Shop; claims: ClaimedExecution[] }> {
  const shop = await world.shop()
  await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  for (let n = 0; n < COUNT; n++) await shop.send('order.created', { n })
  await feedSettled({ db: shop.db })
  await shop.match()
  await sql`update automation_executions set held_by = ${TARGET} where tenant_id = ${shop.tenant.id}`.execute(
    world.db,
  )
  const busy = new Map<string, InHand>()
  const tenantIds = [shop.tenant.id]
  const options = { limit: 512, leaseMs: 30_000, busy, now: shop.now(), maxBytes: 2 ** 30, tenantIds }
  return { shop, claims: await claimExecutions(pool, options) }
}

async function held(shop: Shop): Promise<{ id: string; is_held: boolean; is_due: boolean }[]> {
  const { rows } = await sql<{ id: string; is_held: boolean; is_due: boolean }>`
    select id, held_by is not null as is_held, due_at <= now() as is_due from automation_executions
    where tenant_id = ${shop.tenant.id} order by event_id`.execute(world.db)
  return rows
}

t.test('those who leave a queue together do so by few statements, and the next one looks', async (t) => {
  const { shop, claims } = await openHeld()
  t.equal(claims.length, COUNT)
  const [first, ...rest] = claims
  const last = rest.splice(-2)
  // The last two wait, far from due.
  await sql`
    update automation_executions set status = 'waiting', due_at = now() + interval '1 hour'
    where id = any(${last.map(({ id }) => id)}::uuid[])`.execute(world.db)
  const woken: string[] = []
  const heldBack = new HeldBack(
    pool,
    () => null,
    (tenantId) => woken.push(tenantId),
  )
  const [leaving, waking] = ['leave_held', 'wake_held'].map((name) => recordValues(pool, name))
  await Promise.all([first, ...rest].map((claim) => heldBack.left(claim as ClaimedExecution, TARGET)))
  t.strictSame(
    [leaving?.length, waking?.length],
    [2, 2],
    `the first, and all others of ${COUNT - 2} together`,
  )
  const rows = await held(shop)
  t.strictSame(
    rows.slice(0, -2).map(({ is_held }) => is_held),
    Array(COUNT - 2).fill(false),
  )
  t.match(rows.slice(-2), [
    { id: last[0]?.id, is_held: true, is_due: true },
    { id: last[1]?.id, is_held: true, is_due: false },
  ])
  t.ok(woken.includes(shop.tenant.id))
})

t.test('who leaves from behind the first wakes nobody, and one that is written is left alone', async (t) => {
  const { shop, claims } = await openHeld()
  const [first, second, third] = claims as [ClaimedExecution, ClaimedExecution, ClaimedExecution]
  await sql`
    update automation_executions set status = 'waiting', due_at = now() + interval '1 hour'
    where id = ${first.id}`.execute(world.db)
  const heldBack = new HeldBack(
    pool,
    () => null,
    () => t.fail('nobody is woken'),
  )
  await world.db.transaction().execute(async (trx) => {
    await sql`select from automation_executions where id = ${second.id} for update`.execute(trx)
    await Promise.all([heldBack.left(second, TARGET), heldBack.left(third, TARGET)])
  })
  const rows = await held(shop)
  t.match(rows.slice(0, 3), [{ is_held: true, is_due: false }, { is_held: true }, { is_held: false }])
})
