import { sql } from 'kysely'
import t from 'tap'
import { newId, uuidTime } from '#lib/ids.ts'
import { LOOK_TENANTS } from '#modules/flow-engine/match/repository.ts'
import { feedSettled } from '#test/modules/event/support.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { bodyOf, codeOf, FLOWS } from '#test/modules/flow/support.ts'
import { flowOf, HOUR_MS, MINUTE_MS, outcomes, type Shop, startWorld, step } from '../support.ts'

const platform = await startReceiver(t)
const world = await startWorld(t, { PLATFORM_URL: platform.url, PLATFORM_TOKEN: 'token' })
t.beforeEach(() => {
  platform.received.length = 0
  platform.answer((_received, response) => response.end('{}'))
})

/** A flow that makes a task, titled with the event's data; created through the API, as activating compiles it. */
async function created(shop: Shop, rest: Record<string, unknown> = {}): Promise<string> {
  const flow = {
    name: 'Pack orders',
    status: 'active',
    trigger: { type: 'event', event_types: ['order.created'] },
    steps: [
      { id: 'task', type: 'action', action_type: 'create_task', input: { title: '{{trigger.order_id}}' } },
    ],
    ...rest,
  }
  return bodyOf(await shop.tenant.post(FLOWS, flow), 201)['id'] as string
}

const titles = (): unknown[] =>
  platform.received.map(({ body }) => String((JSON.parse(body) as { title: unknown }).title))

async function sendOrders(shop: Shop, ...orders: number[]): Promise<string[]> {
  const ids: string[] = []
  for (const order_id of orders) ids.push(await shop.send('order.created', { order_id }))
  await shop.run()
  return ids
}

const keysOf = (): unknown[] => platform.received.map(({ headers }) => headers['idempotency-key'])

t.test(
  'a pause is told by an event, an audit entry and a metric, and what it misses is made good',
  async (t) => {
    const shop = await world.shop()
    const observer = await startReceiver(t)
    bodyOf(
      await shop.tenant.post('/api/plugins', {
        name: 'watch',
        slug: 'watch',
        webhook_url: observer.url,
        events: ['flow.paused'],
      }),
      201,
    )
    const flow = await created(shop)
    platform.answer((_received, response) => response.writeHead(422).end('{"error":"no such list"}'))
    // One after the other: concurrent failures count in any order.
    for (let n = 0; n < 20; n++) await sendOrders(shop, n)
    const url = `${FLOWS}/${flow}`
    t.match(bodyOf(await shop.tenant.get(url)), {
      status: 'paused',
      status_reason: 'failing',
      off_since: String,
      consecutive_failures: 20,
    })
    const told = bodyOf(await shop.tenant.get('/api/events?event=flow.paused')) as {
      data: { data: Record<string, unknown> }[]
    }
    t.equal(told.data.length, 1)
    t.match(told.data[0]?.data, {
      flow: 'Pack orders',
      flow_id: flow,
      reason: 'failing',
      cause: { step_id: 'task', code: 'http_4xx', message: 'no such list' },
      executions: Array(5).fill({
        id: String,
        status: 'failed',
        event_id: String,
        error: { step_id: 'task' },
      }),
    })
    const audit = bodyOf(await shop.tenant.get('/api/audit-log')) as { data: Record<string, unknown>[] }
    t.match(
      audit.data.find(({ action }) => action === 'flow.paused'),
      { actor_kind: 'system', target_id: flow, detail: { reason: 'failing', cause: { code: 'http_4xx' } } },
    )
    const metrics = await world.app.metrics.flowPauses.get()
    t.match(metrics.values, [{ labels: { reason: 'failing' }, value: 1 }])
    const [delivery] = await shop.db
      .selectFrom('deliveries')
      .select('status')
      .where('tenant_id', '=', shop.tenant.id)
      .execute()
    t.ok(delivery, 'subscribers are told')

    platform.answer((_received, response) => response.end('{}'))
    const missed = await sendOrders(shop, 100, 101, 102)
    t.strictSame(outcomes(await shop.executions(flow)).slice(20), Array(3).fill('skipped/paused'))
    platform.received.length = 0
    t.match(bodyOf(await shop.tenant.post(`${url}/activate`)), {
      status: 'active',
      off_since: null,
      missed: 3,
      taken_up: 3,
    })
    await sendOrders(shop, 103)
    t.strictSame(titles().sort(), ['100', '101', '102', '103'])
    const after = (await shop.executions(flow)).slice(20)
    t.strictSame(outcomes(after), Array(4).fill('completed/done'))
    t.strictSame(
      after.slice(0, 3).map(({ event_id, id }) => [event_id, uuidTime(id).getTime()]),
      missed.map((id) => [id, uuidTime(id).getTime()]),
      'under the ids that they had',
    )
    t.equal(new Set(keysOf()).size, 4)
  },
)

