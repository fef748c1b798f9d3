import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import t from 'tap'
import { buildApp } from '#src/app.ts'
import { newId } from '#lib/ids.ts'
import { createSecretBox } from '#lib/secrets/secret-box.ts'
import { Firer } from '#modules/flow-trigger/firer.ts'
import { createScheduleMetrics } from '#modules/flow-trigger/metrics.ts'
import { MINUTE_MS, outcomes, settings, startWorld } from '#test/modules/flow-engine/support.ts'
import { activate, fireAll, firings, schedule, setStatus, sync } from './support.ts'

const world = await startWorld(t, { FLOW_MAX_STARTS_PER_MINUTE: '20' })
const { app, db } = world
const firer = app.flowTriggers.createFirer()
const at = (text: string): Date => new Date(text)
const MORNING = at('2026-06-01T08:00:00Z')

// Firers look at all tenants: no test is to meet another's schedules.
t.beforeEach(() => sql`delete from automation_schedules`.execute(db))

t.test('a schedule fires at its time, once, and says when', async (t) => {
  const shop = await world.shop()
  const flow = await activate(world, shop, [schedule('0 9 * * *')], MORNING)
  await fireAll(firer, at('2026-06-01T08:59:59.999Z'))
  t.strictSame(await firings(shop, flow), [])
  await fireAll(firer, at('2026-06-01T09:00:00.000Z'))
  await fireAll(firer, at('2026-06-01T09:00:30.000Z'))
  t.strictSame(await firings(shop, flow), [
    { scheduled_at: '2026-06-01T09:00:00.000Z', fired_at: '2026-06-01T09:00:00.000Z', missed: 0 },
  ])
  t.match(await shop.executions(flow), [{ status: 'queued', trigger_kind: 'schedule', event_id: null }])
  t.match((await app.flowTriggers.describe(db, shop.tenant.id, [flow])).get(flow), {
    schedules: [
      {
        trigger_id: 'trigger_1',
        next_fire_at: at('2026-06-02T09:00:00Z'),
        last_fired_at: at('2026-06-01T09:00:00Z'),
      },
    ],
    inlets: [],
  })
})

t.test('what a schedule started is run, with its times as trigger', async (t) => {
  const shop = await world.shop()
  const flow = await activate(world, shop, [schedule('* * * * *')], new Date(Date.now() - MINUTE_MS))
  await fireAll(firer, new Date())
  await shop.run()
  t.strictSame(outcomes(await shop.executions(flow)), ['waiting/delay'])
})

t.test(
  'a schedule starts by the values that the shop has then, not by those of when it was read',
  async (t) => {
    const shop = await world.shop()
    const set = async (value: string): Promise<void> => {
      const answer = await shop.tenant.put('/api/variables/support', { value })
      if (answer.statusCode >= 300) throw new Error(answer.body)
    }
    await set('one')
    const enrolments = [{}, { enrolment: { key: '{{variables.support}}' } }]
    for (const settings of enrolments) {
      const trigger = { type: 'schedule', cron: '* * * * *' }
      const steps = [{ id: 'told', type: 'set', variables: { told: '{{variables.support}}' } }]
      const flow = { name: 'Tells', status: 'active', trigger, steps, settings }
      const made = await shop.tenant.post('/api/automation/flows', flow)
      if (made.statusCode !== 201) throw new Error(made.body)
    }
    const { flowEngine, log } = app
    const slow = new Firer({
      db: app.workerDb,
      findProgram: async (...version) => {
        const program = await flowEngine.findProgram(...version)
        await set('two')
        return program
      },
      maxStartsPerMinute: 20,
      onStarted: () => undefined,
      countStarts: () => undefined,
      onCancelled: () => undefined,
      metrics: createScheduleMetrics(new Registry(), () => Promise.resolve(0)),
      log,
    })
    await fireAll(slow, new Date(Date.now() + MINUTE_MS))
    const executions = await shop.executions()
    t.match(
      executions,
      Array(2).fill({ status: 'queued', state: { main: { variables: { support: 'two' } } } }),
    )
    t.strictSame(
      executions.flatMap(({ key }) => key ?? []),
      ['two'],
    )
  },
)

