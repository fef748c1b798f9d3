import { readFile } from 'node:fs/promises'
import t from 'tap'
import { queueState } from '#modules/webhook-delivery/due/queue-figures-repository.ts'
import { clientFor, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { appOn, inTime, migratedPrivatePostgres, statementsOf, whileTimeStands } from './app-on.ts'
import { insertDueDelivery } from './due-delivery.ts'

/** Deliveries, unmatched events, due executions, what is halted, schedules and open write transactions. */
const SHARED_LOOKS = 6

const platform = { authorization: `Bearer ${TEST_PLATFORM_KEY}` }

t.test(
  'figures are for the platform: without a key nobody reads them, in open mode everybody does',
  async (t) => {
    const { url } = await createTestDatabase(t)
    const app = await appOn(t, url)
    t.equal((await app.inject('/metrics')).statusCode, 401)
    const answer = await app.inject({ url: '/metrics', headers: platform })
    t.equal(answer.statusCode, 200)
    t.match(answer.headers['content-type'], /^text\/plain; version=0\.0\.4/)

    const open = await appOn(t, url, { openTenantId: crypto.randomUUID() })
    t.equal((await open.inject('/metrics')).statusCode, 200)
  },
)

t.test("a tenant's key does not read them", async (t) => {
  const { url } = await createTestDatabase(t)
  const app = await appOn(t, url)
  const tenantId = crypto.randomUUID()
  const created = await clientFor(app, tenantId, TEST_PLATFORM_KEY).post('/api/keys', {
    kind: 'tenant',
    role: 'admin',
    name: 'curious',
  })
  t.equal(created.statusCode, 201, created.body)
  const { key } = created.json<{ key: string }>()
  const answer = await app.inject({ url: '/metrics', headers: { authorization: `Bearer ${key}` } })
  t.equal(answer.statusCode, 403)
})

t.test('a scrape has what modules count, the pools, the queue and the process', async (t) => {
  const { url, db } = await createTestDatabase(t)
  await insertDueDelivery(db, { dueSecondsAgo: 90 })
  const app = await appOn(t, url)
  app.metrics.deliveryAttempts.inc({ outcome: 'retry', error_class: 'timeout' }, 2)
  const text = (await app.inject({ url: '/metrics', headers: platform })).body
  t.match(text, 'bcs_delivery_attempts_total{outcome="retry",error_class="timeout"} 2\n')
  t.match(text, /^bcs_db_pool_connections\{pool="api",state="total"\} [1-9]/m)
  t.match(text, /^bcs_db_pool_connections\{pool="worker",state="waiting"\} 0$/m)
  t.match(text, /^bcs_database_up 1$/m)
  t.match(text, /^bcs_queue_depth 1$/m)
  t.match(text, /^bcs_queue_oldest_due_seconds 9\d/m)
  t.match(text, /^bcs_breakers\{state="closed"\} 1$/m)
  t.match(text, /^nodejs_eventloop_lag_p99_seconds /m)
  t.match(text, /^process_cpu_seconds_total /m)
})

t.test('requests are counted by the pattern of their route, never by their path', async (t) => {
  const { url } = await createTestDatabase(t)
  const app = await appOn(t, url)
  await app.inject({
    url: '/api/plugins/somebody',
    headers: { ...platform, 'x-tenant-id': crypto.randomUUID() },
  })
  await app.inject('/no/such/path')
  const text = (await app.inject({ url: '/metrics', headers: platform })).body
  t.match(
    text,
    'bcs_http_request_duration_seconds_count{method="GET",route="/api/plugins/:slug",status="404"} 1',
  )
  t.match(text, 'bcs_http_request_duration_seconds_count{method="GET",route="none",status="404"} 1')
  t.notMatch(text, 'somebody')
})

t.test('with the database away a scrape still answers, without the figures of the queue', async (t) => {
  const postgres = await migratedPrivatePostgres(t)
  const app = await appOn(t, postgres.url)
  await postgres.stop('immediate')
  const { answer, isInTime } = await inTime(async () => app.inject({ url: '/metrics', headers: platform }))
  t.ok(isInTime, 'within 2 s')
  t.equal(answer.statusCode, 200)
  t.match(answer.body, /^bcs_database_up 0$/m)
  t.notMatch(answer.body, /^bcs_queue_depth/m)
  t.notMatch(answer.body, /^bcs_breakers\{/m)
})

t.test('scrapes in a hurry share one look at the queue', async (t) => {
  const { url } = await createTestDatabase(t)
  const app = await appOn(t, url)
  const statements = statementsOf(app.pools.api)
  await whileTimeStands(async () => {
    for (let scrape = 0; scrape < 20; scrape++) await app.inject({ url: '/metrics', headers: platform })
  })
  t.equal(statements.length, SHARED_LOOKS, statements.join('\n'))
})

t.test('two apps in one process do not share their figures', async (t) => {
  const { url } = await createTestDatabase(t)
  const [one, other] = [await appOn(t, url), await appOn(t, url)]
  one.metrics.fencedOutcomes.inc()
  t.match(await one.metrics.registry.metrics(), /^bcs_fenced_outcomes_total 1$/m)
  t.match(await other.metrics.registry.metrics(), /^bcs_fenced_outcomes_total 0$/m)
})

t.test('an empty queue is empty', async (t) => {
  const { pool } = await createTestDatabase(t)
  t.strictSame(await queueState(pool), {
    depth: 0,
    oldestDueSeconds: 0,
    unattendedSeconds: 0,
    keyHeldSeconds: 0,
    breakers: { closed: 0, open: 0, half_open: 0 },
  })
})

t.test('work that waits on purpose is no lag, work in hand is attended', async (t) => {
  const { db, pool } = await createTestDatabase(t)
  await insertDueDelivery(db, { dueSecondsAgo: 9_000, pluginStatus: 'paused' })
  await insertDueDelivery(db, { dueSecondsAgo: 9_000, pluginStatus: 'disabled' })
  await insertDueDelivery(db, { dueSecondsAgo: 9_000, breaker: 'open', holdSecondsFromNow: 60 })
  await insertDueDelivery(db, { dueSecondsAgo: -60 })
  const waiting = await queueState(pool)
  t.match(waiting, { depth: 4, oldestDueSeconds: 0, breakers: { closed: 3, open: 1, half_open: 0 } })

  await insertDueDelivery(db, { dueSecondsAgo: 500, held: true })
  await insertDueDelivery(db, { dueSecondsAgo: 9_000, breaker: 'half_open', holdSecondsFromNow: -30 })
  const late = await queueState(pool)
  t.ok(late.oldestDueSeconds >= 500 && late.oldestDueSeconds < 600, 'held work is late')
  t.ok(late.unattendedSeconds >= 30 && late.unattendedSeconds < 100, 'since the breaker let it go')
  t.equal(late.breakers.half_open, 1)
})

t.test('every figure is explained to the operator', async (t) => {
  const { url } = await createTestDatabase(t)
  const app = await appOn(t, url)
  const manual = await readFile(new URL('../../docs/operations.md', import.meta.url), 'utf8')
  const own = (await app.metrics.registry.getMetricsAsJSON()).filter(({ name }) => name.startsWith('bcs_'))
  t.ok(own.length >= 10)
  for (const { name } of own) t.match(manual, `\`${name}\``)
})
