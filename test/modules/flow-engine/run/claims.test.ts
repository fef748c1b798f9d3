import { sql } from 'kysely'
import type pg from 'pg'
import t from 'tap'
import { feedSettled } from '#test/modules/event/support.ts'
import { FLOW_SCHEMA_VERSION } from '#lib/flow/types.ts'
import { claimExecutions, type ClaimedExecution } from '#modules/flow-engine/run/execution-repository.ts'
import { recordValues } from '#test/support/statements.ts'
import { flowOf, outcomes, post, type Shop, startReceiver, startWorld } from '../support.ts'

const world = await startWorld(t)
const { db } = world
const pool = world.app.pools.worker
const MIB = 1024 * 1024

t.beforeEach(async () => {
  await sql`update automation_executions set due_at = null where due_at is not null`.execute(db)
})

function claim(maxBytes = 2 ** 30, by: pg.Pool | pg.PoolClient = pool): Promise<ClaimedExecution[]> {
  const options = { limit: 512, leaseMs: 30_000, busy: new Map<string, number>(), now: null, maxBytes }
  return claimExecutions(by as pg.Pool, options)
}

/** Executions that are due, of which each was started by so much text. */
async function addDue(shop: Shop, flow: string, count: number, text: string): Promise<void> {
  await sql`
    insert into automation_executions (tenant_id, id, flow_id, version, schema_version, status, trigger_kind, trigger,
      state, due_at, expires_at)
    select tenant_id, gen_random_uuid(), flow_id, version, schema_version, 'queued', 'event',
      json_build_object('event', null, 'data', json_build_object('text', ${text}::text)), state, now(), expires_at
    from automation_executions, generate_series(1, ${count}::int)
    where tenant_id = ${shop.tenant.id} and flow_id = ${flow}`.execute(db)
}

/**
 * Scans of the executions' indexes, or of their large values. Earlier work of the connection may still be counted:
 * the difference tells.
 */
async function countScans(client: pg.PoolClient, of: 'oid' | 'reltoastrelid'): Promise<number> {
  const { rows } = await client.query<{ scans: number }>(
    `select idx_scan::int as scans from pg_stat_xact_all_tables
     where relid = (select ${of} from pg_class where relname = 'automation_executions')`,
  )
  return rows[0]?.scans ?? 0
}

async function shopWith(steps: Parameters<typeof flowOf>[0]): Promise<{ shop: Shop; flow: string }> {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf(steps))
  await shop.send('order.created', {})
  await feedSettled(shop)
  await shop.match()
  await sql`update automation_executions set due_at = null where tenant_id = ${shop.tenant.id}`.execute(db)
  return { shop, flow }
}

t.test('a claim takes no more than its bytes, and at least one', async (t) => {
  const receiver = await startReceiver(t)
  // One that is stored compressed to a hundredth, and one that cannot be.
  const noise = Array.from({ length: MIB / 64 }, () => crypto.randomUUID().repeat(2).slice(0, 64)).join('')
  for (const text of ['x'.repeat(MIB), noise]) {
    const { shop, flow } = await shopWith({ call: post(receiver, '/', 'end') })
    await addDue(shop, flow, 8, text)
    const first = await claim(3 * MIB)
    t.equal(first.length, 3)
    for (const { bytes } of first) t.ok(bytes > MIB && bytes < MIB + 10_000, String(bytes))
    t.equal((await claim(1)).length, 1)
    t.equal((await claim()).length, 4)
  }
})

t.test('a claim reads the sizes of what may fit, and of no more', async (t) => {
  const receiver = await startReceiver(t)
  const { shop, flow } = await shopWith({ call: post(receiver, '/', 'end') })
  await addDue(shop, flow, 100, 'x'.repeat(MIB))
  const client = await pool.connect()
  try {
    await client.query('begin')
    const before = await countScans(client, 'reltoastrelid')
    t.equal((await claim(1, client)).length, 1)
    const read = (await countScans(client, 'reltoastrelid')) - before
    // Of the one that is taken, for its size and for itself.
    t.ok(read < 10, `${read} values were read`)
    await client.query('rollback')
  } finally {
    client.release()
  }
})