t.test('half past two in Berlin comes once on the days on which the clocks change', async (t) => {
  for (const [eve, expected] of [
    ['2026-03-28T12:00:00Z', '2026-03-29T01:00:00.000Z'],
    ['2026-10-24T12:00:00Z', '2026-10-25T00:30:00.000Z'],
  ] as const) {
    const shop = await world.shop()
    const daily = schedule('30 2 * * *', { timezone: 'Europe/Berlin' })
    const flow = await activate(world, shop, [daily], at(eve))
    for (let minutes = 0; minutes <= 24 * 60; minutes += 10) {
      await fireAll(firer, new Date(at(eve).getTime() + minutes * MINUTE_MS))
    }
    t.strictSame(
      (await firings(shop, flow)).map(({ scheduled_at, missed }) => ({ scheduled_at, missed })),
      [{ scheduled_at: expected, missed: 0 }],
    )
  }
})

t.test('after a downtime, skip waits for the next time and once makes up with one run', async (t) => {
  const shop = await world.shop()
  const skip = await activate(world, shop, [schedule('0 * * * *')], MORNING)
  const once = await activate(world, shop, [schedule('0 * * * *', { catch_up: 'once' })], MORNING)
  await fireAll(firer, at('2026-06-01T13:30:00Z'))
  t.strictSame(await firings(shop, skip), [])
  t.strictSame(await firings(shop, once), [
    { scheduled_at: '2026-06-01T13:00:00.000Z', fired_at: '2026-06-01T13:30:00.000Z', missed: 4 },
  ])
  await fireAll(firer, at('2026-06-01T14:00:01Z'))
  t.strictSame(await firings(shop, skip), [
    { scheduled_at: '2026-06-01T14:00:00.000Z', fired_at: '2026-06-01T14:00:01.000Z', missed: 0 },
  ])
  t.equal((await firings(shop, once)).length, 2)
})

t.test('a few minutes are no downtime: a restart at nine loses no daily run', async (t) => {
  const shop = await world.shop()
  const flow = await activate(world, shop, [schedule('0 9 * * *')], MORNING)
  await fireAll(firer, at('2026-06-01T09:04:59Z'))
  t.match(await firings(shop, flow), [{ scheduled_at: '2026-06-01T09:00:00.000Z', missed: 0 }])
})

t.test('a schedule of every minute that stood for a year comes back at once', async (t) => {
  const shop = await world.shop()
  const flow = await activate(
    world,
    shop,
    [schedule('* * * * *', { catch_up: 'once' })],
    at('2025-06-01T08:00:00Z'),
  )
  await fireAll(firer, MORNING)
  t.match(await firings(shop, flow), [{ scheduled_at: MORNING.toISOString(), missed: 100 }])
})

t.test('of two services that look at the same time one fires', async (t) => {
  const other = await buildApp(world.config, {
    logger: pino({ level: 'silent' }),
    databaseUrl: world.databaseUrl,
    secretBox: createSecretBox(randomBytes(32)),
    egress: { allow: [], dnsServers: [], httpsOnly: false },
    openTenantId: null,
  })
  t.teardown(() => other.close())
  await other.ready()
  const shop = await world.shop()
  const keyed = settings({ enrolment: { key: 'all', while_active: 'allow' } })
  const plain = [schedule('*/5 * * * *', { id: 'a' }), schedule('*/5 * * * *', { id: 'b' })]
  const flows: string[] = []
  for (let n = 0; n < 8; n++) {
    flows.push(await activate(world, shop, plain, MORNING, n < 4 ? {} : { settings: keyed }))
  }
  const firers = [firer, other.flowTriggers.createFirer(), other.flowTriggers.createFirer()]
  for (let n = 1; n <= 6; n++) {
    const now = new Date(MORNING.getTime() + n * 5 * MINUTE_MS)
    await Promise.all(firers.map((each) => fireAll(each, now)))
    while ((await fireAll(firer, now)) > 0);
  }
  for (const flow of flows) {
    const times = (await firings(shop, flow)).map(({ scheduled_at }) => scheduled_at)
    t.equal(times.length, 12)
    t.equal(new Set(times).size, 6)
  }
  const { rows } = await sql<{ times_triggered: number }>`
    select times_triggered from automation_flows where tenant_id = ${shop.tenant.id}`.execute(db)
  t.same([...new Set(rows.map((row) => row.times_triggered))], [12])
})

