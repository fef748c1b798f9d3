import t from 'tap'
import { sql } from 'kysely'
import { newId, uuidTime } from '#lib/ids.ts'
import type { Enrolment } from '#lib/flow/types.ts'
import { feedSettled } from '#test/modules/event/support.ts'
import {
  DAY_MS,
  flowOf,
  HOUR_MS,
  MINUTE_MS,
  outcomes,
  post,
  settings,
  type Shop,
  startReceiver,
  startWorld,
  step,
  wait,
} from '../support.ts'

const world = await startWorld(t, { FLOW_MAX_STARTS_PER_MINUTE: '30' })

function enrolled(enrolment: Partial<Enrolment>) {
  return flowOf(
    { later: wait(HOUR_MS, 'end') },
    { settings: settings({ enrolment: { key: '{{trigger.customer}}', ...enrolment } }) },
  )
}

async function flowRow(shop: Shop, id: string) {
  return shop.db.selectFrom('automation_flows').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
}

t.test('one event starts a flow once, also when it is matched again', async (t) => {
  const shop = await world.shop()
  const plain = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  const keyed = await shop.publish(enrolled({ while_active: 'restart' }))
  await shop.send('order.created', { customer: 'ann' })
  await shop.match()
  await sql`update flow_cursors set position = 0 where tenant_id = ${shop.tenant.id}`.execute(shop.db)
  await shop.run()
  t.strictSame(outcomes(await shop.executions(plain)), ['waiting/delay'])
  t.strictSame(outcomes(await shop.executions(keyed)), ['waiting/delay'])
  t.match(await flowRow(shop, plain), { times_triggered: 1, last_triggered_at: Date })
})

t.test('what is forgotten and matched again has the same id, and another flow another', async (t) => {
  const shop = await world.shop()
  const plain = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  const keyed = await shop.publish(enrolled({ while_active: 'restart' }))
  const event = await shop.send('order.created', { customer: 'ann' })
  await shop.run()
  const before = (await shop.executions()).map(({ id }) => id)
  for (const table of ['automation_waits', 'automation_executions'] as const)
    await shop.db.deleteFrom(table).where('tenant_id', '=', shop.tenant.id).execute()
  await sql`update flow_cursors set position = 0 where tenant_id = ${shop.tenant.id}`.execute(shop.db)
  await shop.run()
  t.strictSame(
    (await shop.executions()).map(({ id }) => id),
    before,
  )
  t.equal(new Set(before).size, 2)
  t.ok(before.every((id) => uuidTime(id).getTime() === uuidTime(event).getTime()))
  t.strictSame(outcomes(await shop.executions(plain)), ['waiting/delay'])
  t.strictSame(outcomes(await shop.executions(keyed)), ['waiting/delay'])
})

t.test('only the tenant’s own events of the trigger’s types, source and filter start a flow', async (t) => {
  const shop = await world.shop()
  const other = await world.shop()
  const trigger = { id: 'trigger_1', type: 'event' as const, event_types: ['order.created'] }
  const small = { field: 'trigger.total', operator: 'lt' as const, value: 10 }
  const flow = await shop.publish(
    flowOf(
      { later: wait(HOUR_MS, 'end') },
      { triggers: [{ ...trigger, filter: small, plugin_id: 'platform' }] },
    ),
  )
  const foreign = await shop.publish(
    flowOf({ later: wait(HOUR_MS, 'end') }, { triggers: [{ ...trigger, filter: null, plugin_id: newId() }] }),
  )
  await other.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  const wanted = await shop.send('order.created', { total: 9 })
  await shop.send('order.created', { total: 10 })
  await shop.send('order.paid', { total: 9 })
  await shop.run()
  await other.run()
  t.match(await shop.executions(flow), [{ event_id: wanted, trigger: { data: { total: 9 } } }])
  t.equal((await shop.executions(flow)).length, 1)
  t.strictSame(await shop.executions(foreign), [])
  t.strictSame(await other.executions(), [])
})