t.test(
  'what was switched off is taken up only if somebody says so, and then once and in order',
  async (t) => {
    const shop = await world.shop()
    const flow = await created(shop)
    const url = `${FLOWS}/${flow}`
    bodyOf(await shop.tenant.post(`${url}/deactivate`))
    await sendOrders(shop, 1, 2, 3)
    t.match(
      await shop.executions(flow),
      Array(3).fill({ status: 'skipped', reason: 'not_active', key: null }),
    )
    t.equal(codeOf(await shop.tenant.post(`${url}/catch-up`)), '409 flow_not_active')
    t.match(bodyOf(await shop.tenant.post(`${url}/catch-up`, { dry_run: true })), { missed: 3, taken_up: 0 })
    t.match(bodyOf(await shop.tenant.post(`${url}/activate`)), { missed: 3, taken_up: 0 })
    await sendOrders(shop, 4)
    t.strictSame(titles(), ['4'])
    t.match(bodyOf(await shop.tenant.post(`${url}/catch-up`, { dry_run: true })), {
      missed: 3,
      taken_up: 0,
      remaining: 3,
    })
    t.match(bodyOf(await shop.tenant.post(`${url}/catch-up`)), { missed: 3, taken_up: 3, remaining: 0 })
    t.match(bodyOf(await shop.tenant.post(`${url}/catch-up`)), { missed: 0, taken_up: 0, remaining: 0 })
    await shop.run()
    await shop.run()
    t.strictSame(titles().sort(), ['1', '2', '3', '4'])
    bodyOf(await shop.tenant.post(`${url}/deactivate`))
    await sendOrders(shop, 5)
    t.match(bodyOf(await shop.tenant.post(`${url}/activate`, { catch_up: true })), { missed: 1, taken_up: 1 })
    await shop.run()
    t.equal(titles().length, 5)
    const audit = bodyOf(await shop.tenant.get('/api/audit-log')) as { data: Record<string, unknown>[] }
    t.match(
      audit.data.find(({ action }) => action === 'flow.caught_up'),
      { detail: { taken_up: 0 } },
    )
  },
)

t.test('catching up may be limited to a time, and names a field that is wrong', async (t) => {
  const shop = await world.shop()
  const flow = await created(shop)
  const url = `${FLOWS}/${flow}`
  bodyOf(await shop.tenant.post(`${url}/deactivate`))
  const from = shop.now()
  await sendOrders(shop, 1)
  shop.pass(HOUR_MS)
  const middle = shop.now()
  await sendOrders(shop, 2)
  shop.pass(HOUR_MS)
  await sendOrders(shop, 3)
  bodyOf(await shop.tenant.post(`${url}/activate`))
  const until = new Date(middle.getTime() + MINUTE_MS)
  const window = { since: middle.toISOString(), until: until.toISOString() }
  t.match(bodyOf(await shop.tenant.post(`${url}/catch-up`, { ...window, dry_run: true })), { missed: 1 })
  t.match(bodyOf(await shop.tenant.post(`${url}/catch-up`, { since: from.toISOString(), dry_run: true })), {
    missed: 3,
  })
  t.match(bodyOf(await shop.tenant.post(`${url}/catch-up`, window)), { taken_up: 1 })
  await shop.run()
  t.strictSame(titles(), ['2'])
  for (const [body, pointer] of [
    [{ since: 'yesterday' }, '/since'],
    [{ until: '2026-13-01' }, '/until'],
    [{ since: '2026-05-02T00:00:00Z', until: '2026-05-01T00:00:00Z' }, '/until'],
    [{ all: true }, '/all'],
  ] as const) {
    const refused = await shop.tenant.post(`${url}/catch-up`, body)
    t.match(refused.json(), { status: 400, errors: [{ pointer }] }, refused.body)
  }
  t.equal(codeOf(await (await world.shop()).tenant.post(`${url}/catch-up`)), '404 flow_not_found')
})

