import { sql } from 'kysely'
import type pg from 'pg'
import t from 'tap'
import { eventually } from '#test/support/deliveries.ts'
import { feedSettled } from '#test/modules/event/support.ts'
import { FLOW_SCHEMA_VERSION } from '#lib/flow/types.ts'
import {
  claimExecutions,
  type ClaimedExecution,
  type InHand,
} from '#modules/flow-engine/run/execution-repository.ts'
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
  const options = { limit: 512, leaseMs: 30_000, busy: new Map<string, InHand>(), now: null, maxBytes }
  return claimExecutions(by as pg.Pool, options)
}

/** Executions that are due, of which each was started by so much text. */
async function addDue(shop: Shop, flow: string, count: number, text: string): Promise<void> {
  await sql`
    insert into automation_executions (tenant_id, id, flow_id, version, schema_version, status, trigger_kind, trigger,
      state, due_at, expires_at)
    select tenant_id, gen_random_uuid(), flow_id, version, schema_version, 'queued', 'event',
      json_build_object('event', null, 'data', json_build_object('text', ${text}::text)), state, now(), expires_at
    from generate_series(1, ${count}::int), (
      select * from automation_executions where tenant_id = ${shop.tenant.id} and flow_id = ${flow} limit 1
    ) first`.execute(db)
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

t.test('large executions of one shop that hang leave bytes in hand to the others', async (t) => {
  const receiver = await startReceiver(t)
  const large = await shopWith({ call: { ...post(receiver, '/large', 'end'), timeout_ms: 300_000 } })
  const small = await shopWith({ call: post(receiver, '/small', 'end') })
  receiver.received.length = 0
  const open: (() => void)[] = []
  receiver.answer(({ path }, response) => {
    if (path === '/small') response.writeHead(204).end()
    else open.push(() => response.writeHead(204).end())
  })
  const arrived = (path: string): number =>
    receiver.received.filter((request) => request.path === path).length
  await addDue(large.shop, large.flow, 50, 'x'.repeat(MIB))
  const engine = world.app.flowEngine.createEngine()
  t.teardown(() => engine.stop())
  engine.start()
  await receiver.waitFor(26, 60_000)
  for (let round = 1; round <= 3; round++) {
    await addDue(small.shop, small.flow, 10, 'x')
    engine.hint([small.shop.tenant.id])
    await receiver.waitFor(26 + round * 10, 60_000)
  }
  t.equal(arrived('/large'), 26, 'of 1 MiB each: four fifths of what a process has in hand')
  t.equal(arrived('/small'), 30)
  receiver.answer(204)
  for (const answer of open) answer()
  const done = async ({ shop, flow }: typeof large): Promise<number> =>
    outcomes(await shop.executions(flow)).filter((each) => each === 'completed/done').length
  await eventually('all of both have ended', async () => (await done(large)) + (await done(small)) === 80)
  await engine.stop()
})

t.test('two shops share what is left, and some of it is left for a third', async (t) => {
  const receiver = await startReceiver(t)
  const [a, b, c] = await Promise.all([1, 2, 3].map(() => shopWith({ call: post(receiver, '/', 'end') })))
  if (a === undefined || b === undefined || c === undefined) throw new Error('three shops')
  const inHand = new Map<string, InHand>()
  const take = async (): Promise<void> => {
    for (;;) {
      const bytes = [...inHand.values()].reduce((sum, each) => sum + each.bytes, 0)
      const options = { limit: 512, leaseMs: 30_000, busy: inHand, now: null, maxBytes: 32 * MIB - bytes }
      const claims = await claimExecutions(pool, options)
      if (claims.length === 0) return
      for (const { tenant_id, bytes } of claims) {
        const own = inHand.get(tenant_id) ?? { count: 0, bytes: 0 }
        inHand.set(tenant_id, { count: own.count + 1, bytes: own.bytes + bytes })
      }
    }
  }
  const counts = (): (number | undefined)[] => [a, b, c].map(({ shop }) => inHand.get(shop.tenant.id)?.count)
  await addDue(a.shop, a.flow, 50, 'x'.repeat(MIB))
  await addDue(b.shop, b.flow, 50, 'x'.repeat(MIB))
  await take()
  t.strictSame(counts(), [15, 14, undefined], 'four ninths each')
  await addDue(c.shop, c.flow, 50, 'x'.repeat(MIB))
  await take()
  t.strictSame(counts(), [15, 14, 3])
})

const WAITING_TENANTS = 20_000
/** However many wait. */
const LOOK_SCANS_MAX = 300
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
      t.ok(scans < LOOK_SCANS_MAX, `${scans} scans of its indexes`)
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
