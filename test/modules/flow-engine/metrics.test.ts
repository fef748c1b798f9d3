import { sql } from 'kysely'
import t from 'tap'
import { countAttention } from '#modules/flow-engine/attention-repository.ts'
import type { Shop } from './support.ts'
import { flowOf, HOUR_MS, outcomes, post, startReceiver, step, startWorld, wait } from './support.ts'

const world = await startWorld(t, { FLOW_MAX_STARTS_PER_MINUTE: '5' })

type Labels = Record<string, string>

/** The sum of a figure's values under these labels; of a histogram, how often it was observed. */
async function figure(name: string, labels: Labels = {}): Promise<number> {
  const metrics = await world.app.metrics.registry.getMetricsAsJSON()
  const metric = metrics.find((each) => each.name === name)
  if (metric === undefined) throw new Error(`no metric ${name}`)
  const isHistogram = String(metric.type) === 'histogram'
  return metric.values
    .filter((value) => !isHistogram || ('metricName' in value && value.metricName === `${name}_count`))
    .filter((value) =>
      Object.entries(labels).every(([label, wanted]) => (value.labels as Labels)[label] === wanted),
    )
    .reduce((sum, { value }) => sum + value, 0)
}

/** Returns the amounts by which the work raises figures. */
async function added(
  figures: [name: string, labels?: Labels][],
  work: () => Promise<void>,
): Promise<number[]> {
  const read = () => Promise.all(figures.map(([name, labels]) => figure(name, labels)))
  const before = await read()
  await work()
  return (await read()).map((after, index) => after - (before[index] ?? 0))
}

async function flowOnOrders(shop: Shop, steps: Parameters<typeof flowOf>[0]): Promise<string> {
  return shop.publish(flowOf(steps))
}

// First: these figures are read at most every 5 s.
t.test(
  'events that are set aside and flows that are paused are counted until somebody sees to them',
  async (t) => {
    const shop = await world.shop()
    const flow = await flowOnOrders(shop, { later: wait(HOUR_MS, 'end') })
    const event = await shop.send('order.created', {})
    await sql`insert into set_aside_events (tenant_id, event_id, reason)
    values (${shop.tenant.id}, ${event}, 'by the test')`.execute(shop.db)
    await sql`update automation_flows set status = 'paused', status_reason = 'failing' where id = ${flow}`.execute(
      shop.db,
    )
    const found = await countAttention(world.app.pools.api)
    t.match(found, { setAside: 1, paused: 1 })
    t.match(await world.app.backgroundState(), {
      matcher: { status: 'warning', detail: /^1 events are set aside.*take-up/ },
    })
    t.equal(await figure('bcs_events_set_aside'), 1)
    t.equal(await figure('bcs_flows_paused'), 1)
    await sql`update set_aside_events set wanted_at = now()`.execute(shop.db)
    await sql`update automation_flows set status = 'active', status_reason = null where id = ${flow}`.execute(
      shop.db,
    )
    t.strictSame(await countAttention(world.app.pools.api), { setAside: 0, paused: 0 })
  },
)

t.test('events matched, executions started and ended, steps and boundaries are counted', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  await flowOnOrders(shop, {
    keep: step({ type: 'set', config: { variables: { id: '{{trigger.id}}' } }, next: { next: 'call' } }),
    call: post(receiver, '/call', 'end'),
  })
  const counts = await added(
    [
      ['bcs_events_matched_total'],
      ['bcs_executions_started_total', { trigger: 'event', outcome: 'queued' }],
      ['bcs_executions_ended_total', { outcome: 'completed' }],
      ['bcs_steps_total', { type: 'set', outcome: 'succeeded' }],
      ['bcs_steps_total', { type: 'http', outcome: 'succeeded' }],
      ['bcs_step_duration_seconds', { type: 'http' }],
      ['bcs_execution_lag_seconds'],
    ],
    async () => {
      await shop.send('order.created', { id: 1 })
      await shop.send('order.created', { id: 2 })
      await shop.send('customer.created', { id: 3 })
      await shop.run()
    },
  )
  t.strictSame(counts, [3, 2, 2, 2, 2, 2, 2])
  t.ok((await figure('bcs_boundary_duration_seconds', { outcome: 'written' })) >= 2)
  t.equal(await figure('bcs_executions_held'), 0)
})