t.test('a filter whose value the event lacks starts nothing, and stops nothing else', async (t) => {
  const shop = await world.shop()
  const filter = { field: 'trigger.a', operator: 'equals' as const, value: '{{trigger.missing}}' }
  const trigger = { id: 'x', type: 'event' as const, event_types: ['order.created'], filter, plugin_id: null }
  const broken = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }, { triggers: [trigger] }))
  const fine = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  await shop.send('order.created', { a: 1 })
  await shop.run()
  t.strictSame(await shop.executions(broken), [])
  t.strictSame(outcomes(await shop.executions(fine)), ['waiting/delay'])
})

t.test('an execution stays with its version when another one is published', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  const version = (path: string) => flowOf({ later: wait(DAY_MS, 'call'), call: post(receiver, path, 'end') })
  const flow = await shop.publish(version('/one'))
  await shop.send('order.created', {})
  await shop.run()
  await shop.publish(version('/two'), flow)
  await shop.send('order.created', {})
  await shop.run()
  shop.pass(DAY_MS)
  await shop.run()
  t.match(await shop.executions(flow), [
    { version: 1, status: 'completed' },
    { version: 2, status: 'completed' },
  ])
  t.strictSame(receiver.received.map(({ path }) => path).sort(), ['/one', '/two'])
})

t.test('while one is active under the key, skip keeps it and restart replaces it', async (t) => {
  const shop = await world.shop()
  const skip = await shop.publish(enrolled({ while_active: 'skip' }))
  const restart = await shop.publish(enrolled({ while_active: 'restart' }))
  const allow = await shop.publish(enrolled({ while_active: 'allow' }))
  for (const customer of ['ann', 'ann', 'bob']) await shop.send('order.created', { customer })
  await shop.run()
  const waits = 'waiting/delay'
  t.strictSame(outcomes(await shop.executions(skip)), [waits, 'skipped/already_active', waits])
  t.strictSame(outcomes(await shop.executions(restart)), ['cancelled/restarted', waits, waits])
  t.strictSame(outcomes(await shop.executions(allow)), [waits, waits, waits])
  shop.pass(HOUR_MS)
  await shop.run()
  await shop.send('order.created', { customer: 'ann' })
  await shop.run()
  t.equal(outcomes(await shop.executions(skip)).at(-1), waits, 'the first one has ended')
})

t.test('reenter_after keeps another one away for so long', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(enrolled({ while_active: 'allow', reenter_after_ms: DAY_MS }))
  await shop.send('order.created', { customer: 'ann' })
  await shop.run()
  shop.pass(DAY_MS - MINUTE_MS)
  await shop.send('order.created', { customer: 'ann' })
  await shop.run()
  shop.pass(2 * MINUTE_MS)
  await shop.send('order.created', { customer: 'ann' })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), [
    'completed/done',
    'skipped/reentered_too_soon',
    'waiting/delay',
  ])
})

t.test('reenter_after is remembered longer than executions are, and never means never', async (t) => {
  const shop = await world.shop()
  const long = await shop.publish(enrolled({ while_active: 'allow', reenter_after_ms: 300 * DAY_MS }))
  const never = await shop.publish(
    enrolled({ while_active: 'allow', reenter_after_ms: 366 * DAY_MS, reenter_never: true }),
  )
  const plain = await shop.publish(enrolled({ while_active: 'allow' }))
  const come = async (): Promise<void> => {
    await shop.send('order.created', { customer: 'ann@example.com' })
    await shop.run()
  }
  const forget = async (): Promise<void> => {
    for (const table of ['automation_waits', 'automation_executions'] as const)
      await shop.db.deleteFrom(table).where('tenant_id', '=', shop.tenant.id).execute()
  }
  await come()
  await forget()
  shop.pass(200 * DAY_MS)
  await come()
  t.strictSame(outcomes(await shop.executions(long)), ['skipped/reentered_too_soon'])
  t.strictSame(outcomes(await shop.executions(never)), ['skipped/reentered_too_soon'])
  await forget()
  shop.pass(1_000 * DAY_MS)
  await come()
  t.strictSame(outcomes(await shop.executions(long)), ['waiting/delay'])
  t.strictSame(outcomes(await shop.executions(never)), ['skipped/reentered_too_soon'])
  const rows = await shop.db
    .selectFrom('automation_enrolments')
    .selectAll()
    .where('tenant_id', '=', shop.tenant.id)
    .execute()
  t.match(
    rows.find(({ flow_id }) => flow_id === never),
    { expires_at: null },
  )
  t.equal(rows.length, 2, 'nothing for a flow without a rule')
  t.notOk(rows.some(({ flow_id }) => flow_id === plain))
  t.notMatch(JSON.stringify(rows), 'ann@example.com')
})