t.test('a firing that cannot be written leaves nothing behind, and is made up for', async (t) => {
  const shop = await world.shop()
  const [broken, keyed, fine] = [
    await activate(world, shop, [schedule('0 9 * * *')], MORNING),
    await activate(world, shop, [schedule('0 9 * * *')], MORNING, {
      settings: settings({ enrolment: { key: 'all', while_active: 'skip' } }),
    }),
    await activate(world, shop, [schedule('0 9 * * *')], MORNING),
  ]
  await sql`
    create function refuse() returns trigger language plpgsql as $$
      begin
        if new.last_fired_at is not null and new.flow_id in (${sql.lit(broken)}, ${sql.lit(keyed)}) then
          raise exception 'no room';
        end if;
        return new;
      end $$`.execute(db)
  await sql`create trigger refuse before update on automation_schedules for each row execute function refuse()`.execute(
    db,
  )
  await fireAll(firer, at('2026-06-01T09:00:00Z'))
  t.strictSame(await firings(shop, broken), [], 'the execution was taken back with the schedule')
  t.strictSame(await firings(shop, keyed), [])
  t.equal((await firings(shop, fine)).length, 1, 'the others are not held up')
  await sql`drop trigger refuse on automation_schedules`.execute(db)
  await fireAll(firer, at('2026-06-01T09:00:30Z'))
  t.strictSame(await firings(shop, broken), [], 'not at once again')
  await fireAll(firer, at('2026-06-01T09:01:00Z'))
  for (const flow of [broken, keyed]) {
    t.strictSame(await firings(shop, flow), [
      { scheduled_at: '2026-06-01T09:00:00.000Z', fired_at: '2026-06-01T09:01:00.000Z', missed: 0 },
    ])
  }
})

t.test('whoever is changing the flow holds up neither the firer nor the other flows', async (t) => {
  const shop = await world.shop()
  const held = await activate(world, shop, [schedule('0 9 * * *')], MORNING)
  const other = await activate(world, shop, [schedule('0 9 * * *')], MORNING)
  await db.transaction().execute(async (trx) => {
    await sql`update automation_flows set name = 'new' where id = ${held}`.execute(trx)
    await fireAll(firer, at('2026-06-01T09:00:00Z'))
    t.strictSame(await firings(shop, held), [])
    t.equal((await firings(shop, other)).length, 1)
    await app.flowTriggers.sync(trx, shop.tenant.id, held, [], at('2026-06-01T09:00:00Z'))
  })
  await fireAll(firer, at('2026-06-01T09:00:01Z'))
  t.strictSame(await firings(shop, held), [], 'it was switched off before its firing')
})

t.test('a paused flow lets its times pass', async (t) => {
  const shop = await world.shop()
  const flow = await activate(world, shop, [schedule('0 * * * *')], MORNING)
  await setStatus(shop, flow, 'paused')
  await fireAll(firer, at('2026-06-01T10:00:00Z'))
  await setStatus(shop, flow, 'active')
  await fireAll(firer, at('2026-06-01T10:59:00Z'))
  t.strictSame(await firings(shop, flow), [])
  await fireAll(firer, at('2026-06-01T11:00:00Z'))
  t.match(await firings(shop, flow), [{ scheduled_at: '2026-06-01T11:00:00.000Z', missed: 0 }])
})

t.test('a paused flow keeps its firings where one of them makes up for all', async (t) => {
  const shop = await world.shop()
  const enrolments = [settings({}), settings({ enrolment: { key: 'one', while_active: 'skip' } })]
  for (const each of enrolments) {
    const triggers = [schedule('0 * * * *', { catch_up: 'once' })]
    const flow = await activate(world, shop, triggers, MORNING, { settings: each })
    await setStatus(shop, flow, 'paused')
    await fireAll(firer, at('2026-06-01T10:00:00Z'))
    t.strictSame(outcomes(await shop.executions(flow)), ['skipped/paused'])
    await setStatus(shop, flow, 'inactive')
    await fireAll(firer, at('2026-06-01T11:00:00Z'))
    t.equal((await shop.executions(flow)).length, 1)
  }
})

