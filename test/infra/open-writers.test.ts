import { Writable } from 'node:stream'
import pg from 'pg'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { appOn, migratedPrivatePostgres, until } from './app-on.ts'

const platform = { authorization: `Bearer ${TEST_PLATFORM_KEY}` }
const PATIENCE_MS = 40_000
/** Each waits for seconds: they do it together. */
t.jobs = 4
const BESIDE = { buffered: true }

interface Readiness {
  status: string
  checks: { transactions: { status: string; detail: string } }
}

async function setUp(t: Test, database: string) {
  const postgres = await migratedPrivatePostgres(t)
  const lines: string[] = []
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(chunk.toString())
      done()
    },
  })
  const app = await appOn(t, postgres.url, { logger: pino({ level: 'warn' }, stream) })
  const url = new URL(postgres.url)
  if (database !== '') {
    const admin = new pg.Client({ connectionString: postgres.url })
    await admin.connect()
    await admin.query(`create database ${database}`)
    await admin.end()
    url.pathname = `/${database}`
  }
  const client = new pg.Client({ connectionString: url.href, application_name: 'forgotten' })
  await client.connect()
  t.teardown(() => client.end())
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
  /** People are warned, load balancers are not: it stays ready. A busy machine may be too late for one look. */
  const isTold = async (status: 'ok' | 'warning') => {
    const { answer } = await until(
      async () => {
        const { statusCode, body } = await app.inject('/health/ready')
        return { statusCode, answer: (JSON.parse(body) as Readiness).checks.transactions }
      },
      (look) => look.statusCode === 200 && look.answer.status === status,
      PATIENCE_MS,
    )
    return answer
  }
  const gauge = async (name: string) => {
    const { body } = await app.inject({ url: '/metrics', headers: platform })
    return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(body)?.[1])
  }
  return { app, client, pid: rows[0]?.pid, isTold, gauge, lines }
}

t.test(
  'a forgotten transaction that wrote an event is told as what holds back the feed',
  BESIDE,
  async (t) => {
    const { client, pid, isTold, gauge, lines } = await setUp(t, '')
    await isTold('ok')
    await client.query('begin; select feed_position()')
    const warned = await isTold('warning')
    t.match(
      warned.detail,
      new RegExp(`process ${pid} \\(application forgotten\\) has been open since 20.*Z and wrote events`),
    )
    await until(
      () => gauge('bcs_feed_horizon_age_seconds'),
      (seconds) => seconds > 10,
      PATIENCE_MS,
    )
    const told = lines.filter((line) => line.includes('a write transaction stays open'))
    t.equal(told.length, 1, 'the log says it once')
    t.match(JSON.parse(told[0] ?? '{}'), {
      backend_pid: pid,
      application: 'forgotten',
      holds_feed: true,
      state: 'idle in transaction',
    })
    await client.query('rollback')
    await isTold('ok')
    await until(
      () => gauge('bcs_feed_horizon_age_seconds'),
      (seconds) => seconds === 0,
      PATIENCE_MS,
    )
  },
)

t.test('one of another database is told, too, but holds no feed back', BESIDE, async (t) => {
  const { client, pid, isTold, gauge, lines } = await setUp(t, 'elsewhere')
  await client.query('begin; create table held (n int)')
  const warned = await isTold('warning')
  t.match(
    warned.detail,
    new RegExp(`process ${pid} \\(application forgotten\\) has been open since 20.*erasures wait`),
  )
  t.equal(await gauge('bcs_feed_horizon_age_seconds'), 0)
  await until(
    () => gauge('bcs_oldest_write_transaction_seconds'),
    (seconds) => seconds > 10,
    PATIENCE_MS,
  )
  t.match(lines.join(''), '"database":"elsewhere"')
})

t.test(
  'a prepared transaction is told as one, and holds the feed of its own database back',
  BESIDE,
  async (t) => {
    const postgres = await migratedPrivatePostgres(t)
    const admin = new pg.Client({ connectionString: postgres.url })
    await admin.connect()
    await admin.query('alter system set max_prepared_transactions = 2')
    await admin.end()
    await postgres.stop()
    await postgres.start()
    const app = await appOn(t, postgres.url)
    const query = (text: string) => app.pools.api.query<{ position: string; horizon: string }>(text)
    const isBehind = async (): Promise<boolean> => {
      const written = await query('select feed_position()::text as position')
      const seen = await query('select feed_writer_horizon()::text as horizon')
      return BigInt(written.rows[0]?.position ?? 0) >= BigInt(seen.rows[0]?.horizon ?? 0)
    }
    const elsewhere = new URL(postgres.url)
    await query('create database elsewhere')
    elsewhere.pathname = '/elsewhere'
    const stranger = new pg.Client({ connectionString: elsewhere.href })
    await stranger.connect()
    t.teardown(() => stranger.end())
    await stranger.query("begin; create table held (n int); prepare transaction 'other'")
    t.notOk(await isBehind())
    const other = await until(
      () => app.openWriters(),
      ({ ofServer }) => ofServer !== null,
      PATIENCE_MS,
    )
    t.match(other, { ofFeed: null, ofServer: { pid: null, application: '' } })
    await query("begin; select feed_position(); prepare transaction 'writer'")
    t.ok(await isBehind())
    await until(
      () => app.openWriters(),
      ({ ofFeed }) => ofFeed !== null && ofFeed.pid === null,
      PATIENCE_MS,
    )
    await query("commit prepared 'writer'")
    t.notOk(await isBehind())
    await stranger.query("rollback prepared 'other'")
  },
)

t.test('who may not see what others do is told from when he saw it first', BESIDE, async (t) => {
  const { url, pool } = await createTestDatabase(t)
  const role = `bcs_plain_${crypto.randomUUID().slice(0, 8)}`
  await pool.query(
    `create role ${role} login password 'p'; grant all on all tables in schema public to ${role}`,
  )
  await pool.query(
    `grant usage on schema migrations to ${role}; grant select on all tables in schema migrations to ${role}`,
  )
  const plain = new URL(url)
  plain.username = role
  plain.password = 'p'
  t.teardown(async () => {
    await pool.query(`drop owned by ${role}; drop role ${role}`)
  })
  const app = await appOn(t, plain.href)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  t.teardown(() => client.end())
  await client.query('begin; select feed_position()')
  const found = await until(
    () => app.openWriters(),
    ({ ofFeed }) => (ofFeed?.seconds ?? 0) > 1,
    PATIENCE_MS,
  )
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
  t.equal(found.ofFeed?.pid, rows[0]?.pid)
})
