import t, { type Test } from 'tap'
import type { WaitEventStep } from '../../../src/lib/flow/types.ts'
import { createPool } from '../../../db/connection.ts'
import {
  DAY_MS,
  flowOf,
  HOUR_MS,
  outcomes,
  post,
  settings,
  type Shop,
  startReceiver,
  startWorld,
  step,
  wait,
} from './support.ts'

t.setTimeout(120_000)
const world = await startWorld(t)

function waitEvent(
  config: Partial<WaitEventStep['config']>,
  rest: { loop?: string; received?: string } = {},
) {
  return step({
    type: 'wait_event',
    config: {
      any: [{ event: 'order.paid', match: { id: '{{trigger.id}}' }, filter: null }],
      timeout_ms: DAY_MS,
      look_back_ms: 0,
      ...config,
    },
    next: { received: rest.received ?? 'end', timeout: 'end' },
    loop: rest.loop ?? null,
  })
}

async function lastStep(shop: Shop, flow: string) {
  const [execution] = await shop.executions(flow)
  return (await shop.steps(execution?.id ?? '')).at(-1)
}

async function waitsLeft(shop: Shop): Promise<number> {
  const rows = await shop.db
    .selectFrom('automation_waits')
    .select('step_id')
    .where('tenant_id', '=', shop.tenant.id)
    .execute()
  return rows.length
}

t.test('an event that meets the wait ends it, others do not', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ paid: waitEvent({}) }))
  await shop.send('order.created', { id: 1 })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['waiting/event'])
  await shop.send('order.paid', { id: 2 })
  await shop.send('order.paid', {})
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['waiting/event'])
  const paid = await shop.send('order.paid', { id: 1 })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['completed/done'])
  t.match(await lastStep(shop, flow), { port: 'received', output: { event: { id: paid }, alternative: 0 } })
  t.equal(await waitsLeft(shop), 0)
})

t.test('a filter is tested on the event that arrives, with values of the flow', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(
    flowOf({
      limit: step({
        type: 'set',
        config: { variables: { limit: '{{trigger.total}}' } },
        next: { next: 'paid' },
      }),
      paid: waitEvent({
        any: [
          {
            event: 'order.paid',
            match: {},
            filter: { field: 'event.data.total', operator: 'gte', value: '{{variables.limit}}' },
          },
        ],
      }),
    }),
  )
  await shop.send('order.created', { total: 10 })
  await shop.run()
  await shop.send('order.paid', { total: 9 })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['waiting/event'])
  await shop.send('order.paid', { total: 10 })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['completed/done'])
})

t.test('a wait that nothing meets times out', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ paid: waitEvent({ timeout_ms: HOUR_MS }) }))
  await shop.send('order.created', { id: 1 })
  await shop.run()
  shop.pass(HOUR_MS - 60_000)
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['waiting/event'])
  shop.pass(60_000)
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['completed/done'])
  t.match(await lastStep(shop, flow), { port: 'timeout', output: null })
  await shop.send('order.paid', { id: 1 })
  await shop.run()
  t.equal(await waitsLeft(shop), 0)
})

t.test('look_back covers what came before the step, and only so far', async (t) => {
  const shop = await world.shop()
  const far = await shop.publish(flowOf({ paid: waitEvent({ look_back_ms: HOUR_MS }) }))
  const near = await shop.publish(flowOf({ paid: waitEvent({}) }))
  const paid = await shop.send('order.paid', { id: 1 })
  await shop.match()
  await shop.send('order.created', { id: 1 })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(far)), ['completed/done'])
  t.match(await lastStep(shop, far), { output: { event: { id: paid } } })
  t.strictSame(outcomes(await shop.executions(near)), ['waiting/event'])
})

t.test('one event does not end two waits of an execution', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(
    flowOf({
      first: waitEvent({ look_back_ms: HOUR_MS }, { received: 'second' }),
      second: waitEvent({ look_back_ms: HOUR_MS }),
    }),
  )
  await shop.send('order.created', { id: 1 })
  await shop.send('order.paid', { id: 1 })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['waiting/event'])
  const second = await shop.send('order.paid', { id: 1 })
  await shop.run()
  t.match(await lastStep(shop, flow), { step_id: 'second', output: { event: { id: second } } })
})

t.test('an event that was matched before the wait was registered is found, look_back or not', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ paid: waitEvent({}) }))
  await shop.send('order.created', { id: 1 })
  await shop.match()
  await shop.send('order.paid', { id: 1 })
  await shop.match()
  t.strictSame(outcomes(await shop.executions(flow)), ['queued'])
  await shop.engine().drain()
  t.strictSame(outcomes(await shop.executions(flow)), ['completed/done'])
})

t.test('an event whose transaction is open while the wait is registered is not missed', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ paid: waitEvent({}) }))
  await shop.send('order.created', { id: 1 })
  await shop.match()
  const client = await openEvent(t, shop.tenant.id, 'order.paid', { id: 1 })
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
    await shop.send('order.created', { id: 1 })
    await shop.match()
    const paid = await shop.send('order.paid', { id: 1 })
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

t.test('an event that arrives while the execution that waits for it is running is taken up', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  // One item waits for the event while another one's call is under way.
  receiver.answer((_received, response) => {
    void shop
      .send('order.paid', { id: 1 })
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
  await shop.send('order.created', { id: 1 })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['completed/done'])
  t.equal(await waitsLeft(shop), 0)
})