t.test('switching off removes the schedule, and on again makes up for nothing', async (t) => {
  const shop = await world.shop()
  const hourly = schedule('0 * * * *', { catch_up: 'once' })
  const flow = await activate(world, shop, [hourly], MORNING)
  await sync(world, shop, flow, [], MORNING)
  t.equal(await fireAll(firer, at('2026-06-01T12:00:00Z')), 0)
  await sync(world, shop, flow, [hourly], at('2026-06-01T12:30:00Z'))
  await fireAll(firer, at('2026-06-01T12:30:00Z'))
  t.strictSame(await firings(shop, flow), [])
})

t.test('publishing again keeps the place of schedules that did not change', async (t) => {
  const shop = await world.shop()
  const flow = await activate(
    world,
    shop,
    [schedule('0 9 * * *', { id: 'a' }), schedule('0 9 * * *', { id: 'b' })],
    MORNING,
  )
  const late = at('2026-06-01T09:00:10Z')
  await sync(
    world,
    shop,
    flow,
    [schedule('0 9 * * *', { id: 'a', catch_up: 'once' }), schedule('0 10 * * *', { id: 'b' })],
    late,
  )
  await fireAll(firer, late)
  t.match(await firings(shop, flow), [{ scheduled_at: '2026-06-01T09:00:00.000Z' }], 'a was due, b has moved')
  const { schedules } = (await app.flowTriggers.describe(db, shop.tenant.id, [flow])).get(flow) ?? {}
  t.match(schedules, [
    { trigger_id: 'a', next_fire_at: at('2026-06-02T09:00:00Z') },
    { trigger_id: 'b', next_fire_at: at('2026-06-01T10:00:00Z') },
  ])
})

t.test('a halted tenant and a flow at its cap skip the firing and say why', async (t) => {
  const halted = await world.shop()
  const capped = await world.shop()
  const everyMinute = Array.from({ length: 25 }, (_, n) => schedule('* * * * *', { id: `t_${n}` }))
  const flowOfHalted = await activate(world, halted, [schedule('* * * * *')], MORNING)
  const flowAtCap = await activate(world, capped, everyMinute, MORNING)
  await app.flowEngine.halt(halted.tenant.id)
  const minute = (n: number): Date => new Date(MORNING.getTime() + n * MINUTE_MS)
  await fireAll(firer, minute(1))
  await fireAll(firer, minute(2))
  t.strictSame(outcomes(await halted.executions(flowOfHalted)), ['skipped/halted', 'skipped/halted'])
  const outcomesAtCap = outcomes(await capped.executions(flowAtCap))
  t.equal(outcomesAtCap.filter((outcome) => outcome === 'skipped/rate_cap').length, 25)
})

t.test('retries do not count against the cap of what schedules start', async (t) => {
  const shop = await world.shop()
  const flow = await activate(world, shop, [schedule('* * * * *')], MORNING)
  await fireAll(firer, new Date(MORNING.getTime() + MINUTE_MS))
  const [first] = await shop.executions(flow)
  await sql`
    insert into automation_executions (tenant_id, id, flow_id, version, status, trigger_kind, trigger, state, expires_at,
      retry_of)
    select tenant_id, retry.id, flow_id, version, 'completed', trigger_kind, trigger, state, expires_at, e.id
    from automation_executions e, unnest(${Array.from({ length: 20 }, () => newId())}::uuid[]) as retry (id)
    where e.id = ${first?.id}`.execute(db)
  await fireAll(firer, new Date(MORNING.getTime() + 2 * MINUTE_MS))
  t.strictSame(outcomes(await shop.executions(flow)).sort(), [
    ...Array.from({ length: 20 }, () => 'completed'),
    'queued',
    'queued',
  ])
})

t.test('enrolment holds for schedules, too', async (t) => {
  const shop = await world.shop()
  const keyed = settings({ enrolment: { key: 'nightly', while_active: 'skip' } })
  const flow = await activate(world, shop, [schedule('0 * * * *')], MORNING, { settings: keyed })
  await fireAll(firer, at('2026-06-01T09:00:00Z'))
  await fireAll(firer, at('2026-06-01T10:00:00Z'))
  t.strictSame(outcomes(await shop.executions(flow)).sort(), ['queued', 'skipped/already_active'])
})