t.test(
  'a shop that was halted starts what it has missed when it is resumed, before anything newer',
  async (t) => {
    const shop = await world.shop()
    const flow = await created(shop)
    const off = await created(shop)
    bodyOf(await shop.tenant.post(`${FLOWS}/${off}/deactivate`))
    await shop.send('order.created', { order_id: 1 })
    await shop.match()
    t.match(bodyOf(await shop.tenant.post('/api/automation/halt')), { cancelled: 1 })
    await sendOrders(shop, 2, 3)
    t.strictSame(outcomes(await shop.executions(flow)), [
      'cancelled/halted',
      ...Array<string>(2).fill('skipped/halted'),
    ])
    await shop.send('order.created', { order_id: 4 })
    t.match(bodyOf(await shop.tenant.post('/api/automation/resume')), {
      halted: false,
      missed: 3,
      taken_up: 3,
    })
    await shop.run()
    t.strictSame(titles().sort(), ['1', '2', '3', '4'])
    t.strictSame(outcomes(await shop.executions(flow)), Array(4).fill('completed/done'))
    const steps = await sql<{ event_id: string }>`
    select e.event_id from automation_executions e where flow_id = ${flow} order by e.started_at, e.event_id`.execute(
      shop.db,
    )
    t.strictSame(
      steps.rows.map(({ event_id }) => event_id),
      (await shop.executions(flow)).map(({ event_id }) => event_id),
    )
    t.ok((await shop.executions(off)).every(({ status }) => status === 'skipped'))

    bodyOf(await shop.tenant.post('/api/automation/halt'))
    await sendOrders(shop, 5)
    const kept = bodyOf(await shop.tenant.post('/api/automation/resume', { catch_up: false }))
    t.match(kept, { missed: 1, taken_up: 0 })
    await sendOrders(shop, 6)
    t.strictSame(titles().slice(4), ['6'])
    t.match(bodyOf(await shop.tenant.post(`${FLOWS}/${flow}/catch-up`)), { taken_up: 1 })
    await shop.run()
    t.strictSame(titles().slice(4), ['6', '5'])
  },
)

t.test('what is taken up obeys the enrolment, and what was to cancel it has done so', async (t) => {
  const shop = await world.shop()
  const enrolment = {
    key: '{{trigger.order_id}}',
    while_active: 'skip',
    cancel_on: [{ event: 'order.paid', match: 'trigger.order_id' }],
  }
  const flow = await created(shop, {
    settings: { enrolment },
    steps: [
      { id: 'later', type: 'delay', duration: '1 hour' },
      { id: 'task', type: 'action', action_type: 'create_task', input: { title: '{{trigger.order_id}}' } },
    ],
  })
  const url = `${FLOWS}/${flow}`
  bodyOf(await shop.tenant.post(`${url}/deactivate`))
  await sendOrders(shop, 1, 1, 2)
  t.match(await shop.executions(flow), [{ key: '1' }, { key: '1' }, { key: '2' }])
  await shop.send('order.paid', { order_id: 2 })
  await shop.run()
  bodyOf(await shop.tenant.post(`${url}/activate`, { catch_up: true }))
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), [
    'waiting/delay',
    'skipped/already_active',
    'cancelled/cancel_on',
  ])
  shop.pass(HOUR_MS)
  await shop.run()
  t.strictSame(titles(), ['1'])
})

