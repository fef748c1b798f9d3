import { sql } from 'kysely'
import t from 'tap'
import { StatsRecorder } from '#infra/statistics/recorder.ts'
import { commitAlone, commitBoundaries, type Boundary } from '#modules/flow-engine/run/boundary-repository.ts'
import { BoundaryWriter } from '#modules/flow-engine/run/boundary-writer.ts'
import {
  claimExecutions,
  type InHand,
  TENANT_MAX_RUNNING,
} from '#modules/flow-engine/run/execution-repository.ts'
import { feedSettled } from '#test/modules/event/support.ts'
import {
  DAY_MS,
  flowOf,
  HOUR_MS,
  outcomes,
  post,
  type Shop,
  startReceiver,
  startWorld,
  wait,
} from '../support.ts'

const world = await startWorld(t)
const pool = world.app.pools.worker
const LEASE_MS = 30_000
const MAX_BYTES = 2 ** 30

function claim(shop: Shop, limit = 512, busy = new Map<string, InHand>()) {
  return claimExecutions(pool, { limit, leaseMs: LEASE_MS, busy, now: shop.now(), maxBytes: MAX_BYTES })
}

function boundaryOf(
  claimed: Awaited<ReturnType<typeof claim>>[number],
  rest: Partial<Boundary> = {},
): Boundary {
  return {
    tenantId: claimed.tenant_id,
    id: claimed.id,
    leaseToken: claimed.lease_token,
    status: 'running',
    reason: null,
    handled: false,
    error: null,
    state: JSON.stringify(claimed.state),
    dueAtMs: null,
    heldBy: null,
    wasHeld: false,
    leaseMs: LEASE_MS,
    stepCount: claimed.step_count,
    received: claimed.received,
    closedWaits: [],
    steps: [],
    ...rest,
  }
}

/** Stops everything that other tests left, so that a claim finds this test's work alone. */
t.beforeEach(async () => {
  await sql`update automation_executions set due_at = null where due_at is not null`.execute(world.db)
})

t.test('an execution whose worker is gone is taken again when its lease ends, where it stood', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const flow = await shop.publish(
    flowOf({ one: post(receiver, '/one', 'two'), two: post(receiver, '/two', 'end') }),
  )
  await shop.send('order.created', {})
  await shop.match()
  const [held] = await claim(shop)
  t.match(held, { flow_id: flow })
  t.strictSame(await claim(shop), [], 'nobody else has it meanwhile')
  const state = { ...held?.state, main: { ...held?.state.main, step: 'two' } }
  const done = {
    number: 0,
    stepId: 'one',
    iteration: '',
    type: 'http',
    status: 'succeeded' as const,
    port: 'success',
    input: null,
    output: { status: 200 },
    error: null,
    attempts: 1,
    attemptLog: null,
    note: null,
    startedAtMs: Date.now(),
    durationMs: 1,
  }
  if (held === undefined) throw new Error('not taken')
  const boundary = boundaryOf(held, { state: JSON.stringify(state), stepCount: 1, steps: [done] })
  t.match(await commitBoundaries(pool, [boundary], shop.now()), [{ status: 'running' }])
  t.match(
    await commitBoundaries(pool, [boundary], shop.now()),
    [{ status: 'running' }],
    'written twice is once',
  )
  shop.pass(LEASE_MS + 1_000)
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['completed/done'])
  t.strictSame(
    receiver.received.map(({ path }) => path),
    ['/two'],
  )
  t.equal((await shop.steps(held.id)).length, 2)
  const [late] = await commitBoundaries(pool, [boundaryOf(held, { status: 'failed' })], shop.now())
  t.match(late, { status: null }, 'a worker that wakes up late writes nothing')
  t.strictSame(outcomes(await shop.executions(flow)), ['completed/done'])
})

t.test('who names tenants takes up theirs, and who names none everybody’s', async (t) => {
  const [named, other, idle] = [await world.shop(), await world.shop(), await world.shop()]
  for (const shop of [named, other]) {
    await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
    await shop.send('order.created', {})
    await feedSettled({ db: shop.db })
    await shop.match()
  }
  const take = async (tenantIds: string[] | null): Promise<string[]> => {
    const busy = new Map<string, InHand>()
    const options = { limit: 512, leaseMs: LEASE_MS, busy, now: named.now(), maxBytes: MAX_BYTES }
    return (await claimExecutions(pool, { ...options, tenantIds })).map(({ tenant_id }) => tenant_id)
  }
  t.strictSame(await take([idle.tenant.id, named.tenant.id]), [named.tenant.id])
  t.strictSame(await take([named.tenant.id]), [])
  t.ok((await take(null)).includes(other.tenant.id))
})

t.test('a stale worker’s boundary in the same batch as its successor’s does not count', async (t) => {
  const shop = await world.shop()
  await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  await shop.send('order.created', {})
  await shop.match()
  const [first] = await claim(shop)
  shop.pass(LEASE_MS + 1_000)
  const [second] = await claim(shop)
  if (first === undefined || second === undefined) throw new Error('not taken')
  const answers = await commitBoundaries(
    pool,
    [boundaryOf(first, { status: 'failed' }), boundaryOf(second, { status: 'completed' })],
    shop.now(),
  )
  t.match(answers, [{ status: null }, { status: 'completed' }])
})

