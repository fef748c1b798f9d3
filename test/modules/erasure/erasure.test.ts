import t from 'tap'
import { claimErasure, type ErasureJob } from '#modules/erasure/job-repository.ts'
import type { Erasure } from '#modules/erasure/schemas.ts'
import { hashValue } from '#modules/erasure/value.ts'
import { type ErasureWorkerContext, runErasureBatch, runErasureTurn } from '#modules/erasure/worker.ts'
import { runReplayTurn } from '#modules/replay/worker.ts'
import { startApp } from '#test/support/app.ts'
import { deliveriesOf, hoursAgo, seedDelivery, seedEvent, seedPlugin } from '#test/modules/replay/support.ts'

const service = await startApp(t)
const { app, db } = service
const JANE = 'jane@example.com'
const request = { path: 'customer.email', value: JANE }
const jane = { customer: { email: JANE } }

const worker: ErasureWorkerContext = {
  db: app.workerDb,
  secretBox: app.secretBox,
  leaseMs: 30_000,
  batchSize: 3,
}

/** An erasure also waits for transactions of other test files: they share the server, and so its transaction ids. */
async function runAll(): Promise<void> {
  const open = db.selectFrom('erasures').select('id').where('status', 'in', ['queued', 'running'])
  do await runErasureTurn(worker)
  while ((await open.execute()).length > 0)
}

async function claim(): Promise<ErasureJob> {
  for (;;) {
    const job = await claimErasure(app.workerDb, 30_000)
    if (job !== null) return job
  }
}

async function rowOf(id: string) {
  return db.selectFrom('erasures').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
}

async function bodiesOf(tenantId: string) {
  const rows = await db
    .selectFrom('events')
    .select(['id', 'body', 'body_gone', 'source_id'])
    .where('tenant_id', '=', tenantId)
    .execute()
  return new Map(rows.map((row) => [row.id, row]))
}

