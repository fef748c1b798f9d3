import { sql } from 'kysely'
import t from 'tap'
import { startApp } from '#test/support/app.ts'
import {
  attemptsOf,
  deliverDue,
  eventually,
  laneOf,
  onlyDelivery,
  registerPlugin,
  seedBacklog,
  seedLargeEvent,
  sendEvent,
  statusesOf,
} from '#test/support/deliveries.ts'
import { lockWaits } from '#test/support/locks.ts'
import { heldBytes } from '#test/support/heap.ts'
import { startReceiver } from '#test/support/receiver.ts'

const service = await startApp(t, { env: { MAX_IN_FLIGHT: '10' } })
const { app, db } = service

t.test(
  'start, stop and drain may come twice, in any order, and stopping what never ran is fine',
  async (t) => {
    const tenant = service.tenant()
    const receiver = await startReceiver(t)
    const { id } = await registerPlugin(tenant, receiver.url)
    const worker = app.deliveries.createWorker({ tenantId: tenant.id })
    await worker.stop()
    worker.start()
    worker.start()
    await sendEvent(tenant)
    worker.hint([id])
    await receiver.waitFor(1)
    await Promise.all([worker.stop(), worker.stop()])
    await worker.stop()
    t.match(await laneOf(db, id), { lease_until: null })
    await sendEvent(tenant)
    worker.hint([id])
    t.match(await onlyDeliveries(id), { pending: 1, sent: 1 }, 'a stopped worker takes no hint')
    const other = app.deliveries.createWorker({ tenantId: tenant.id })
    t.match(await other.drain(60_000), { processed: 1 })
    t.match(await other.drain(60_000), { processed: 1 }, 'counts are of the worker')
    await other.stop()
    t.equal(receiver.received.length, 2)
  },
)

const onlyDeliveries = (pluginId: string) => statusesOf(db, pluginId)

t.test('stopping waits for the attempt under way and records it', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const { id } = await registerPlugin(tenant, receiver.url)
  let answer = (): void => undefined
  receiver.answer((_received, response) => {
    answer = () => response.writeHead(204).end()
  })
  await sendEvent(tenant)
  const worker = app.deliveries.createWorker({ tenantId: tenant.id })
  worker.start()
  await receiver.waitFor(1)
  const stopped = worker.stop()
  answer()
  await stopped
  t.match(await onlyDelivery(db, id), { status: 'sent', attempt_count: 1 })
})

t.test(
  'when all plugins fail at once, those without capacity wait their turn and none is forgotten',
  async (t) => {
    const tenant = service.tenant()
    const receiver = await startReceiver(t)
    const plugins: string[] = []
    for (let index = 0; index < 6; index++) plugins.push((await registerPlugin(tenant, receiver.url)).id)
    await sendEvent(tenant)
    await deliverDue(service, tenant)
    for (const id of plugins) await seedBacklog(db, tenant.id, id, 40)
    receiver.answer((_received, response) => setTimeout(() => response.writeHead(404).end(), 10))
    t.match(await deliverDue(service, tenant), { processed: 240, retried: 240 })
  },
)

t.test('a plugin whose secret cannot be opened waits, and holds up nobody else', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const broken = await registerPlugin(tenant, receiver.url)
  const sound = await registerPlugin(tenant, receiver.url)
  await db
    .updateTable('plugin_secrets')
    .set({ sealed: sql<Buffer>`sealed || '\\x00'::bytea` })
    .where('plugin_id', '=', broken.id)
    .execute()
  await sendEvent(tenant)
  t.match(await deliverDue(service, tenant, undefined, 5_000), { processed: 1, sent: 1 })
  t.match(await onlyDelivery(db, sound.id), { status: 'sent' })
  t.match(await onlyDelivery(db, broken.id), { status: 'pending', attempt_count: 0 })
  t.match(await laneOf(db, broken.id), { lease_until: null })
})

/** Waits until a worker's statement waits for a lock, another one than the given. @returns when it began */
function writeWaits(other: string | null): Promise<string> {
  return eventually('an outcome waits to be written', async () => {
    const { rows } = await sql<{ began: string }>`select query_start::text as began from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'
        and query_start::text is distinct from ${other}`.execute(db)
    return rows[0]?.began
  })
}

t.test('an outcome that a lock keeps from being written is written later, not sent again', async (t) => {
  const tenant = service.tenant()
  const receiver = await startReceiver(t)
  const locked = await registerPlugin(tenant, receiver.url)
  const other = await registerPlugin(tenant, receiver.url)
  await sendEvent(tenant)
  const { id } = await onlyDelivery(db, locked.id)
  const { promise: isLocked, resolve: lockTaken } = Promise.withResolvers<undefined>()
  // Longer than a worker's statement waits for a lock.
  const lock = db.transaction().execute(async (trx) => {
    await trx.selectFrom('deliveries').select('id').where('id', '=', id).forUpdate().execute()
    lockTaken(undefined)
    const first = await writeWaits(null)
    await writeWaits(first)
  })
  await isLocked
  t.match(await deliverDue(service, tenant), { processed: 2, sent: 2 })
  await lock
  t.equal(receiver.received.length, 2)
  t.match(await attemptsOf(db, locked.id), [{ number: 1 }])
  t.match(await attemptsOf(db, other.id), [{ number: 1 }])
})

