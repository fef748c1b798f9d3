import { sql } from 'kysely'
import t from 'tap'
import { rangesOf } from '#infra/statistics/read-repository.ts'
import { newId } from '#lib/ids.ts'
import { rollUpStatistics, runRetention } from '#modules/retention/index.ts'
import { startApp } from '#test/support/app.ts'
import { DAY_MS, HOUR_MS, MINUTE_MS, seedStats } from '#test/modules/stats/support.ts'

const service = await startApp(t)
const { db } = service
const ctx = { db, days: 90, bodyDays: 30, pauseMs: 0 }
const keys = { plugin_id: newId(), event: 'order.created', error_class: '' }

async function age(now: Date): Promise<void> {
  await rollUpStatistics({ db }, { now })
  if ((await runRetention(ctx, { now })) === null) throw new Error('somebody else ages out')
}

async function spansOf(tenantId: string): Promise<Record<number, number>> {
  const rows = await db.selectFrom('delivery_stats').selectAll().where('tenant_id', '=', tenantId).execute()
  const spans: Record<number, number> = {}
  for (const { span, attempts } of rows) spans[span] = (spans[span] ?? 0) + attempts
  return spans
}

async function totalOf(tenantId: string, since: Date, until: Date, step: string): Promise<unknown> {
  const tenant = { ...service.tenant(), id: tenantId }
  const answer = await service.app.inject({
    url: `/api/stats/deliveries?since=${since.toISOString()}&until=${until.toISOString()}&step=${step}`,
    headers: { authorization: `Bearer ${service.config.platformKey}`, 'x-tenant-id': tenant.id },
  })
  return answer.json<{ series: { totals: { attempts: number } }[] }>().series[0]?.totals.attempts ?? 0
}

t.test(
  'a period is read from the coarsest rows that are there, and finer ones for what is not rolled up',
  (t) => {
    const at = (text: string): Date => new Date(`2026-05-${text}Z`)
    const query = { since: at('01T00:00:00'), until: at('11T00:00:00'), stepSeconds: 86_400 }
    t.strictSame(rangesOf(query, at('10T14:25:00')), [
      { span: 86_400, since: at('01T00:00:00'), until: at('10T00:00:00') },
      { span: 3_600, since: at('10T00:00:00'), until: at('10T14:00:00') },
      { span: 300, since: at('10T14:00:00'), until: at('10T14:25:00') },
      { span: 60, since: at('10T14:25:00'), until: at('11T00:00:00') },
    ])
    t.strictSame(rangesOf(query, null), [{ span: 60, since: query.since, until: query.until }])
    const past = { ...query, until: at('05T00:00:00') }
    t.strictSame(rangesOf(past, at('10T14:25:00')), [{ span: 86_400, since: past.since, until: past.until }])
    t.end()
  },
)

t.test('what is rolled up is not counted twice, and goes when its days are over', async (t) => {
  const tenantId = newId()
  const today = Math.floor(Date.now() / DAY_MS) * DAY_MS
  const now = new Date(today + 10 * HOUR_MS + 7 * MINUTE_MS)
  const at = (ms: number): Date => new Date(now.getTime() - ms)
  await seedStats(
    service,
    'deliveries',
    tenantId,
    [MINUTE_MS, 10 * MINUTE_MS, 90 * MINUTE_MS, DAY_MS, 3 * DAY_MS].map((ms) => ({
      at: at(ms),
      keys,
      counts: { attempts: 1, sent: 1 },
      latency: { 4: 1 },
    })),
  )
  const [since, until] = [new Date(today - 4 * DAY_MS), new Date(today + DAY_MS)]
  t.equal(await totalOf(tenantId, since, until, '1d'), 5)
  await age(now)
  t.strictSame(await spansOf(tenantId), { 60: 4, 300: 4, 3600: 4, 86400: 2 })
  t.equal(await totalOf(tenantId, since, until, '1d'), 5)
  t.equal(await totalOf(tenantId, since, until, '1h'), 5)

  // Late rows are taken up by the next run, and nothing twice.
  await seedStats(service, 'deliveries', tenantId, [
    { at: at(10 * MINUTE_MS), keys, counts: { attempts: 1 } },
  ])
  await age(at(-5 * MINUTE_MS))
  t.equal(await totalOf(tenantId, since, until, '1d'), 6)

  const later = new Date(now.getTime() + 3 * DAY_MS)
  await age(later)
  t.strictSame(await spansOf(tenantId), { 300: 6, 3600: 6, 86400: 6 })
  t.equal(await totalOf(tenantId, since, until, '1d'), 6)
  await age(new Date(now.getTime() + 100 * DAY_MS))
  t.strictSame(await spansOf(tenantId), { 86400: 6 })
  t.equal(await totalOf(tenantId, since, until, '1d'), 6)
  await age(new Date(now.getTime() + 800 * DAY_MS))
  t.strictSame(await spansOf(tenantId), {})
})