t.test('a start whose key or cancel_on cannot be filled in is skipped and says why', async (t) => {
  const shop = await world.shop()
  const keyed = await shop.publish(enrolled({}))
  const cancel_on = [{ event: 'order.paid', match: { order_id: '{{trigger.order_id}}' }, filter: null }]
  const cancelled = await shop.publish(enrolled({ key: null, cancel_on }))
  await shop.send('order.created', {})
  await shop.run()
  for (const flow of [keyed, cancelled]) {
    t.match(await shop.executions(flow), [
      { status: 'skipped', reason: 'template_error', error: { message: /missing/ } },
    ])
  }
})

t.test('a key of any length finds its like', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(enrolled({ while_active: 'skip' }))
  for (let n = 0; n < 2; n++) await shop.send('order.created', { customer: 'x'.repeat(5_000) })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['waiting/delay', 'skipped/already_active'])
})

t.test('beyond eight automations in a chain a flow does not start', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  for (const depth of [8, 9]) {
    await world.app.events.accept([
      {
        tenantId: shop.tenant.id,
        event: 'order.created',
        data: {},
        source: 'api',
        causation: { id: newId(), depth },
      },
    ])
  }
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['waiting/delay', 'skipped/causation_depth'])
  t.equal((await flowRow(shop, flow)).status, 'active', 'the chain is made of others')
})

t.test('a flow that triggers itself is paused when its chain is cut', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(
    flowOf({ end: step({ type: 'stop', config: { outcome: 'done', reason: null }, next: {} }) }),
  )
  let causation: { id: string; depth: number } | null = null
  for (let depth = 1; depth <= 10; depth++) {
    const [stored] = await world.app.events.accept([
      { tenantId: shop.tenant.id, event: 'order.created', data: {}, source: 'api', causation },
    ])
    if (stored === undefined || stored.status === 'rejected') throw new Error('not stored')
    causation = { id: stored.id, depth }
    await shop.run()
  }
  t.equal((await shop.executions(flow)).filter(({ status }) => status === 'completed').length, 9)
  t.match(await flowRow(shop, flow), { status: 'paused', status_reason: 'self_triggering' })
})

t.test('a flow starts no more often in a minute than it may', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  const keyed = await shop.publish(enrolled({ while_active: 'skip' }))
  for (let n = 0; n < 35; n++) await shop.send('order.created', { customer: 'ann' })
  await shop.run()
  const statuses = outcomes(await shop.executions(flow))
  t.equal(statuses.filter((status) => status === 'waiting/delay').length, 30)
  t.equal(statuses.filter((status) => status === 'skipped/rate_cap').length, 5)
  t.notOk(
    outcomes(await shop.executions(keyed)).includes('skipped/rate_cap'),
    'what is skipped does not count',
  )
})

t.test('retries do not count against the cap of what events start', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }))
  await shop.send('order.created', { customer: 'ann' })
  await shop.run()
  const [first] = await shop.executions(flow)
  await sql`
    insert into automation_executions (tenant_id, id, flow_id, version, status, trigger_kind, trigger, state, expires_at,
      retry_of)
    select tenant_id, retry.id, flow_id, version, 'completed', trigger_kind, trigger, state, expires_at, e.id
    from automation_executions e, unnest(${Array.from({ length: 30 }, () => newId())}::uuid[]) as retry (id)
    where e.id = ${first?.id}`.execute(world.db)
  await shop.send('order.created', { customer: 'ann' })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)).sort(), [
    ...Array.from({ length: 30 }, () => 'completed'),
    'waiting/delay',
    'waiting/delay',
  ])
})