t.test('a flow whose version cannot be read does not stop the others', async (t) => {
  const shop = await world.shop()
  const lost = await activate(world, shop, [schedule('0 9 * * *')], MORNING)
  const fine = await activate(world, shop, [schedule('0 9 * * *')], MORNING)
  await sql`delete from automation_flow_versions where flow_id = ${lost}`.execute(db)
  await fireAll(firer, at('2026-06-01T09:00:00Z'))
  t.equal((await firings(shop, fine)).length, 1)
  t.equal((await firings(shop, lost)).length, 0)
})

t.test('hundreds that come due together are fired in batches', async (t) => {
  const shop = await world.shop()
  const flow = await activate(world, shop, [schedule('0 9 * * *')], MORNING)
  await sql`
    with copies as (
      insert into automation_flows (tenant_id, id, name, status, definition, published_version)
      select tenant_id, gen_random_uuid(), name, status, definition, published_version
      from automation_flows, generate_series(1, 299) where id = ${flow} returning *
    ), versions as (
      insert into automation_flow_versions (tenant_id, flow_id, version, definition, flow)
      select v.tenant_id, c.id, v.version, v.definition, v.flow
      from automation_flow_versions v, copies c where v.flow_id = ${flow}
    )
    insert into automation_schedules (tenant_id, flow_id, trigger_id, cron, time_zone, catch_up, next_fire_at, due_at)
    select s.tenant_id, c.id, s.trigger_id, s.cron, s.time_zone, s.catch_up, s.next_fire_at, s.due_at
    from automation_schedules s, copies c where s.flow_id = ${flow}`.execute(db)
  t.equal(await fireAll(firer, at('2026-06-01T09:00:00Z')), 300)
  t.equal((await shop.executions()).length, 300)
})

t.test('schedules of several tenants that come due together start each its own', async (t) => {
  const shops = [await world.shop(), await world.shop(), await world.shop()]
  for (const shop of shops) await activate(world, shop, [schedule('0 9 * * *')], MORNING)
  const { dealtWith } = await firer.pass(at('2026-06-01T09:00:00Z'))
  t.equal(dealtWith, 3, 'in one batch')
  for (const shop of shops) {
    t.match(await shop.executions(), [
      {
        tenant_id: shop.tenant.id,
        trigger_kind: 'schedule',
        start_key: 'schedule trigger_1 2026-06-01T09:00:00.000Z',
      },
    ])
  }
})

t.test('idle, a look says when the next one is due and never waits longer than a look', async (t) => {
  const shop = await world.shop()
  t.match(await firer.pass(MORNING), { result: 'idle', dealtWith: 0, waitMs: 5_000 })
  await activate(world, shop, [schedule('0 0 1 1 *')], MORNING)
  t.match(await firer.pass(MORNING), { waitMs: 5_000 }, 'seven months ahead')
  t.match(await firer.pass(at('2026-12-31T23:59:58.500Z')), { dealtWith: 0, waitMs: 1_500 })
})

t.test('firings are counted with how late they were, and so is what they start', async (t) => {
  const shop = await world.shop()
  await activate(world, shop, [schedule('0 9 * * *')], MORNING)
  const { registry } = app.metrics
  const figures = async (): Promise<number[]> => {
    const text = await Promise.all(
      ['bcs_schedules_fired_total', 'bcs_schedule_lag_seconds', 'bcs_executions_started_total'].map((name) =>
        registry.getSingleMetricAsString(name),
      ),
    )
    const value = (figure: string): number => {
      const line = text.flatMap((each) => each.split('\n')).find((each) => each.startsWith(`${figure} `))
      return Number(line?.slice(figure.length + 1) ?? 0)
    }
    return [
      value('bcs_schedules_fired_total{outcome="fired"}'),
      value('bcs_schedule_lag_seconds_count'),
      value('bcs_schedule_lag_seconds_sum'),
      value('bcs_executions_started_total{trigger="schedule",outcome="queued"}'),
    ]
  }
  const before = await figures()
  await fireAll(firer, at('2026-06-01T09:00:03.000Z'))
  const after = await figures()
  t.strictSame(
    after.map((value, index) => Math.round(value - (before[index] ?? 0))),
    [1, 1, 3, 1],
  )
})