t.test(
  'what the quota has no room for is taken up once it has, and events are matched meanwhile',
  async (t) => {
    const shop = await world.shop()
    bodyOf(await shop.tenant.put('/api/tenant/quotas', { waiting_executions: 2 }))
    const enrolment = { cancel_on: [{ event: 'order.paid', match: 'trigger.order_id' }] }
    const flow = await created(shop, {
      settings: { enrolment },
      steps: [{ id: 'later', type: 'delay', duration: '1 hour' }],
    })
    const url = `${FLOWS}/${flow}`
    bodyOf(await shop.tenant.post(`${url}/deactivate`))
    await sendOrders(shop, 1, 2, 3)
    t.match(bodyOf(await shop.tenant.post(`${url}/activate`, { catch_up: true })), { taken_up: 3 })
    await shop.run()
    const full = ['waiting/delay', 'waiting/delay', 'skipped/catch_up']
    t.strictSame(outcomes(await shop.executions(flow)), full)
    await shop.send('order.paid', { order_id: 1 })
    await shop.run()
    // A process counts again a second after it found the quota used up.
    const deadline = Date.now() + 60_000
    while (outcomes(await shop.executions(flow))[2] === full[2] && Date.now() < deadline) await shop.run()
    t.strictSame(outcomes(await shop.executions(flow)), [
      'cancelled/cancel_on',
      'waiting/delay',
      'waiting/delay',
    ])
    t.equal(
      (
        await shop.db
          .selectFrom('flow_cursors')
          .select('catch_up')
          .where('tenant_id', '=', shop.tenant.id)
          .executeTakeFirst()
      )?.catch_up,
      false,
    )
  },
)

/** Creates a flow with a webhook trigger. @returns the flow, and what sends to its inlet */
async function withInlet(
  shop: Shop,
): Promise<{ url: string; flow: string; send: (id: number) => Promise<unknown> }> {
  const flow = await created(shop, { triggers: [{ type: 'webhook' }], trigger: undefined })
  const url = `${FLOWS}/${flow}`
  const { inlets } = bodyOf(await shop.tenant.get(url)) as { inlets: { url: string }[] }
  const send = async (order_id: number): Promise<unknown> => {
    const request = { method: 'POST', url: inlets[0]?.url ?? '', payload: { order_id } } as const
    const key = { 'idempotency-key': String(order_id) }
    return bodyOf(await world.app.inject({ ...request, headers: key }), 202)
  }
  return { url, flow, send }
}

t.test(
  'what comes to the inlet of a paused flow is taken up, once, in order and before what is newer',
  async (t) => {
    const shop = await world.shop()
    const { url, flow, send } = await withInlet(shop)
    const pause = sql`update automation_flows set status = 'paused', status_reason = 'failing', off_since = now()
    where id = ${flow}`
    await pause.execute(shop.db)
    for (const id of [1, 2, 3, 2]) t.match(await send(id), { status: 'skipped', reason: 'paused' })
    t.match(bodyOf(await shop.tenant.post(`${url}/activate`)), { missed: 3, taken_up: 3 })
    t.match(await send(4), { status: 'skipped', reason: 'catch_up' }, 'until those before it have started')
    await shop.run()
    t.match(await send(5), { status: 'queued', reason: null })
    t.match(await send(1), { status: 'queued' }, 'sent again, it is the one that has started')
    await shop.run()
    t.strictSame(titles().sort(), ['1', '2', '3', '4', '5'])
    const executions = await sql<{ title: string }>`
    select trigger -> 'data' ->> 'order_id' as title from automation_executions
    where flow_id = ${flow} order by started_at, id`.execute(shop.db)
    t.strictSame(
      executions.rows.map(({ title }) => title),
      ['1', '2', '3', '4', '5'],
    )
    t.strictSame(outcomes(await shop.executions(flow)), Array(5).fill('completed/done'))
  },
)