t.test('erases what fits and nothing else', async (t) => {
  const tenant = service.tenant()
  const plugin = await seedPlugin(db, tenant.id)
  const seed = (data: unknown, hours: number) => seedEvent(db, tenant.id, { data, at: hoursAgo(hours) })
  const [waiting, sent] = [await seed(jane, 9), await seed({ ...jane, total: 5 }, 8)]
  const retried = await seed(jane, 7)
  const kept = [
    await seed({ customer: { email: 'Jane@example.com' } }, 6),
    await seed({ customer: JANE }, 5),
    await seed({ email: JANE }, 4),
    await seed([jane], 3),
  ]
  await seedDelivery(db, tenant.id, plugin.id, waiting, 'pending')
  await seedDelivery(db, tenant.id, plugin.id, sent, 'sent', { responseBodies: [`no ${JANE}`, JANE] })
  await seedDelivery(db, tenant.id, plugin.id, retried, 'retry', { responseBodies: [JANE] })
  const untouched = await seedDelivery(db, tenant.id, plugin.id, kept[0] ?? '', 'sent', {
    responseBodies: ['thanks'],
  })
  const other = service.tenant()
  const foreign = await seedEvent(db, other.id, { data: jane, at: hoursAgo(2) })

  const created = await tenant.post('/api/erasures', request)
  t.equal(created.statusCode, 202)
  const { id } = created.json<Erasure>()
  t.equal(created.headers.location, `/api/erasures/${id}`)
  t.match(created.json(), { status: 'queued', path: 'customer.email', erased: 0 })
  await runAll()

  t.match((await tenant.get(`/api/erasures/${id}`)).json(), { status: 'completed', scanned: 7, erased: 3 })
  const events = await bodiesOf(tenant.id)
  for (const event of [waiting, sent, retried]) {
    t.match(events.get(event), { body: null, body_gone: 'erased' })
  }
  for (const event of kept) t.match(events.get(event), { body: /\{/, body_gone: null })
  t.match((await bodiesOf(other.id)).get(foreign), { body: /jane/ }, 'another tenant keeps its own')

  const deliveries = await deliveriesOf(db, plugin.id)
  for (const event of [waiting, retried]) {
    t.match(deliveries.get(event), { status: 'failed', reason: 'erased', due_at: null })
  }
  t.match(deliveries.get(sent), { status: 'sent', reason: null })
  const attempts = await db
    .selectFrom('delivery_attempts')
    .select(['delivery_id', 'response_body', 'response_headers', 'response_status'])
    .where('tenant_id', '=', tenant.id)
    .execute()
  t.equal(attempts.length, 4)
  for (const attempt of attempts) {
    t.equal(attempt.response_status, 500)
    if (attempt.delivery_id === untouched) t.equal(attempt.response_body, 'thanks')
    else t.match(attempt, { response_body: null, response_headers: null })
  }

  await tenant.post(`/api/plugins/${plugin.slug}/replays`, {})
  const replays = { db: app.workerDb, signals: app.signals, leaseMs: 30_000, batchSize: 500, maxWaiting: 500 }
  while ((await runReplayTurn(replays)) !== 'idle');
  t.match((await deliveriesOf(db, plugin.id)).get(waiting), { status: 'failed', reason: 'erased' })
})

t.test('the value is sealed while the job is open, and only hashed afterwards', async (t) => {
  const tenant = service.tenant()
  await seedEvent(db, tenant.id, { data: jane })
  const created = await tenant.post('/api/erasures', request)
  const { id } = created.json<Erasure>()
  const open = await rowOf(id)
  t.ok(open.value_sealed)
  await runAll()
  const done = await rowOf(id)
  t.equal(done.value_sealed, null)
  t.strictSame(await hashValue(JANE, done.value_hash.subarray(0, 16)), done.value_hash)
  t.notSame(await hashValue('joe@example.com', done.value_hash.subarray(0, 16)), done.value_hash)

  const log = await db.selectFrom('audit_log').selectAll().where('tenant_id', '=', tenant.id).execute()
  t.match(log, [{ action: 'erasure.created', target_id: id, detail: { path: 'customer.email' } }])
  const said = [created.body, (await tenant.get('/api/erasures')).body, JSON.stringify(log)].join()
  const stored = Buffer.concat([open.value_sealed ?? Buffer.alloc(0), open.value_hash]).toString('latin1')
  t.notMatch(said + stored, /jane@/)
})

t.test('compares values exactly, numbers beyond 2^53 too', async (t) => {
  const tenant = service.tenant()
  const body = (customer: string): string => `{"event":"order.created","data":{"customer":${customer}}}`
  const at = (hours: number) => ({ at: hoursAgo(hours) })
  const found = [
    await seedEvent(db, tenant.id, { ...at(9), body: body('9007199254740992') }),
    await seedEvent(db, tenant.id, { ...at(8), body: body('9007199254740992.0') }),
  ]
  await seedEvent(db, tenant.id, { ...at(7), body: body('9007199254740993') })
  await seedEvent(db, tenant.id, { ...at(6), body: body('"9007199254740992"') })
  await tenant.post('/api/erasures', { path: 'customer', value: 9007199254740992 })
  await runAll()
  const erased = [...(await bodiesOf(tenant.id)).values()].filter((event) => event.body === null)
  t.strictSame(erased.map((event) => event.id).sort(), found.sort())

  const flag = await seedEvent(db, tenant.id, { data: { customer: [{ vip: false }] } })
  await tenant.post('/api/erasures', { path: 'customer[0].vip', value: false })
  await runAll()
  t.match((await bodiesOf(tenant.id)).get(flag), { body_gone: 'erased' })
})

t.test('another worker goes on where a killed one was, and the old one writes nothing', async (t) => {
  const tenant = service.tenant()
  for (let hours = 7; hours > 0; hours--) await seedEvent(db, tenant.id, { data: jane, at: hoursAgo(hours) })
  const { id } = (await tenant.post('/api/erasures', request)).json<Erasure>()
  const expireLease = () =>
    db
      .updateTable('erasures')
      .set({ lease_until: hoursAgo(1) })
      .where('id', '=', id)
      .execute()
  const erased = async () =>
    [...(await bodiesOf(tenant.id)).values()].filter(({ body }) => body === null).length

  const killed = await claim()
  t.equal(await runErasureBatch(worker, killed), 'more')
  t.equal(await runErasureTurn(worker), 'idle', 'while the lease lasts nobody else takes it')
  await expireLease()
  const heir = await claim()
  t.equal(heir.cursor, killed.cursor)
  t.equal(await runErasureBatch(worker, killed), 'ended')
  t.equal(await erased(), 3)

  await expireLease()
  await runAll()
  t.match((await tenant.get(`/api/erasures/${id}`)).json(), { status: 'completed', scanned: 7, erased: 7 })
  t.equal(await erased(), 7)
})

t.test('waits for intake that began before it, and leaves later events alone', async (t) => {
  const tenant = service.tenant()
  let early = ''
  let id = ''
  await db.transaction().execute(async (trx) => {
    early = await seedEvent(trx, tenant.id, { data: jane })
    id = (await tenant.post('/api/erasures', request)).json<Erasure>().id
    t.equal(await runErasureTurn(worker), 'idle', 'an event may still be committed behind the cursor')
  })
  const late = await seedEvent(db, tenant.id, { data: jane })
  await runAll()
  const events = await bodiesOf(tenant.id)
  t.equal(events.get(early)?.body_gone, 'erased')
  t.equal(events.get(late)?.body_gone, null)
  t.match((await tenant.get(`/api/erasures/${id}`)).json(), { status: 'completed', erased: 1 })
})

t.test('an erased event that is sent again is still a duplicate', async (t) => {
  const tenant = service.tenant()
  const event = { id: 'order-1', event: 'order.created', data: jane }
  const first = await tenant.post('/api/events', event)
  t.equal(first.statusCode, 202, first.body)
  await tenant.post('/api/erasures', request)
  await runAll()
  t.match((await bodiesOf(tenant.id)).get(first.json<{ id: string }>().id), {
    body: null,
    source_id: 'order-1',
  })
  t.match((await tenant.post('/api/events', event)).json(), { duplicate: true })
})

t.test('ends as failed, without the value, when the value cannot be opened', async (t) => {
  const tenant = service.tenant()
  await seedEvent(db, tenant.id, { data: jane })
  const { id } = (await tenant.post('/api/erasures', request)).json<Erasure>()
  await db
    .updateTable('erasures')
    .set({ value_sealed: app.secretBox.seal('"x"', 'another row') })
    .where('id', '=', id)
    .execute()
  await runAll()
  t.match((await tenant.get(`/api/erasures/${id}`)).json(), { status: 'failed', error: /cannot be opened/ })
  t.equal((await rowOf(id)).value_sealed, null)
})
