import t, { type Test } from 'tap'
import { createPool } from '#db/connection.ts'
import { newId } from '#lib/ids.ts'
import { lockWaits } from '#test/support/locks.ts'
import { flowOf, outcomes, post, startReceiver, step, startWorld } from '../support.ts'
import { lastStep, waitEvent, waitsLeft } from './support.ts'

const world = await startWorld(t)

t.test('an event that was matched before the wait was registered is found, look_back or not', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ paid: waitEvent({}) }))
  await shop.send('order.created', { order_id: 1 })
  await shop.match()
  await shop.send('order.paid', { order_id: 1 })
  await shop.match()
  t.strictSame(outcomes(await shop.executions(flow)), ['queued'])
  await shop.engine().drain()
  t.strictSame(outcomes(await shop.executions(flow)), ['completed/done'])
})

t.test('an event whose transaction is open while the wait is registered is not missed', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ paid: waitEvent({}) }))
  await shop.send('order.created', { order_id: 1 })
  await shop.match()
  const client = await openEvent(t, shop.tenant.id, 'order.paid', { order_id: 1 })
  await shop.engine().drain()
  t.strictSame(outcomes(await shop.executions(flow)), ['waiting/event'])
  await client.commit()
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['completed/done'])
})

t.test(
  'a registration that meets the matcher at work waits for it, and sees what it went past',
  async (t) => {
    const shop = await world.shop()
    const flow = await shop.publish(flowOf({ paid: waitEvent({}) }))
    await shop.send('order.created', { order_id: 1 })
    await shop.match()
    const paid = await shop.send('order.paid', { order_id: 1 })
    const matcher = await openMatcher(t, shop.tenant.id)
    const drained = shop.engine().drain()
    await matcher.blocks()
    // The matcher has gone past the event without a wait in sight; the registration must look again.
    await matcher.moveTo(paid)
    await drained
    t.strictSame(outcomes(await shop.executions(flow)), ['completed/done'])
    t.match(await lastStep(shop, flow), { output: { event: { id: paid } } })
  },
)

t.test('a matcher that meets a registration at work lets it finish, and then finds its wait', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ paid: waitEvent({}) }))
  await shop.send('order.created', { order_id: 1 })
  await shop.match()
  // The registration has looked back, holds the cursor, and cannot write its wait yet.
  const client = await connect(t)
  await client.query('begin')
  await client.query('lock table automation_waits in share mode')
  const drained = shop.engine().drain()
  await lockWaits(shop.db)
  const paid = await shop.send('order.paid', { order_id: 1 })
  const matcher = world.app.flowEngine.createMatcher()
  await matcher.pass([shop.tenant.id], shop.now())
  t.ok(matcher.behind.has(shop.tenant.id), 'the event is left for later')
  await client.query('commit')
  await drained
  t.strictSame(outcomes(await shop.executions(flow)), ['waiting/event'])
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['completed/done'])
  t.match(await lastStep(shop, flow), { output: { event: { id: paid } } })
})

t.test('an event that arrives while the execution that waits for it is running is taken up', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  // One item waits for the event while another one's call is under way.
  receiver.answer((_received, response) => {
    void shop
      .send('order.paid', { order_id: 1 })
      .then(() => shop.match())
      .then(() => response.end())
  })
  const flow = await shop.publish(
    flowOf({
      loop: step({
        type: 'for_each',
        config: { list: [1, 2], body: 'which', max_items: 10, concurrency: 2 },
        next: { done: 'end' },
      }),
      which: step({
        type: 'condition',
        config: { condition: { field: 'item', operator: 'equals', value: 1 } },
        next: { true: 'paid', false: 'call' },
        loop: 'loop',
      }),
      paid: waitEvent({}, { loop: 'loop' }),
      call: post(receiver, '/a', 'end', { loop: 'loop' }),
    }),
  )
  await shop.send('order.created', { order_id: 1 })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['completed/done'])
  t.equal(await waitsLeft(shop), 0)
})

t.test('events that come while their waits are registered and matched all arrive, each once', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const flow = await shop.publish(
    flowOf({
      paid: waitEvent({}, { received: 'call' }),
      call: post(receiver, '/paid', 'end', { body: '{{steps.paid.output.event.data.order_id | json}}' }),
    }),
  )
  const ids = Array.from({ length: 60 }, (_, index) => String(index))
  for (const id of ids) await shop.send('order.created', { order_id: id })
  await shop.match()
  const other = world.app.flowEngine.createMatcher()
  let isOver = false
  const matching = [
    async () => {
      while (!isOver) await shop.match()
    },
    async () => {
      while (!isOver) await other.pass([shop.tenant.id], shop.now())
    },
  ].map((match) => match())
  const running = shop.engine().drain()
  for (const id of ids.toReversed()) await shop.send('order.paid', { order_id: id })
  await running
  isOver = true
  await Promise.all(matching)
  await shop.run()
  t.strictSame(new Set(outcomes(await shop.executions(flow))), new Set(['completed/done']))
  t.strictSame(receiver.received.map(({ body }) => body).sort(), ids.map((id) => JSON.stringify(id)).sort())
  t.equal(await waitsLeft(shop), 0)
})

/** A client of its own that has stored an event and not committed it. */
async function openEvent(t: Test, tenantId: string, event: string, data: unknown) {
  const client = await connect(t)
  await client.query('begin')
  await client.query(
    `insert into events (tenant_id, id, fingerprint, event, source, occurred_at, body)
     values ($1, $2, '', $3, 'api', now(), $4)`,
    [tenantId, newId(), event, JSON.stringify({ event, tenant_id: tenantId, data })],
  )
  return { commit: () => client.query('commit') }
}

/** A matcher in the middle of its work, as another process has it. */
async function openMatcher(t: Test, tenantId: string) {
  const client = await connect(t)
  await client.query('begin')
  await client.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [`flow_cursor ${tenantId}`])
  return {
    blocks: async () => {
      for (;;) {
        const { rows } = await client.query<{ waiting: boolean }>(
          `select exists (select from pg_locks where locktype = 'advisory' and not granted
             and database = (select oid from pg_database where datname = current_database())) as waiting`,
        )
        if (rows[0]?.waiting === true) return
      }
    },
    moveTo: async (eventId: string) => {
      await client.query(
        `update flow_cursors c set position = e.position, event_id = e.id from events e
         where c.tenant_id = $1 and e.tenant_id = $1 and e.id = $2`,
        [tenantId, eventId],
      )
      await client.query('commit')
    },
  }
}

async function connect(t: Test) {
  const pool = createPool(world.databaseUrl, {
    max: 1,
    applicationName: 'bcs-test',
    statementTimeoutMs: 30_000,
    lockTimeoutMs: 10_000,
    idleInTransactionTimeoutMs: 30_000,
    connectionTimeoutMs: 10_000,
  })
  const client = await pool.connect()
  t.teardown(async () => {
    client.release()
    await pool.end()
  })
  return client
}

t.test('what a wait found by looking back is written before anything follows from it', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const paid = waitEvent({ look_back_ms: 60_000 }, { received: 'call' })
  const flow = await shop.publish(flowOf({ paid, call: post(receiver, '/paid', 'end') }))
  await shop.send('order.created', { order_id: 1 })
  await shop.match()
  const event = await shop.send('order.paid', { order_id: 1 })
  await shop.match()
  const written: unknown[] = []
  receiver.answer((_received, response) => {
    void lastStep(shop, flow).then((step) => {
      written.push(step)
      response.end()
    })
  })
  await shop.run()
  t.match(written, [{ step_id: 'paid', output: { event: { id: event } } }])
})