t.test(
  'what comes to the inlet of a flow that was switched off is taken up if somebody says so',
  async (t) => {
    const shop = await world.shop()
    const { url, send } = await withInlet(shop)
    bodyOf(await shop.tenant.post(`${url}/deactivate`))
    t.match(await send(1), { status: 'skipped', reason: 'not_active' })
    t.match(bodyOf(await shop.tenant.post(`${url}/activate`)), { missed: 1, taken_up: 0 })
    t.match(bodyOf(await shop.tenant.post('/api/automation/halt')), { halted: true })
    t.match(await send(2), { status: 'skipped', reason: 'halted' })
    t.match(bodyOf(await shop.tenant.post('/api/automation/resume')), { missed: 1, taken_up: 1 })
    await shop.run()
    t.strictSame(titles(), ['2'])
    t.match(bodyOf(await shop.tenant.post(`${url}/catch-up`)), { missed: 1, taken_up: 1 })
    await shop.run()
    t.strictSame(titles(), ['2', '1'])
  },
)

t.test(
  'of the firings that a halt or a pause kept away the last is made up for, and only where once',
  async (t) => {
    const shop = await world.shop()
    const firer = world.app.flowTriggers.createFirer()
    const cron = '* * * * *'
    const triggers = (['once', 'skip'] as const).map((catch_up) => ({
      id: catch_up,
      type: 'schedule',
      cron,
      catch_up,
    }))
    const input = { title: '{{trigger.scheduled_at}}' }
    const steps = [{ id: 'task', type: 'action', action_type: 'create_task', input }]
    const flow = await created(shop, { triggers, trigger: undefined, steps })
    const url = `${FLOWS}/${flow}`
    const start = Math.ceil(Date.now() / MINUTE_MS) * MINUTE_MS
    const fire = async (minute: number): Promise<string> => {
      const at = new Date(start + minute * MINUTE_MS)
      while ((await firer.pass(at)).result !== 'idle');
      return at.toISOString()
    }
    bodyOf(await shop.tenant.post('/api/automation/halt'))
    await fire(0)
    const last = await fire(1)
    t.strictSame(outcomes(await shop.executions(flow)), Array(4).fill('skipped/halted'))
    t.match(bodyOf(await shop.tenant.post('/api/automation/resume')), { missed: 1, taken_up: 1 })
    await shop.run()
    t.strictSame(titles(), [last])
    t.match(bodyOf(await shop.tenant.post(`${url}/catch-up`)), { missed: 0, taken_up: 0 })

    await sql`update automation_flows set status = 'paused', status_reason = 'failing', off_since = now()
    where id = ${flow}`.execute(shop.db)
    await fire(2)
    const paused = await fire(3)
    t.match(bodyOf(await shop.tenant.post(`${url}/activate`)), { missed: 1, taken_up: 1 })
    await shop.run()
    t.strictSame(titles(), [last, paused])
  },
)

t.test('what was retried by hand, and what is paused again, is not taken up', async (t) => {
  const shop = await world.shop()
  const flow = await created(shop)
  const url = `${FLOWS}/${flow}`
  bodyOf(await shop.tenant.post(`${url}/deactivate`))
  await sendOrders(shop, 1, 2)
  const [first] = await shop.executions(flow)
  bodyOf(await shop.tenant.post(`/api/automation/executions/${first?.id ?? ''}/retry`, {}), 201)
  t.match(bodyOf(await shop.tenant.post(`${url}/activate`, { catch_up: true })), { missed: 1, taken_up: 1 })
  bodyOf(await shop.tenant.post(`${url}/deactivate`))
  await shop.run()
  t.match(titles(), ['1'], 'the retry')
  t.strictSame(outcomes(await shop.executions(flow)).sort(), [
    'completed/done',
    'skipped/not_active',
    'skipped/not_active',
  ])
})

