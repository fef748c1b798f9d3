import { spawn } from 'node:child_process'
import { resolve } from 'node:path'
import { sql } from 'kysely'
import t from 'tap'
import { TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { eventually } from '#test/support/deliveries.ts'
import { skipWithoutPgbouncer as skip, startPgbouncer } from '#test/support/pgbouncer.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { runCli } from '#test/support/run-cli.ts'
import { startService, TEST_MASTER_KEY } from '#test/support/service-process.ts'
import { CHILD_ENV } from '#test/support/child-env.ts'

const ROOT = resolve(import.meta.dirname, '..')

interface Readiness {
  status: string
  checks: Record<string, { status: string; detail: string }>
}

t.test('behind PgBouncer in session mode, with its defaults, all work goes on', { skip }, async (t) => {
  const { url, db } = await createTestDatabase(t)
  const pooled = await startPgbouncer(t, url, 'session')
  const service = await startService(t, { databaseUrl: pooled })
  const receiver = await startReceiver(t)
  const tenantId = crypto.randomUUID()
  const body = { name: 'p', webhook_url: receiver.url, events: ['product.*'] }
  t.equal((await service.request('POST', '/api/plugins', { tenantId, body })).status, 201)
  const event = { event: 'product.created', data: { id: 1 } }
  const answers = await Promise.all(
    Array.from({ length: 50 }, () => service.request('POST', '/api/events', { tenantId, body: event })),
  )
  t.ok(answers.every(({ status }) => status === 202))
  await receiver.waitFor(50)
  await eventually('all outcomes are written', async () => {
    const rows = await db.selectFrom('deliveries').select('status').execute()
    return rows.length === 50 && rows.every(({ status }) => status === 'sent')
  })
  const ready = (await (await service.request('GET', '/health/ready')).json()) as Readiness
  t.match(ready, { status: 'ready', checks: { connections: { status: 'ok' } } })
  t.notMatch(service.log.join('\n'), /signals: connection lost/)
})

t.test('transaction and statement mode are refused at start with one line', { skip }, async (t) => {
  const { url } = await createTestDatabase(t)
  for (const mode of ['transaction', 'statement'] as const) {
    const pooled = await startPgbouncer(t, url, mode)
    const env = {
      DATABASE_URL: pooled,
      MASTER_KEY: TEST_MASTER_KEY,
      PLATFORM_KEY: TEST_PLATFORM_KEY,
      PORT: '0',
    }
    const refused = await runCli('server.ts', [], env)
    t.equal(refused.exitCode, 2, mode)
    t.match(
      refused.stderr,
      /^ {2}DATABASE_URL leads to a connection pooler in transaction .*pool_mode = session/m,
    )
    const migrated = await runCli('../db/migrate-cli.ts', [], env)
    t.match(migrated, { exitCode: 1, stderr: /^DATABASE_URL leads to a connection pooler/ })
  }
})

t.test(
  'it is recognised while others use the pooler, and when that goes round its servers',
  { skip },
  async (t) => {
    const { url } = await createTestDatabase(t)
    const pooled = await startPgbouncer(t, url, 'transaction', {
      server_round_robin: 1,
      default_pool_size: 4,
    })
    const others = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `import pg from 'pg'
       const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 8 })
       console.log('ready')
       for (;;) await Promise.all(Array.from({ length: 8 }, () => pool.query('select pg_sleep(0.001)')))`,
      ],
      {
        cwd: ROOT,
        env: { ...CHILD_ENV, DATABASE_URL: pooled },
        stdio: ['ignore', 'pipe', 'ignore'],
      },
    )
    t.teardown(() => others.kill('SIGKILL'))
    await new Promise((done) => others.stdout.once('data', done))
    const env = {
      DATABASE_URL: pooled,
      MASTER_KEY: TEST_MASTER_KEY,
      PLATFORM_KEY: TEST_PLATFORM_KEY,
      PORT: '0',
    }
    t.match(await runCli('server.ts', [], env), { exitCode: 2, stderr: /pool_mode = session/ })
  },
)

t.test('connections of a process are bounded by the settings, and readiness counts them', async (t) => {
  const { url, db } = await createTestDatabase(t)
  const service = await startService(t, {
    databaseUrl: url,
    env: { DATABASE_API_CONNECTIONS: '3', DATABASE_WORKER_CONNECTIONS: '2' },
  })
  const tenantId = crypto.randomUUID()
  const requests = Array.from({ length: 60 }, () => service.request('GET', '/api/plugins', { tenantId }))
  t.ok((await Promise.all(requests)).every(({ status }) => status === 200))
  const { rows: found } = await sql<{ name: string; count: number }>`
    select application_name as name, count(*) as count from pg_stat_activity
    where datname = current_database() group by 1`.execute(db)
  const rows = Object.fromEntries(found.map(({ name, count }) => [name, count]))
  t.ok((rows['bcs-api'] ?? 0) <= 3 && (rows['bcs-worker'] ?? 0) <= 2, JSON.stringify(rows))
  const ready = (await (await service.request('GET', '/health/ready')).json()) as Readiness
  t.match(
    ready.checks['connections']?.detail,
    /holds [123] of at most 3 connections for requests and [012] of at most 2 .* The server has \d+ of \d+\./,
  )
})
