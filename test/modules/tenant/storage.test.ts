import t from 'tap'
import { newId } from '#lib/ids.ts'
import { measureStorage, measureStorageOnce } from '#modules/tenant/storage.ts'
import { startApp, type Tenant } from '#test/support/app.ts'
import { seedBacklog, registerPlugin } from '#test/support/deliveries.ts'
import { sql } from 'kysely'

const service = await startApp(t)
const { db } = service

const EVENT = { event: 'order.created', data: { text: 'x' } }

async function stored(shop: Tenant): Promise<{ used: number; limit: number }> {
  const answer = await shop.get('/api/usage')
  return answer.json<{ quotas: { stored_bytes: { used: number; limit: number } } }>().quotas.stored_bytes
}

/** Random, so that Postgres compresses little of it. */
const text = (bytes: number): string =>
  Array.from({ length: bytes / 32 }, () => crypto.randomUUID().replaceAll('-', '')).join('')

t.test('what a shop stores is measured, large values and steps as well, and goes with them', async (t) => {
  const [shop, other] = [service.tenant(), service.tenant()]
  t.strictSame(await stored(shop), { used: 0, limit: 107_374_182_400, default: 107_374_182_400 })
  const sent = await shop.post('/api/events', { event: 'order.created', data: { text: text(640_000) } })
  t.equal(sent.statusCode, 202, sent.body)
  await other.post('/api/events', EVENT)
  t.equal((await stored(shop)).used, 0, 'until it is measured')
  t.equal(await measureStorage({ db }), true)
  const { used: event } = await stored(shop)
  t.ok(event > 320_000 && event < 660_000, `${event} bytes on disk`)
  t.ok((await stored(other)).used < 1_000)

  const executionId = newId()
  await db
    .insertInto('automation_executions')
    .values({
      tenant_id: shop.id,
      id: executionId,
      flow_id: newId(),
      version: 1,
      status: 'running',
      trigger_kind: 'manual',
      trigger: JSON.stringify({ data: text(64_000) }),
      state: JSON.stringify({ variables: text(64_000) }),
      expires_at: new Date(Date.now() + 3_600_000),
    })
    .execute()
  await measureStorage({ db })
  const { used: both } = await stored(shop)
  t.ok(both > event + 60_000, 'the state of an execution counts')

  await db.deleteFrom('automation_executions').where('tenant_id', '=', shop.id).execute()
  await db.deleteFrom('events').where('tenant_id', '=', shop.id).execute()
  await measureStorage({ db })
  t.equal((await stored(shop)).used, 0)
  t.ok((await stored(other)).used > 0)
})

t.test('a shop that stores as much as it may sends no more until it stores less', async (t) => {
  const [shop, other] = [service.tenant(), service.tenant()]
  await shop.post('/api/events', EVENT)
  await measureStorage({ db })
  const { used } = await stored(shop)
  const set = await shop.put('/api/tenant/quotas', { stored_bytes: used + 1 })
  t.match(set.json(), { quotas: { stored_bytes: { used, limit: used + 1 } } })
  t.equal((await shop.post('/api/events', EVENT)).statusCode, 202)
  await shop.put('/api/tenant/quotas', { stored_bytes: used })
  const refused = await shop.post('/api/events', EVENT)
  t.match(refused.json(), {
    status: 429,
    code: 'quota_rate_exceeded',
    quota: 'stored_bytes',
    limit: used,
    used,
  })
  t.equal(refused.headers['retry-after'], '60', 'an event that is not sent again is lost')
  const batch = await shop.post('/api/events', { events: [EVENT] })
  t.match(batch.json(), {
    summary: { rejected: 1 },
    results: [{ problem: { status: 429, quota: 'stored_bytes' } }],
  })
  t.equal((await other.post('/api/events', EVENT)).statusCode, 202, 'others have their own')
  await shop.put('/api/tenant/quotas', {})
  t.equal((await shop.post('/api/events', EVENT)).statusCode, 202)
})

t.test('of a large table a sample is read, and tells the shares of the shops', async (t) => {
  const [large, small] = [service.tenant(), service.tenant()]
  for (const [shop, events] of [
    [large, 6_000],
    [small, 2_000],
  ] as const) {
    const { id } = await registerPlugin(shop, 'http://127.0.0.1:9')
    await seedBacklog(db, shop.id, id, events)
  }
  await measureStorage({ db })
  const exact = [(await stored(large)).used, (await stored(small)).used]
  const { rows } = await sql<{ pages: number }>`select pg_relation_size('events') / 8192 as pages`.execute(db)
  t.ok((rows[0]?.pages ?? 0) > 80, 'there is something to sample')
  // The mean of several: each is random, and pages are few.
  const sums = [0, 0]
  for (let round = 0; round < 40; round++) {
    await measureStorage({ db, pages: 40 })
    for (const [index, shop] of [large, small].entries())
      sums[index] = (sums[index] ?? 0) + (await stored(shop)).used
  }
  for (const [index, sum] of sums.entries()) {
    const ratio = sum / 40 / (exact[index] ?? 0)
    t.ok(ratio > 0.5 && ratio < 2, `${ratio} of what it is`)
  }
})

t.test('a sample refuses whom many pages tell of, and nobody for one large page', async (t) => {
  const [large, small] = [service.tenant(), service.tenant()]
  const { id } = await registerPlugin(large, 'http://127.0.0.1:9')
  await seedBacklog(db, large.id, id, 6_000)
  await small.post('/api/events', { event: 'order.created', data: { text: text(640_000) } })
  await measureStorage({ db })
  const exact = { large: (await stored(large)).used, small: (await stored(small)).used }
  const quotas = { large: Math.round(exact.large / 2), small: exact.small * 2 }
  const { rows } = await sql<{ pages: number }>`select pg_relation_size('events') / 8192 as pages`.execute(db)
  // A third of them: one that is met counts as three.
  const pages = Math.round((rows[0]?.pages ?? 0) / 3)
  const until = async (what: string, holds: () => Promise<boolean>): Promise<void> => {
    for (let round = 0; round < 200; round++) {
      await measureStorage({ db, pages })
      if (await holds()) return
    }
    t.fail(`never in 200 samples: ${what}`)
  }
  await until('the one large page was met', async () => (await stored(small)).used > quotas.small)
  await small.put('/api/tenant/quotas', { stored_bytes: quotas.small })
  t.equal((await small.post('/api/events', EVENT)).statusCode, 202, 'it may be luck')
  await until('many pages bear it out', async () => {
    await large.put('/api/tenant/quotas', { stored_bytes: quotas.large })
    return (await large.post('/api/events', EVENT)).statusCode === 429
  })
})

t.test('what another process has just measured holds', async (t) => {
  const shop = service.tenant()
  await shop.post('/api/events', EVENT)
  await measureStorageOnce({ db, maxAgeMs: 0 })
  const { used } = await stored(shop)
  t.ok(used > 0, 'it was due')
  await shop.post('/api/events', EVENT)
  await measureStorageOnce({ db, maxAgeMs: 3_600_000 })
  t.equal((await stored(shop)).used, used)
  await measureStorageOnce({ db, maxAgeMs: 0 })
  t.ok((await stored(shop)).used > used)
})

t.test('one process measures at a time', async (t) => {
  await db.connection().execute(async (one) => {
    await sql`select pg_advisory_lock(5047193288112020)`.execute(one)
    t.equal(await measureStorage({ db }), false)
    await sql`select pg_advisory_unlock(5047193288112020)`.execute(one)
  })
  t.equal(await measureStorage({ db }), true)
})
