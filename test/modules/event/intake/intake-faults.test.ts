import { randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import pg from 'pg'
import t from 'tap'
import { IntakeQueue, type Submission } from '#modules/event/intake/queue.ts'
import { startApp } from '#test/support/app.ts'
import { eventually } from '#test/support/deliveries.ts'
import { lockWaits } from '#test/support/locks.ts'
import { raiseVersion, subscribe } from '../support.ts'

const service = await startApp(t)
const { app, db } = service

const event = (name: string, data: object = {}) => ({ event: name, data })

/** Holds every intake statement up until it is released. */
async function blockIntake(): Promise<{ client: pg.Client; release: () => Promise<void> }> {
  const client = new pg.Client({ connectionString: service.databaseUrl })
  await client.connect()
  await client.query('begin')
  await client.query('lock table events in share mode')
  return {
    client,
    release: async () => {
      await client.query('rollback')
      await client.end()
    },
  }
}

t.test('an event that the database refuses spoils none of those it shares a statement with', async (t) => {
  await sql`
    create function refuse() returns trigger language plpgsql as
      $$ begin raise exception 'refused' using errcode = '23514'; end $$`.execute(db)
  await sql`
    create trigger refuse before insert on events for each row when (new.event = 'bad.event')
    execute function refuse()`.execute(db)
  const tenant = service.tenant()
  await tenant.post('/api/events', event('good.event'))
  const responses = await Promise.all(
    Array.from({ length: 30 }, (_, n) =>
      tenant.post('/api/events', event(n % 10 === 0 ? 'bad.event' : 'good.event')),
    ),
  )
  t.strictSame(
    responses.map(({ statusCode }) => statusCode),
    Array.from({ length: 30 }, (_, n) => (n % 10 === 0 ? 500 : 202)),
  )
  const stored = await db.selectFrom('events').select('event').where('tenant_id', '=', tenant.id).execute()
  t.equal(stored.length, 28)
  await sql`drop trigger refuse on events`.execute(db)
})

t.test('a backend that dies with events under way is a 503, and the next request works', async (t) => {
  const tenant = service.tenant()
  await subscribe(service, tenant.id, ['*'])
  await tenant.post('/api/events', event('a.b'))
  const { release } = await blockIntake()
  const waiting = Promise.all(Array.from({ length: 5 }, () => tenant.post('/api/events', event('a.b'))))
  await lockWaits(db)
  await sql`
    select pg_terminate_backend(pid) from pg_stat_activity
    where application_name = 'bcs-api' and datname = current_database()`.execute(db)
  await release()
  const responses = await waiting
  t.ok(responses.some(({ statusCode }) => statusCode === 503))
  for (const response of responses.filter(({ statusCode }) => statusCode !== 202)) {
    t.match(response.json(), { status: 503, code: 'database_unavailable' })
    t.ok(response.headers['retry-after'])
  }
  t.equal((await tenant.post('/api/events', event('a.b'))).statusCode, 202)
  const accepted = responses.filter(({ statusCode }) => statusCode === 202).length
  const stored = await db.selectFrom('events').select('id').where('tenant_id', '=', tenant.id).execute()
  t.equal(stored.length, 2 + accepted)
})

t.test('subscriptions that change while events wait to be written are matched again', async (t) => {
  const tenant = service.tenant()
  await subscribe(service, tenant.id, ['*'])
  await tenant.post('/api/events', event('a.b'))
  const { release } = await blockIntake()
  const waiting = Array.from({ length: 3 }, () => tenant.post('/api/events', event('a.b')))
  await lockWaits(db)
  await subscribe(service, tenant.id, ['a.*'])
  const late = Array.from({ length: 20 }, () => tenant.post('/api/events', event('a.b')))
  await release()
  for (const response of await Promise.all(late)) t.match(response.json(), { deliveries: 2 })
  for (const response of await Promise.all(waiting)) t.equal(response.statusCode, 202)
  const counts = await db
    .selectFrom('deliveries')
    .select(['event_id', sql<number>`count(*)::int`.as('count')])
    .where('tenant_id', '=', tenant.id)
    .groupBy('event_id')
    .execute()
  t.equal(counts.length, 24, 'no event is stored twice or without its deliveries')
})

t.test('an event of the service itself is part of the transaction that it is emitted in', async (t) => {
  const tenantId = randomUUID()
  const early = await subscribe(service, tenantId, ['plugin.*'])
  const emit = (fails: boolean) =>
    db.transaction().execute(async (trx) => {
      await raiseVersion(trx, tenantId)
      const due = await app.events.emitIn(trx, {
        tenantId,
        event: 'plugin.disabled',
        source: 'system',
        data: { plugin: 'x', plugin_id: 'y' },
        causation: { id: randomUUID(), depth: 2 },
      })
      if (fails) throw new Error('changed my mind')
      return due
    })
  await t.rejects(emit(true), /changed my mind/)
  t.strictSame(await db.selectFrom('events').select('id').where('tenant_id', '=', tenantId).execute(), [])
  t.strictSame(await emit(false), [early.id])
  t.match(await db.selectFrom('events').selectAll().where('tenant_id', '=', tenantId).execute(), [
    { source: 'system', causation_depth: 2 },
  ])
  t.equal(
    (await db.selectFrom('deliveries').select('id').where('tenant_id', '=', tenantId).execute()).length,
    1,
  )
})

t.test('the queue gathers what arrives, keeps submissions whole and says no when it is full', async (t) => {
  const flushes: number[][] = []
  const gate = Promise.withResolvers<undefined>()
  const queue = new IntakeQueue<Submission>(
    { batch: 10, deliveries: 100, flushes: 1, minBatch: 1, events: 37, bytes: 1_000 },
    async (submissions) => {
      flushes.push(submissions.map(({ count }) => count))
      await gate.promise
      return submissions.map(({ count }) => (count === 7 ? new Error('seven') : null))
    },
  )
  const first = queue.submit({ party: 'a', count: 1, deliveries: 1, bytes: 1 })
  await eventually('a flush', () => flushes.length === 1)
  const rest = [6, 4, 7, 12].map((count) => queue.submit({ party: 'a', count, deliveries: 1, bytes: count }))
  const ends = Promise.allSettled(rest)
  await t.rejects(
    queue.submit({ party: 'a', count: 1, deliveries: 1, bytes: 1 }),
    { code: 'overloaded', message: /^Events of the shop/ },
    'too many events',
  )
  gate.resolve(undefined)
  await first
  t.strictSame(
    (await ends).map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected', 'fulfilled'],
  )
  t.strictSame(flushes, [[1], [6, 4], [7], [12]])
  const large = [1, 1, 1].map((count) => queue.submit({ party: 'a', count, deliveries: 60, bytes: 1 }))
  await Promise.all(large)
  t.strictSame(flushes.slice(-3), [[1], [1], [1]], 'what makes many deliveries goes alone')
  await queue.submit({ party: 'a', count: 50, deliveries: 500, bytes: 5_000 })
  t.strictSame(flushes.at(-1), [50], 'an idle queue takes even what is larger than its limits')
})

/** A queue whose flushes go on until they are told to end. */
function heldQueue(limits: { events: number; bytes: number }) {
  const flushes: string[][] = []
  const gate = Promise.withResolvers<undefined>()
  const queue = new IntakeQueue<Submission & { mark: string }>(
    { batch: 10, deliveries: 100, flushes: 1, minBatch: 1, ...limits },
    async (submissions) => {
      flushes.push(submissions.map(({ mark }) => mark))
      await gate.promise
      return submissions.map(() => null)
    },
  )
  const submit = (party: string, count: number, bytes = count): Promise<void> =>
    queue.submit({ party, mark: `${party}${count}`, count, deliveries: 1, bytes })
  return { flushes, submit, release: () => gate.resolve(undefined) }
}

t.test(
  'a shop that fills its share leaves the rest for others, and theirs are written in turn with its own',
  async (t) => {
    const { flushes, submit, release } = heldQueue({ events: 100, bytes: 1_000 })
    const all = [submit('a', 10)]
    await eventually('a flush', () => flushes.length === 1)
    for (let n = 0; n < 7; n++) all.push(submit('a', 10))
    await t.rejects(submit('a', 10), { code: 'overloaded', message: /^Events of the shop/ })
    all.push(submit('b', 1), submit('b', 2), submit('c', 3))
    release()
    await Promise.all(all)
    t.strictSame(flushes.slice(0, 4), [['a10'], ['a10'], ['b1', 'c3', 'b2'], ['a10']])
    t.equal(flushes.length, 9)
  },
)

t.test(
  'single events of others are no turns behind batches: all that there is room for go together',
  async (t) => {
    const { flushes, submit, release } = heldQueue({ events: 1_000, bytes: 10_000 })
    const all = [submit('a', 10)]
    await eventually('a flush', () => flushes.length === 1)
    for (let n = 0; n < 4; n++) all.push(submit('a', 10))
    for (let n = 0; n < 12; n++) all.push(submit('b', 1), submit('c', 1))
    release()
    await Promise.all(all)
    t.strictSame(
      flushes.map((marks) => marks.length),
      [1, 1, 10, 1, 10, 1, 4, 1],
      'a statement of others after each batch, and each is full while there are enough',
    )
    t.strictSame(flushes[2], Array.from({ length: 5 }, () => ['b1', 'c1']).flat(), 'both of them in turn')
  },
)

t.test('bytes are shared out, too, and what was refused for them has taken nothing', async (t) => {
  const { flushes, submit, release } = heldQueue({ events: 100, bytes: 1_000 })
  const all = [submit('a', 1, 500)]
  for (let n = 0; n < 200; n++) await t.rejects(submit('a', 1, 400), { code: 'overloaded' })
  all.push(submit('b', 1, 150), submit('a', 60, 1))
  release()
  await Promise.all(all)
  t.strictSame(flushes.flat().toSorted(), ['a1', 'a60', 'b1'])
})

t.test(
  'beside another flush submissions leave once there are enough of them, or when that one has ended',
  async (t) => {
    const flushes: { counts: number[]; end: () => void }[] = []
    const queue = new IntakeQueue<Submission>(
      { batch: 10, deliveries: 100, flushes: 2, minBatch: 3, events: 30, bytes: 1_000 },
      async (submissions) => {
        const { promise, resolve } = Promise.withResolvers<undefined>()
        flushes.push({ counts: submissions.map(({ count }) => count), end: () => resolve(undefined) })
        await promise
        return submissions.map(() => null)
      },
    )
    const submit = (): Promise<void> => queue.submit({ party: 'a', count: 1, deliveries: 1, bytes: 1 })
    const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
    const all = [submit()]
    await turn()
    all.push(submit(), submit())
    await turn()
    t.strictSame(
      flushes.map(({ counts }) => counts),
      [[1]],
      'two are not enough to join the one under way',
    )
    all.push(submit())
    await turn()
    t.strictSame(
      flushes.map(({ counts }) => counts),
      [[1], [1, 1, 1]],
    )
    all.push(submit())
    for (const { end } of flushes) end()
    await eventually('a flush', () => flushes.length === 3)
    t.strictSame(flushes[2]?.counts, [1], 'a single one leaves once nothing is under way')
    flushes[2]?.end()
    await Promise.all(all)
  },
)