t.test('a worker that dies between the event and its step takes the event up again', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const flow = await shop.publish(
    flowOf({ paid: waitEvent({}, { received: 'call' }), call: post(receiver, '/a', 'end') }),
  )
  await shop.send('order.created', { id: 1 })
  await shop.run()
  await shop.send('order.paid', { id: 1 })
  await shop.match()
  const [execution] = await shop.executions(flow)
  // Taken by a worker that got no further.
  await shop.db
    .updateTable('automation_executions')
    .set((eb) => ({ status: 'running', lease_token: eb('lease_token', '+', 1), reason: null }))
    .where('id', '=', execution?.id ?? '')
    .execute()
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['completed/done'])
  t.match(await shop.steps(execution?.id ?? ''), [{ port: 'received' }, { step_id: 'call' }])
})

t.test('a delay until a time with an offset waits, or if that has passed runs or skips', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const remind = (if_past: 'run_now' | 'skip') =>
    flowOf({
      before: step({
        type: 'delay',
        config: { kind: 'until', until: '{{trigger.starts_at}}', offset_ms: -DAY_MS, if_past },
        next: { next: 'call' },
      }),
      call: post(receiver, `/${if_past}`, 'end'),
    })
  const run = await shop.publish(remind('run_now'))
  const skip = await shop.publish(remind('skip'))
  await shop.send('order.created', { starts_at: new Date(shop.now().getTime() + HOUR_MS).toISOString() })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(run)), ['completed/done'])
  t.strictSame(outcomes(await shop.executions(skip)), ['completed/filtered'])
  t.match(await lastStep(shop, skip), { status: 'skipped' })
  t.strictSame(
    receiver.received.map(({ path }) => path),
    ['/run_now'],
  )
  const startsAt = new Date(shop.now().getTime() + 2 * DAY_MS)
  await shop.send('order.created', { starts_at: startsAt.toISOString() })
  await shop.run()
  const [, later] = await shop.executions(skip)
  t.match(later, { status: 'waiting', reason: 'delay', due_at: new Date(startsAt.getTime() - DAY_MS) })
  shop.pass(DAY_MS)
  await shop.run()
  t.strictSame(outcomes(await shop.executions(skip)), ['completed/filtered', 'completed/done'])
})

t.test('a follow-up is not sent after the lead replied', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const match = { lead_id: '{{trigger.lead_id}}' }
  const flow = await shop.publish(
    flowOf(
      { later: wait(3 * DAY_MS, 'call'), call: post(receiver, '/follow-up', 'end') },
      {
        settings: settings({
          enrolment: { cancel_on: [{ event: 'message.received', match, filter: null }] },
        }),
      },
    ),
  )
  await shop.send('order.created', { lead_id: 'ann' })
  await shop.send('order.created', { lead_id: 'bob' })
  await shop.run()
  await shop.send('message.received', { lead_id: 'ann' })
  await shop.run()
  shop.pass(3 * DAY_MS)
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['cancelled/cancel_on', 'completed/done'])
  t.equal(receiver.received.length, 1)
  t.equal(await waitsLeft(shop), 0)
})

t.test(
  'an event that starts nothing but cancels is seen in the batch of the event that started',
  async (t) => {
    const shop = await world.shop()
    const match = { booking: '{{trigger.booking}}' }
    const flow = await shop.publish(
      flowOf(
        { later: wait(DAY_MS, 'end') },
        {
          settings: settings({
            enrolment: { cancel_on: [{ event: 'booking.cancelled', match, filter: null }] },
          }),
        },
      ),
    )
    await shop.send('order.created', { booking: 1 })
    await shop.send('booking.cancelled', { booking: 1 })
    await shop.run()
    t.strictSame(outcomes(await shop.executions(flow)), ['cancelled/cancel_on'])
  },
)

t.test('an execution that is cancelled during a call ends at its next boundary', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const match = { booking: '{{trigger.booking}}' }
  receiver.answer((_received, response) => {
    void shop
      .send('booking.cancelled', { booking: 1 })
      .then(() => shop.match())
      .then(() => response.end())
  })
  const cancel_on = [{ event: 'booking.cancelled', match, filter: null }]
  const ends = [
    flowOf(
      { call: post(receiver, '/a', 'second'), second: post(receiver, '/second', 'end') },
      { settings: settings({ enrolment: { cancel_on } }) },
    ),
    flowOf(
      { call: post(receiver, '/b', 'later'), later: wait(DAY_MS, 'end') },
      {
        settings: settings({ enrolment: { cancel_on } }),
      },
    ),
  ]
  for (const flow of ends) {
    const id = await shop.publish(flow)
    await shop.send('order.created', { booking: 1 })
    await shop.run()
    const [execution] = await shop.executions(id)
    t.match(execution, { status: 'cancelled', reason: 'cancel_on', due_at: null })
    t.match(await shop.steps(execution?.id ?? ''), [{ step_id: 'call', status: 'succeeded' }])
  }
  t.notOk(receiver.received.some(({ path }) => path === '/second'))
})

/** A client of its own that has stored an event and not committed it. */
async function openEvent(t: Test, tenantId: string, event: string, data: unknown) {
  const client = await connect(t)
  await client.query('begin')
  await client.query(
    `insert into events (tenant_id, id, fingerprint, event, source, occurred_at, body)
     values ($1, $2, '', $3, 'api', now(), $4)`,
    [tenantId, crypto.randomUUID(), event, JSON.stringify({ event, tenant_id: tenantId, data })],
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