t.test('a flow that fails twenty times in a row is paused, and one success between keeps it', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  receiver.answer(({ body }, response) => response.writeHead(body === '"good"' ? 200 : 400).end())
  const call = post(receiver, '/a', 'end', { body: '{{trigger.kind}}' })
  const call2 = { ...call, config: { ...call.config, body: '{{trigger.kind | json}}' } } as typeof call
  const flow = await shop.publish(flowOf({ call: call2 }))
  const sendAll = async (kind: string, count: number): Promise<void> => {
    // One event a run: failures in a row are counted in the order in which executions end.
    for (let n = 0; n < count; n++) {
      await shop.send('order.created', { kind })
      await shop.run()
    }
  }
  await sendAll('bad', 9)
  t.equal((await flowRow(shop, flow)).consecutive_failures, 9)
  await sendAll('good', 1)
  t.equal((await flowRow(shop, flow)).consecutive_failures, 0)
  // The cap on starts is not what is tested here.
  await sql`delete from automation_executions where flow_id = ${flow}`.execute(shop.db)
  await sendAll('bad', 19)
  t.match(await flowRow(shop, flow), { status: 'active', consecutive_failures: 19 })
  await sendAll('bad', 1)
  t.match(await flowRow(shop, flow), { status: 'paused', status_reason: 'failing' })
  const calls = receiver.received.length
  await sendAll('bad', 1)
  t.equal(receiver.received.length, calls, 'a paused flow starts nothing')
  t.equal(outcomes(await shop.executions(flow)).at(-1), 'skipped/paused', 'and what it misses is kept')
})

t.test(
  'a halted tenant starts nothing and goes on with nothing, and misses no event it waits for',
  async (t) => {
    const shop = await world.shop()
    const receiver = await startReceiver(t)
    const flow = await shop.publish(
      flowOf({
        paid: step({
          type: 'wait_event',
          config: {
            any: [{ event: 'order.paid', match: { order_id: '{{trigger.order_id}}' }, filter: null }],
            timeout_ms: DAY_MS,
            look_back_ms: 0,
          },
          next: { received: 'call', timeout: 'end' },
        }),
        call: post(receiver, '/a', 'end'),
      }),
    )
    await shop.send('order.created', { order_id: 1 })
    await shop.run()
    await shop.send('order.created', { order_id: 2 })
    await shop.match()
    t.equal(await world.app.flowEngine.halt(shop.tenant.id), 1)
    await shop.send('order.created', { order_id: 3 })
    await shop.send('order.paid', { order_id: 1 })
    await shop.run()
    t.strictSame(outcomes(await shop.executions(flow)), [
      'waiting/event',
      'cancelled/halted',
      'skipped/halted',
    ])
    t.equal(receiver.received.length, 0)
    await world.app.flowEngine.resume(shop.tenant.id)
    await shop.run()
    t.strictSame(outcomes(await shop.executions(flow)), [
      'completed/done',
      'cancelled/halted',
      'skipped/halted',
    ])
  },
)

t.test('a halt holds what runs at its next boundary', async (t) => {
  const shop = await world.shop()
  const receiver = await startReceiver(t)
  receiver.answer((_received, response) => {
    void world.app.flowEngine.halt(shop.tenant.id).then(() => response.end())
  })
  const flow = await shop.publish(
    flowOf({ one: post(receiver, '/one', 'two'), two: post(receiver, '/two', 'end') }),
  )
  await shop.send('order.created', {})
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['queued/halted'])
  receiver.answer(200)
  await world.app.flowEngine.resume(shop.tenant.id)
  await shop.run()
  t.strictSame(
    receiver.received.map(({ path }) => path),
    ['/one', '/two'],
  )
})