t.test(
  'an outcome that cannot be stored costs no other, and its delivery is not sent in a loop',
  async (t) => {
    const strict = await startApp(t, { env: { POLL_MS: '3000' } })
    await sql`alter table delivery_attempts add constraint no_teapots check (response_status <> 418)`.execute(
      strict.db,
    )
    const tenant = strict.tenant()
    const teapot = await startReceiver(t)
    teapot.answer(418)
    const sound = await startReceiver(t)
    await registerPlugin(tenant, teapot.url)
    const plugins: string[] = []
    for (let index = 0; index < 5; index++) plugins.push((await registerPlugin(tenant, sound.url)).id)
    await sendEvent(tenant)
    const worker = strict.app.deliveries.createWorker({ tenantId: tenant.id })
    t.teardown(() => worker.stop())
    worker.start()
    const [first, second] = await teapot.waitFor(2)
    await worker.stop()
    t.ok((second?.at ?? 0) - (first?.at ?? 0) > 750, 'the next look finds it, not the next moment')
    t.equal(sound.received.length, plugins.length)
    for (const id of plugins) t.match(await onlyDelivery(strict.db, id), { status: 'sent', attempt_count: 1 })
  },
)

t.test('the shortest lease that can be configured is long enough to deliver', async (t) => {
  const short = await startApp(t, { env: { LEASE_MS: '1000' } })
  const tenant = short.tenant()
  const receiver = await startReceiver(t)
  await registerPlugin(tenant, receiver.url)
  await sendEvent(tenant)
  // On a busy machine it may run out all the same; then the next one delivers.
  await eventually('it is delivered', async () => {
    const { sent } = await deliverDue(short, tenant)
    return sent === 1
  })
})

t.test('many large bodies for receivers that do not answer do not fill the memory', async (t) => {
  const roomy = await startApp(t)
  const { app, db } = roomy
  const tenant = roomy.tenant()
  const receiver = await startReceiver(t)
  receiver.answer(() => undefined)
  const PLUGINS = 30
  for (let index = 0; index < PLUGINS; index++) {
    const { id } = await registerPlugin(tenant, receiver.url)
    for (let count = 0; count < 8; count++) await seedLargeEvent(db, tenant.id, id, 900_000)
  }
  const before = heldBytes()
  const worker = app.deliveries.createWorker({ tenantId: tenant.id })
  t.teardown(() => worker.stop())
  worker.start()
  await receiver.waitFor(PLUGINS, 60_000)
  // The receiver's memory is not the worker's.
  receiver.received.length = 0
  // Nothing is answered, so that it stays what it is: one reading may still hold what is about to go.
  await eventually('less than 128 of 216 MB are held', () => {
    return heldBytes() - before < 128 * 1024 * 1024
  })
  await receiver.close()
})

t.test('a hint for a lane that is just being given back is kept until it is free', async (t) => {
  const patient = await startApp(t, { env: { POLL_MS: '60000' } })
  const tenant = patient.tenant()
  const receiver = await startReceiver(t)
  const { id } = await registerPlugin(tenant, receiver.url)
  await sendEvent(tenant)
  const worker = patient.app.deliveries.createWorker({ tenantId: tenant.id })
  t.teardown(() => worker.stop())
  worker.start()
  await receiver.waitFor(1)
  await eventually('it is recorded', async () => (await onlyDelivery(patient.db, id)).status === 'sent')
  await patient.db.transaction().execute(async (trx) => {
    await trx
      .selectFrom('delivery_lanes')
      .select('plugin_id')
      .where('plugin_id', '=', id)
      .forUpdate()
      .execute()
    worker.pluginChanged([id])
    await sendEvent(tenant)
    worker.hint([id])
    // The lane is being given back.
    await lockWaits(patient.db)
  })
  await receiver.waitFor(2)
})

t.test('a hint for a lane that was given back is not lost', async (t) => {
  const patient = await startApp(t, { env: { POLL_MS: '60000' } })
  const { app, db } = patient
  const tenant = patient.tenant()
  const receiver = await startReceiver(t)
  const { id } = await registerPlugin(tenant, receiver.url)
  const worker = app.deliveries.createWorker({ tenantId: tenant.id })
  t.teardown(() => worker.stop())
  worker.start()
  await sendEvent(tenant)
  worker.hint([id])
  await receiver.waitFor(1)
  await eventually('the idle lane is given back', async () => (await laneOf(db, id)).lease_until === null)
  await sendEvent(tenant)
  worker.hint([id])
  await receiver.waitFor(2, 30_000)
})