t.test('minutes stay until readers take what they are rolled up to', async (t) => {
  const tenantId = newId()
  const at = new Date()
  await seedStats(service, 'executions', tenantId, [
    { at, keys: { flow_id: newId(), error_code: '' }, counts: { completed: 1 } },
  ])
  await db.deleteFrom('stats_rollups').where('name', '=', 'execution_stats').execute()
  const spans = () =>
    db
      .selectFrom('execution_stats')
      .select('span')
      .where('tenant_id', '=', tenantId)
      .orderBy('span')
      .execute()
      .then((rows) => rows.map(({ span }) => span))
  const now = new Date(at.getTime() + 3 * DAY_MS)
  t.ok(await runRetention(ctx, { now }))
  t.strictSame(await spans(), [60])
  await rollUpStatistics({ db }, { now })
  t.strictSame(await spans(), [60, 300, 3600, 86400])
  t.ok(await runRetention(ctx, { now }))
  t.strictSame(await spans(), [300, 3600, 86400])
})

t.test(
  'what one statement cannot do keeps no other tenant and no other table from being rolled up',
  async (t) => {
    await db.deleteFrom('stats_rollups').execute()
    const [stuck, other] = [newId(), newId()]
    const hour = Math.floor(Date.now() / HOUR_MS) * HOUR_MS
    const minutes = [0, 10, 50].map((minute) => new Date(hour + minute * MINUTE_MS))
    for (const tenantId of [stuck, other]) {
      const seeds = minutes.map((at) => ({ at, keys, counts: { attempts: 1 } }))
      await seedStats(service, 'deliveries', tenantId, seeds)
    }
    const flow = { flow_id: newId(), error_code: '' }
    await seedStats(service, 'executions', other, [
      { at: new Date(hour), keys: flow, counts: { completed: 1 } },
    ])
    const fives = async (tenantId: string) => {
      const { length } = await db
        .selectFrom('delivery_stats')
        .select('bucket')
        .where('tenant_id', '=', tenantId)
        .where('span', '=', 300)
        .execute()
      return length
    }
    const now = new Date(hour + 2 * HOUR_MS + 10 * MINUTE_MS)
    await db.transaction().execute(async (trx) => {
      // A row of the first five minutes that is not committed: another writer of it has to wait.
      await sql`
      insert into delivery_stats
      select tenant_id, 300, bucket, plugin_id, event, error_class, attempts, sent, first_try, retried, failed, latency
      from delivery_stats where tenant_id = ${stuck} and bucket = ${minutes[0]}`.execute(trx)
      await t.rejects(rollUpStatistics({ db }, { now }), AggregateError)
      t.equal(await fives(other), 3)
      t.equal(await fives(stuck), 2, 'only the five minutes are missing that cannot be written')
      const { rows } = await sql<{ name: string }>`select name from stats_rollups order by name`.execute(db)
      const own = `delivery_stats ${stuck}`
      t.strictSame(
        rows.map(({ name }) => name),
        ['action_stats', 'delivery_stats', own, 'execution_stats'],
      )
      t.equal(
        await totalOf(stuck, new Date(hour), new Date(hour + HOUR_MS), '1h'),
        3,
        'read from its minutes',
      )
      t.equal(await totalOf(other, new Date(hour), new Date(hour + HOUR_MS), '1h'), 3)
    })
    const later = new Date(now.getTime() + 5 * MINUTE_MS)
    await rollUpStatistics({ db }, { now: later })
    t.equal(await fives(stuck), 3)
    t.equal(await totalOf(stuck, new Date(hour), new Date(hour + HOUR_MS), '1h'), 3)
    const { rows } = await sql<{ name: string }>`select name from stats_rollups order by name`.execute(db)
    t.equal(rows.length, 3, 'it has no mark of its own any more')
  },
)

