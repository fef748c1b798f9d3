import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import t, { type Test } from 'tap'
import { createPool } from '#db/connection.ts'
import { isUnavailable } from '#db/errors.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { eventually } from '#test/support/deliveries.ts'
import { startTcpProxy } from '#test/support/tcp-proxy.ts'

/** Longer than a test: where it is the limit, nothing else has ended the wait. */
const NEVER_MS = 300_000
/** Beyond the time after which the watch asks, and asks again. */
const LONG_STATEMENT_SECONDS = 4

async function setUp(t: Test, answerTimeoutMs = NEVER_MS) {
  const { url } = await createTestDatabase(t)
  const proxy = await startTcpProxy(t, url)
  const lost: number[] = []
  const pool = createPool(proxy.url, {
    max: 1,
    applicationName: 'bcs-test',
    statementTimeoutMs: NEVER_MS,
    lockTimeoutMs: NEVER_MS,
    idleInTransactionTimeoutMs: NEVER_MS,
    connectionTimeoutMs: 2_000,
    answerTimeoutMs,
    onLost: ({ pid }) => lost.push(pid),
  })
  t.teardown(() => pool.end())
  const direct = new pg.Client(url)
  await direct.connect()
  t.teardown(() => direct.end())
  /** Sessions of this database under a name. */
  const sessions = async (name: string): Promise<number[]> => {
    const text =
      'select pid from pg_stat_activity where datname = current_database() and application_name = $1'
    return (await direct.query<{ pid: number }>(text, [name])).rows.map(({ pid }) => pid)
  }
  await pool.query('create table things (n int primary key)')
  const [pid = 0] = await sessions('bcs-test')
  return { pool, proxy, direct, sessions, lost, pid }
}

async function assertGivenUp(t: Test, statement: Promise<unknown>): Promise<void> {
  const error: unknown = await statement.then(
    () => null,
    (error: unknown) => error,
  )
  t.ok(isUnavailable(error), String(error))
}

t.test('a statement that never reached the server', async (t) => {
  const { pool, proxy, direct, sessions, lost, pid } = await setUp(t)
  proxy.swallow('from client')
  await assertGivenUp(t, pool.query('insert into things values (1)'))
  t.strictSame(lost, [pid])
  t.same((await pool.query('select 1 as next')).rows, [{ next: 1 }], 'the pool goes on')
  t.same((await direct.query('select from things')).rowCount, 0)
  t.notOk((await sessions('bcs-test')).includes(pid), 'its session is gone')
  await eventually('the watch has left', async () => (await sessions('bcs-watch')).length === 0)
})

t.test('a statement whose answer is swallowed', async (t) => {
  const { pool, proxy, direct, lost, pid } = await setUp(t)
  proxy.swallow('from server')
  await assertGivenUp(t, pool.query('insert into things values (1)'))
  t.strictSame(lost, [pid])
  t.equal((await direct.query('select from things')).rowCount, 1, 'it was done, and nobody can know')
})

t.test('a statement of which the server has a part', async (t) => {
  for (const bytes of [3, 20, 60]) {
    const { pool, proxy, direct, lost, pid } = await setUp(t)
    proxy.cut(bytes)
    await assertGivenUp(
      t,
      pool.query({ name: 'insert_thing', text: 'insert into things values ($1)', values: [bytes] }),
    )
    t.strictSame(lost, [pid], `${bytes} bytes of it`)
    t.equal((await direct.query('select from things')).rowCount, 0)
  }
})

t.test('the locks of a transaction that lost its connection are free', async (t) => {
  const { pool, proxy, direct } = await setUp(t)
  const client = await pool.connect()
  await client.query('begin')
  await client.query('lock table things in access exclusive mode')
  proxy.swallow('from client')
  await assertGivenUp(t, client.query('insert into things values (1)'))
  client.release(true)
  await direct.query(`set lock_timeout = '60s'`)
  t.equal((await direct.query('select from things')).rowCount, 0)
})

t.test('what the server is at is left alone, however long it takes', async (t) => {
  const { pool, direct, sessions, lost } = await setUp(t)
  let asked = false
  const slow = pool.query(`select pg_sleep(${LONG_STATEMENT_SECONDS}), 'slept' as it`)
  const looks = (async () => {
    while (!asked) {
      asked = (await sessions('bcs-watch')).length === 1
      await delay(50)
    }
  })()
  t.match((await slow).rows, [{ it: 'slept' }])
  await looks
  await direct.query('begin')
  await direct.query('lock table things in access exclusive mode')
  const waiting = pool.query('insert into things values (1)')
  await delay(LONG_STATEMENT_SECONDS * 1_000)
  await direct.query('rollback')
  t.equal((await waiting).rowCount, 1, 'a lock is waited for')
  t.strictSame(lost, [])
})

t.test('a long answer may arrive bit by bit', async (t) => {
  const { pool, proxy, lost } = await setUp(t)
  proxy.slow(100_000, 500)
  const { rows } = await pool.query<{ text: string }>("select repeat('x', 600000) as text")
  t.equal(rows[0]?.text.length, 600_000)
  t.strictSame(lost, [])
})

t.test('a server that cannot be asked decides nothing: the deadline counts', async (t) => {
  const { pool, proxy, lost } = await setUp(t, 4_000)
  proxy.refuse()
  const statement = pool.query('select pg_sleep(1), 1 as it')
  t.match((await statement).rows, [{ it: 1 }])
  proxy.swallow('from client')
  await assertGivenUp(t, pool.query('insert into things values (1)'))
  t.strictSame(lost, [])
})

t.test('sessions with another time zone are told apart all the same', async (t) => {
  const { pool, proxy, lost, pid } = await setUp(t)
  await pool.query("set time zone 'Asia/Kathmandu'; set datestyle = 'German'")
  proxy.swallow('from client')
  await assertGivenUp(t, pool.query('insert into things values (1)'))
  t.strictSame(lost, [pid])
})