t.test('a process has so many bytes in hand, and comes to all of it', async (t) => {
  const receiver = await startReceiver(t)
  const { shop, flow } = await shopWith({ call: post(receiver, '/', 'end') })
  receiver.received.length = 0
  const open: (() => void)[] = []
  receiver.answer((_, response) => open.push(() => response.writeHead(204).end()))
  await addDue(shop, flow, 50, 'x'.repeat(MIB))
  const drained = world.app.flowEngine.createEngine().drain()
  await receiver.waitFor(32, 60_000)
  t.equal(receiver.received.length, 32, 'of 1 MiB each')
  receiver.answer(204)
  for (const answer of open) answer()
  t.equal(await drained, 50)
  t.equal(outcomes(await shop.executions(flow)).filter((each) => each === 'completed/done').length, 50)
})

const WAITING_TENANTS = 3_000
/** More than a look takes for a long backlog. */
const BEHIND_HALT = 2_100

t.test(
  'tenants of whom everything waits, and due ones that nobody may take, cost a look nothing',
  async (t) => {
    const receiver = await startReceiver(t)
    const halted = await shopWith({ call: post(receiver, '/', 'end') })
    await addDue(halted.shop, halted.flow, BEHIND_HALT, 'x')
    await sql`update flow_cursors set halted_at = now() where tenant_id = ${halted.shop.tenant.id}`.execute(
      db,
    )
    const newer = await shopWith({ call: post(receiver, '/', 'end') })
    await addDue(newer.shop, newer.flow, BEHIND_HALT, 'x')
    await sql`
    update automation_executions set schema_version = ${FLOW_SCHEMA_VERSION + 1}
    where tenant_id = ${newer.shop.tenant.id}`.execute(db)
    const { shop, flow } = await shopWith({ call: post(receiver, '/', 'end') })
    await sql`
    insert into automation_executions (tenant_id, id, flow_id, version, schema_version, status, reason, trigger_kind,
      trigger, state, due_at, expires_at)
    select gen_random_uuid(), gen_random_uuid(), flow_id, version, schema_version, 'waiting', 'delay', 'event', trigger,
      state, now() + interval '1 day', expires_at
    from automation_executions, generate_series(1, ${WAITING_TENANTS})
    where tenant_id = ${shop.tenant.id} and flow_id = ${flow}`.execute(db)
    await addDue(shop, flow, 1, 'x')
    const client = await pool.connect()
    try {
      await client.query('begin')
      const before = await countScans(client, 'oid')
      t.equal((await claim(2 ** 30, client)).length, 1)
      const scans = (await countScans(client, 'oid')) - before
      // Some dozens, by the plan that Postgres chooses; a walk over the tenants makes one for each.
      t.ok(scans < WAITING_TENANTS / 10, `${scans} scans of its indexes`)
      await client.query('rollback')
    } finally {
      client.release()
    }
  },
)

t.test('behind a long backlog of one tenant another one is found', async (t) => {
  const receiver = await startReceiver(t)
  const many = await shopWith({ call: post(receiver, '/', 'end') })
  const few = await shopWith({ call: post(receiver, '/', 'end') })
  await addDue(many.shop, many.flow, 2_500, 'x')
  await addDue(few.shop, few.flow, 3, 'x')
  const claims = await claim()
  t.equal(claims.filter(({ tenant_id }) => tenant_id === few.shop.tenant.id).length, 3)
  t.ok(claims.length > 200)
})

/** Of a claim's values those that name tenants. */
const TENANTS = 6

t.test('of a backlog the rest is looked for where there was some, not among everybody', async (t) => {
  const receiver = await startReceiver(t)
  const { shop, flow } = await shopWith({ call: post(receiver, '/', 'end') })
  await addDue(shop, flow, 1_500, 'x')
  const claims = recordValues(pool, 'claim_executions')
  const engine = world.app.flowEngine.createEngine()
  t.teardown(() => engine.stop())
  engine.start()
  await receiver.waitFor(1_500, 120_000)
  const amongAll = claims.filter((values) => values[TENANTS] === null).length
  t.ok(amongAll * 2 < claims.length, `${amongAll} of ${claims.length} looks were among everybody`)
})