t.test(
  'a range that always fails is told of, keeps nobody else, and none of its minutes are lost',
  async (t) => {
    await db.deleteFrom('stats_rollups').execute()
    const [broken, well] = [newId(), newId()]
    const today = Math.floor(Date.now() / DAY_MS) * DAY_MS
    const at = new Date(today + 60 * MINUTE_MS)
    for (const tenantId of [broken, well]) {
      await seedStats(service, 'deliveries', tenantId, [{ at, keys, counts: { attempts: 2 } }])
    }
    await sql`
    create function refuse() returns trigger language plpgsql as $$
    begin
      if new.tenant_id = ${sql.lit(broken)} and new.span > 60 then raise exception 'no sum for this one'; end if;
      return new;
    end $$`.execute(db)
    await sql`create trigger refuse before insert on delivery_stats for each row execute function refuse()`.execute(
      db,
    )
    const [since, until] = [new Date(today), new Date(today + DAY_MS)]
    for (const days of [0, 1, 3]) {
      const now = new Date(today + days * DAY_MS + 3 * HOUR_MS)
      const error = await rollUpStatistics({ db }, { now }).then(
        () => null,
        (thrown: unknown) => thrown as AggregateError,
      )
      t.match(error?.errors, [{ errors: [{ message: new RegExp(broken), cause: /no sum for this one/ }] }])
      t.ok(await runRetention(ctx, { now }))
      for (const tenantId of [broken, well])
        t.equal(await totalOf(tenantId, since, until, '1h'), 2, `day ${days}`)
    }
    t.strictSame(Object.keys(await spansOf(broken)), ['60'], 'its minutes stay until they stand elsewhere')
    t.strictSame(Object.keys(await spansOf(well)), ['300', '3600', '86400'])
    await sql`drop trigger refuse on delivery_stats`.execute(db)
    await age(new Date(today + 3 * DAY_MS + 4 * HOUR_MS))
    t.strictSame(Object.keys(await spansOf(broken)), ['300', '3600', '86400'])
    t.equal(await totalOf(broken, since, until, '1h'), 2)
  },
)

t.test('after many failures of a shop the hours before them are not taken for rolled up', async (t) => {
  await db.deleteFrom('stats_rollups').execute()
  const tenantId = newId()
  const day = Math.floor(Date.now() / DAY_MS) * DAY_MS - DAY_MS
  const evening = day + 18 * HOUR_MS
  const times = [
    ...[12, 13, 14, 15, 16, 17].map((hour) => day + hour * HOUR_MS),
    ...[0, 5, 10, 15, 20, 25, 30].map((minute) => evening + minute * MINUTE_MS),
  ]
  await rollUpStatistics({ db }, { now: new Date(day + 12 * HOUR_MS) })
  await seedStats(
    service,
    'deliveries',
    tenantId,
    times.map((at) => ({ at: new Date(at), keys, counts: { attempts: 1 } })),
  )
  await sql`
    create function refuse_evening() returns trigger language plpgsql as $$
    begin
      if new.tenant_id = ${sql.lit(tenantId)} and new.span = 300 and new.bucket >= ${sql.lit(new Date(evening).toISOString())}
        then raise exception 'not in the evening'; end if;
      return new;
    end $$`.execute(db)
  await sql`create trigger refuse_evening before insert on delivery_stats for each row
    execute function refuse_evening()`.execute(db)
  await t.rejects(rollUpStatistics({ db }, { now: new Date(day + DAY_MS) }), AggregateError)
  const total = () => totalOf(tenantId, new Date(day), new Date(day + DAY_MS), '1h')
  t.equal(await total(), times.length, 'read from its minutes')
  await sql`drop trigger refuse_evening on delivery_stats`.execute(db)
  await rollUpStatistics({ db }, { now: new Date(day + DAY_MS + 10 * MINUTE_MS) })
  t.equal(await total(), times.length, 'no hour is missing')
})