t.test('a start by hand needs no event and obeys the same rules', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(enrolled({ while_active: 'skip' }))
  const start = () =>
    world.app.flowEngine.start({
      tenantId: shop.tenant.id,
      flowId: flow,
      version: 1,
      kind: 'manual',
      data: { customer: 'ann' },
      event: null,
      causationDepth: 0,
    })
  t.match(await start(), { status: 'queued' })
  t.match(await start(), { status: 'skipped', reason: 'already_active' })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['waiting/delay', 'skipped/already_active'])
  t.equal((await flowRow(shop, flow)).times_triggered, 1)
})

t.test('an execution does not outlive its lifetime', async (t) => {
  const shop = await world.shop()
  const flow = await shop.publish(
    flowOf({ later: wait(DAY_MS, 'end') }, { settings: settings({ lifetime_ms: HOUR_MS }) }),
  )
  await shop.send('order.created', {})
  await shop.run()
  shop.pass(HOUR_MS)
  await shop.run()
  t.match(await shop.executions(flow), [{ status: 'timed_out', reason: 'lifetime', due_at: null }])
})

t.test(
  'events whose bodies do not fit into memory together are matched one lot after the other',
  async (t) => {
    const shop = await world.shop()
    const flow = await shop.publish(
      flowOf({ set_1: step({ type: 'set', config: { variables: {} }, next: {} }) }),
    )
    const sent: string[] = []
    for (let n = 0; n < 20; n++) sent.push(await shop.send('order.created', { text: 'x'.repeat(900_000) }))
    await feedSettled({ db: shop.db })
    const matcher = world.app.flowEngine.createMatcher()
    t.equal(await matcher.pass([shop.tenant.id], shop.now()), 'more')
    t.ok(matcher.matched > 1 && matcher.matched < 20)
    t.ok(matcher.behind.has(shop.tenant.id), 'not left to the next look at all tenants')
    await shop.match()
    t.strictSame((await shop.executions(flow)).map(({ event_id }) => event_id).sort(), sent.sort())
  },
)

t.test('a filter that does not fit what came leaves a trace', async (t) => {
  const shop = await world.shop()
  const filter = { field: 'trigger.total', operator: 'gt' as const, value: 100 }
  const trigger = { id: 'x', type: 'event' as const, event_types: ['order.created'], filter, plugin_id: null }
  const flow = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }, { triggers: [trigger] }))
  for (const total of [5, 'much', 500]) await shop.send('order.created', { total })
  await shop.run()
  t.match(await shop.executions(flow), [
    { status: 'skipped', reason: 'filter_mismatch', error: { code: 'filter_mismatch', message: /total/ } },
    { status: 'waiting' },
  ])
  t.equal((await shop.executions(flow)).length, 2, 'not being met is no trouble')
})

t.test('cancel_on may look back: what came before the start ends it', async (t) => {
  const shop = await world.shop()
  const match = { order_id: '{{trigger.order_id}}' }
  const cancel_on = [{ event: 'order.paid', match, filter: null, look_back_ms: 10 * MINUTE_MS }]
  const flow = await shop.publish(enrolled({ key: null, while_active: 'allow', cancel_on }))
  await shop.send('order.paid', { order_id: 1 })
  await shop.send('order.created', { order_id: 1 })
  await shop.send('order.created', { order_id: 2 })
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['cancelled/cancel_on', 'waiting/delay'])
})

t.test('changed holds for our own event of a stock', async (t) => {
  const shop = await world.shop()
  const filter = { field: 'trigger.available', operator: 'changed' as const }
  const trigger = {
    id: 'x',
    type: 'event' as const,
    event_types: ['inventory.updated'],
    filter,
    plugin_id: null,
  }
  const flow = await shop.publish(flowOf({ later: wait(HOUR_MS, 'end') }, { triggers: [trigger] }))
  await shop.send('inventory.updated', { product_id: 1, available: 5, previous: 5 })
  const changed = await shop.send('inventory.updated', { product_id: 1, available: 4, previous: 5 })
  await shop.run()
  t.match(await shop.executions(flow), [{ event_id: changed, status: 'waiting' }])
})