t.test('a failure counts as one, of its step and of its execution', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  receiver.answer(404)
  await flowOnOrders(shop, { call: post(receiver, '/call', 'end') })
  const counts = await added(
    [
      ['bcs_executions_ended_total', { outcome: 'failed' }],
      ['bcs_executions_ended_total', { outcome: 'completed' }],
      ['bcs_steps_total', { type: 'http', outcome: 'failed' }],
    ],
    async () => {
      await shop.send('order.created', { id: 1 })
      await shop.run()
    },
  )
  t.strictSame(counts, [1, 0, 1])
})

t.test('what waits has not ended; what is cancelled has, once', async (t) => {
  const shop = await world.shop()
  const flow = await flowOnOrders(shop, { later: wait(HOUR_MS, 'end') })
  const ended: [string][] = [['bcs_executions_ended_total']]
  const waiting = await added(ended, async () => {
    await shop.send('order.created', { id: 1 })
    await shop.send('order.created', { id: 2 })
    await shop.run()
  })
  t.strictSame(waiting, [0])
  const [first] = await shop.executions(flow)
  const cancelled: [string, Labels][] = [['bcs_executions_ended_total', { outcome: 'cancelled' }]]
  t.strictSame(
    await added(cancelled, async () => {
      for (let time = 0; time < 2; time++) {
        await shop.tenant.post(`/api/automation/executions/${first?.id}/cancel`)
      }
    }),
    [1],
  )
  t.strictSame(
    await added(cancelled, async () => {
      const answer = await shop.tenant.post('/api/automation/executions/cancel', { flow })
      t.match(answer.json(), { cancelled: 1 })
    }),
    [1],
  )
})

t.test('an event that cancels counts, and one that starts another in its place', async (t) => {
  const shop = await world.shop()
  const flow = flowOf({ later: wait(HOUR_MS, 'end') })
  flow.settings.enrolment = {
    key: '{{trigger.id}}',
    while_active: 'restart',
    reenter_after_ms: null,
    cancel_on: [{ event: 'order.cancelled', match: { id: '{{trigger.id}}' }, filter: null }],
  }
  const id = await shop.publish(flow)
  const counts = await added(
    [
      ['bcs_executions_ended_total', { outcome: 'cancelled' }],
      ['bcs_executions_started_total', { trigger: 'event', outcome: 'queued' }],
    ],
    async () => {
      for (const event of ['order.created', 'order.created', 'order.cancelled']) {
        await shop.send(event, { id: 1 })
        await shop.run()
      }
    },
  )
  t.strictSame(outcomes(await shop.executions(id)), ['cancelled/restarted', 'cancelled/cancel_on'])
  t.strictSame(counts, [2, 2])
})

t.test('what may not start is skipped', async (t) => {
  const shop = await world.shop()
  await flowOnOrders(shop, { later: wait(HOUR_MS, 'end') })
  const counts = await added(
    [
      ['bcs_executions_started_total', { trigger: 'event', outcome: 'queued' }],
      ['bcs_executions_started_total', { trigger: 'event', outcome: 'skipped' }],
    ],
    async () => {
      for (let event = 0; event < 7; event++) await shop.send('order.created', {})
      await shop.run()
    },
  )
  const [queued = 0, skipped = 0] = counts
  t.equal(queued + skipped, 7)
  // A minute may have ended between two of them.
  t.ok(queued >= 5)
  t.equal(queued + skipped, (await shop.executions()).length)
})

t.test('a start that no event makes, and a retry, count by what made them', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  receiver.answer(404)
  const flow = await shop.publish(
    flowOf(
      { call: post(receiver, '/call', 'end') },
      { triggers: [{ id: 'by_hand', type: 'manual', input_schema: null }] },
    ),
  )
  const counts = await added(
    [
      ['bcs_executions_started_total', { trigger: 'manual', outcome: 'queued' }],
      ['bcs_executions_started_total', { trigger: 'retry', outcome: 'queued' }],
    ],
    async () => {
      const run = await shop.tenant.post(`/api/automation/flows/${flow}/run`, { input: {} })
      t.equal(run.statusCode, 202, run.body)
      await shop.engine().drain()
      const { execution_id: id } = run.json<{ execution_id: string }>()
      const retried = await shop.tenant.post(`/api/automation/executions/${id}/retry`, {})
      t.ok(retried.statusCode < 300, retried.body)
    },
  )
  t.strictSame(counts, [1, 1])
})
