import { type Kysely, sql } from 'kysely'
import t from 'tap'
import { seedPlugins } from '#bench/support/seed.ts'
import type { DB } from '#db/schema.ts'
import { startApp, type TestApp } from '#test/support/app.ts'
import { eventually, registerPlugin, seedBacklog, sendEvent, statusesOf } from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { TEST_MASTER_KEY } from '#test/support/service-process.ts'

const ENV = { ROLES: 'api', MAX_IN_FLIGHT: '20', MASTER_KEY: TEST_MASTER_KEY }
const ROUNDS = 3
const PATIENCE_MS = 300_000

async function seedShop(
  { app, db }: TestApp,
  tenantId: string,
  { url, plugins, due }: { url: string; plugins: number; due: number },
): Promise<string[]> {
  const ids = await seedPlugins(app.pools.api, {
    masterKey: Buffer.from(TEST_MASTER_KEY, 'base64'),
    tenantId,
    plugins: Array.from({ length: plugins }, () => ({ url, event: 'product.*' })),
    maxInFlight: 1,
  })
  await seedBacklog(db, tenantId, ids[0] ?? '', due)
  await sql`
    insert into deliveries (tenant_id, id, plugin_id, event_id, event)
    select d.tenant_id, gen_random_uuid(), l.plugin_id, d.event_id, d.event from delivery_lanes l, deliveries d
    where l.tenant_id = ${tenantId} and d.plugin_id = ${ids[0]} and l.plugin_id <> d.plugin_id`.execute(db)
  return ids
}

/** Counts the lanes that are held, of one tenant or of all. */
async function heldLanes(db: Kysely<DB>, tenantId: string | null = null): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count from delivery_lanes
    where (${tenantId}::uuid is null or tenant_id = ${tenantId}) and lease_until > clock_timestamp()`.execute(
    db,
  )
  return rows[0]?.count ?? 0
}

t.test('a shop with 10,000 lanes that are due leaves some to another', async (t) => {
  const service = await startApp(t, { env: ENV })
  const [large, small] = [service.tenant(), service.tenant()]
  const [held, quick] = [await startReceiver(t), await startReceiver(t)]
  const open: (() => void)[] = []
  held.answer((_received, response) => void open.push(() => response.writeHead(204).end()))
  await seedShop(service, large.id, { url: held.url, plugins: 10_000, due: 1 })
  await registerPlugin(small, quick.url)
  const worker = service.app.deliveries.createWorker({ tenantId: null })
  t.teardown(() => worker.stop(0))
  worker.start()
  // Of the 16 places of those that never answered four fifths.
  await eventually('its lanes have what they may', () => open.length >= 13, PATIENCE_MS)
  for (let count = 1; count <= ROUNDS; count++) {
    await sendEvent(small, 'order.created')
    await quick.waitFor(count, PATIENCE_MS)
  }
  t.equal(await heldLanes(service.db, large.id), 13)
  for (const answer of open) answer()
})

t.test('where all lanes are taken, who has most gives one to who has none', async (t) => {
  const service = await startApp(t, { env: ENV })
  const { db } = service
  const small = service.tenant()
  const [slow, quick] = [await startReceiver(t), await startReceiver(t)]
  const answers: (() => void)[] = []
  slow.answer((_received, response) => void answers.push(() => response.writeHead(204).end()))
  const backlogs: string[] = []
  for (let shop = 0; shop < 7; shop++) {
    const of = { url: slow.url, plugins: 4, due: 50 }
    backlogs.push(...(await seedShop(service, service.tenant().id, of)))
  }
  const { id } = await registerPlugin(small, quick.url, { events: ['order.*'] })
  // That is what the best endpoints share.
  await sql`update delivery_lanes set last_success_at = now()`.execute(db)
  const worker = service.app.deliveries.createWorker({ tenantId: null })
  t.teardown(() => worker.stop(0))
  worker.start()
  await eventually('all lanes are taken', async () => (await heldLanes(db)) === 20, PATIENCE_MS)
  await sendEvent(small, 'order.created')
  worker.hint([id])
  await eventually(
    'the event of the third has come',
    () => {
      for (const answer of answers.splice(0)) answer()
      return quick.received.length === 1
    },
    PATIENCE_MS,
  )
  for (const backlog of backlogs)
    t.ok(((await statusesOf(db, backlog))['pending'] ?? 0) > 0, 'each of the others still has a backlog')
  slow.answer(204)
  for (const answer of answers) answer()
})