t.test('what a transaction holds keeps its own boundary waiting, and no other shop’s', async (t) => {
  const shops = [await world.shop(), await world.shop()]
  const held: Awaited<ReturnType<typeof claim>> = []
  for (const shop of shops) {
    await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
    await shop.send('order.created', {})
    await feedSettled({ db: shop.db })
    await shop.match()
    held.push(...(await claim(shop)))
  }
  const [locked, free] = held
  if (locked === undefined || free === undefined) throw new Error('not taken')
  const writer = new BoundaryWriter(pool, {
    statistics: new StatsRecorder(pool, world.app.log),
    patienceMs: LEASE_MS,
    clock: () => shops[0]?.now() ?? null,
    onWritten: () => undefined,
    log: world.app.log,
  })
  const { promise, ended } = await world.db.transaction().execute(async (trx) => {
    // As a matcher does that has handed an event to it.
    await sql`select from automation_executions where id = ${locked.id} for update`.execute(trx)
    let hasEnded = false
    const waiting = writer
      .commit(boundaryOf(locked, { status: 'completed' }))
      .finally(() => (hasEnded = true))
    t.match(await writer.commit(boundaryOf(free, { status: 'completed' })), { status: 'completed' })
    t.match(
      await commitBoundaries(pool, [boundaryOf(locked, { status: 'completed' })], null),
      [{ status: null, isLocked: true }],
      'nothing is written of it, and nobody waits',
    )
    return { promise: { waiting }, ended: () => hasEnded }
  })
  t.match(await promise.waiting, { status: 'completed' })
  t.ok(ended())
  const late = boundaryOf(locked, { status: 'failed' })
  t.match(await commitBoundaries(pool, [late], null), [{ status: null, isLocked: false }])
  t.match(await commitAlone(pool, late, null), { status: null, isLocked: false })
})

t.test('a claim shares itself out among tenants, and passes over those whose hands are full', async (t) => {
  const shops = await Promise.all([world.shop(), world.shop(), world.shop()])
  for (const [index, shop] of shops.entries()) {
    await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
    for (let n = 0; n < (index === 2 ? 3 : 30); n++) await shop.send('order.created', {})
    await shop.match()
  }
  const [large, other, small] = shops
  const count = (claims: readonly { tenant_id: string }[], shop: Shop): number =>
    claims.filter(({ tenant_id }) => tenant_id === shop.tenant.id).length
  const shared = await claim(large, 12)
  t.strictSame(
    shops.map((shop) => count(shared, shop)),
    [4, 4, 3],
  )
  const rest = await claim(large, 100, new Map([[large.tenant.id, { count: TENANT_MAX_RUNNING, bytes: 0 }]]))
  t.strictSame([count(rest, large), count(rest, other), count(rest, small)], [0, 26, 0])
})

t.test('an engine that stops gives back what it has in hand, and another one goes on', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const flow = await shop.publish(
    flowOf({ one: post(receiver, '/one', 'two'), two: post(receiver, '/two', 'end') }),
  )
  const engine = world.app.flowEngine.createEngine(() => shop.now())
  const stops: Promise<void>[] = []
  receiver.answer((_received, response) => {
    stops.push(engine.stop())
    response.end()
  })
  await shop.send('order.created', {})
  await shop.match()
  await engine.drain()
  await Promise.all(stops)
  t.strictSame(outcomes(await shop.executions(flow)), ['queued'])
  await shop.run()
  t.strictSame(
    receiver.received.map(({ path }) => path),
    ['/one', '/two'],
  )
})

t.test('a thousand executions wait through a new version and go on as they began', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const version = (path: string) => flowOf({ later: wait(DAY_MS, 'call'), call: post(receiver, path, 'end') })
  const flow = await shop.publish(version('/one'))
  await shop.send('order.created', {})
  await shop.run()
  await sql`
    insert into automation_executions (tenant_id, id, flow_id, version, status, reason, trigger_kind, trigger, state,
      due_at, expires_at)
    select tenant_id, gen_random_uuid(), flow_id, version, status, reason, 'manual', trigger, state, due_at, expires_at
    from automation_executions, generate_series(1, 999) where flow_id = ${flow}`.execute(world.db)
  await shop.publish(version('/two'), flow)
  shop.pass(DAY_MS)
  await shop.run()
  t.equal(receiver.received.length, 1_000)
  t.ok(receiver.received.every(({ path }) => path === '/one'))
  t.equal((await shop.executions(flow)).filter(({ status }) => status === 'completed').length, 1_000)
})

t.test('boundaries, the matcher and cancellations that meet do not wait for one another', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const flow = await shop.publish(
    flowOf({ one: post(receiver, '/one', 'two'), two: post(receiver, '/two', 'end') }),
  )
  for (let n = 0; n < 60; n++) await shop.send('order.created', {})
  await shop.match()
  const drained = shop.engine().drain()
  const ids = (await shop.executions(flow)).map(({ id }) => id).reverse()
  for (let n = 0; n < 5; n++) await world.app.flowEngine.cancel(shop.tenant.id, ids, 'requested')
  await drained
  const ended = await shop.executions(flow)
  t.ok(
    ended.every(({ status, due_at }) => ['cancelled', 'completed'].includes(status) && due_at === null),
    'each ended, some perhaps before they were told to',
  )
})