t.test(
  'a matcher that is told nothing finds what is to be taken up, more than one batch of it',
  async (t) => {
    const shop = await world.shop()
    const stop = step({ type: 'stop', config: { outcome: 'done', reason: null }, next: {} })
    const flow = await shop.publish(flowOf({ stop_1: stop }))
    await sql`
    insert into automation_executions (tenant_id, id, flow_id, version, schema_version, status, reason, event_id,
      trigger_kind, trigger, state, causation_depth, expires_at, created_at, finished_at)
    select ${shop.tenant.id}, ids.id, ${flow}, 1, 1, 'skipped', 'catch_up', ids.id,
      case when ids.number <= 100 then 'webhook' else 'event' end, '{"data":{},"event":null}', '{}', 0, now(), now(), now()
    from unnest(${Array.from({ length: 450 }, () => newId())}::uuid[]) with ordinality as ids (id, number)`.execute(
      shop.db,
    )
    await sql`update flow_cursors set catch_up = true where tenant_id = ${shop.tenant.id}`.execute(shop.db)
    const matcher = world.app.flowEngine.createMatcher()
    const before = await startedByTrigger()
    while ((await matcher.pass([], shop.now())) === 'more');
    const after = await startedByTrigger()
    const added = (trigger: string): number => (after.get(trigger) ?? 0) - (before.get(trigger) ?? 0)
    t.strictSame([added('webhook'), added('event')], [100, 350], 'each is counted by what starts it')
    const queued = (await shop.executions(flow)).filter(({ status }) => status === 'queued')
    t.equal(queued.length, 450)
    const cursor = await shop.db
      .selectFrom('flow_cursors')
      .select('catch_up')
      .where('tenant_id', '=', shop.tenant.id)
      .executeTakeFirst()
    t.equal(cursor?.catch_up, false)
  },
)

t.test(
  'tenants at their quota that have something to take up keep no others from being looked at',
  async (t) => {
    // One more than a look finds, and each of them before the others.
    const full = await Promise.all(Array.from({ length: LOOK_TENANTS + 1 }, () => world.shop()))
    const { db } = world
    const ids = full.map(({ tenant }) => tenant.id)
    await sql`update tenants set quotas = '{"waiting_executions":0}' where id = any(${ids}::uuid[])`.execute(
      db,
    )
    const stop = step({ type: 'stop', config: { outcome: 'done', reason: null }, next: {} })
    for (const shop of full) await shop.publish(flowOf({ stop_1: stop }))
    await sql`
    insert into automation_executions (tenant_id, id, flow_id, version, schema_version, status, reason, event_id,
      trigger_kind, trigger, state, causation_depth, expires_at, created_at, finished_at)
    select f.tenant_id, f.id, f.id, 1, 1, 'skipped', 'catch_up', f.id, 'event', '{"data":{},"event":null}', '{}', 0,
      now(), now(), now()
    from automation_flows f where f.tenant_id = any(${ids}::uuid[])`.execute(db)
    await sql`update flow_cursors set catch_up = true where tenant_id = any(${ids}::uuid[])`.execute(db)
    const shop = await world.shop()
    const flow = await shop.publish(flowOf({ stop_1: stop }))
    await shop.send('order.created', {})
    await feedSettled({ db })
    const matcher = world.app.flowEngine.createMatcher()
    for (let look = 0; look < 2; look++) while ((await matcher.pass([], shop.now())) === 'more');
    t.strictSame(outcomes(await shop.executions(flow)), ['queued'], 'who has new events')
    const [last] = full.slice(-1)
    await sql`update tenants set quotas = '{}' where id = any(${ids}::uuid[])`.execute(db)
    // A process counts again a second after it found the quota used up.
    const deadline = Date.now() + 60_000
    const isLeft = async () =>
      (await db.selectFrom('flow_cursors').select('tenant_id').where('catch_up', '=', true).execute())
        .length > 0
    while ((await isLeft()) && Date.now() < deadline) await matcher.pass([], shop.now())
    t.match(await last?.executions(), [{ status: 'queued' }], 'and each of them gets its turn again')
  },
)

/** `bcs_executions_started_total` of those that were queued, by trigger. */
async function startedByTrigger(): Promise<Map<unknown, number>> {
  const metrics = await world.app.metrics.registry.getMetricsAsJSON()
  const values = metrics.find(({ name }) => name === 'bcs_executions_started_total')?.values ?? []
  const queued = values.filter(({ labels }) => labels['outcome'] === 'queued')
  return new Map(queued.map(({ labels, value }) => [labels['trigger'], value]))
}
