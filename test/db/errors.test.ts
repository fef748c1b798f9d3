import t from 'tap'
import { createPool } from '#db/connection.ts'
import { isLockNotAvailable, isPassing, isRefusing, isStalled, isUnavailable } from '#db/errors.ts'
import { retryWhilePassing } from '#db/retry.ts'
import { toProblem } from '#infra/http/problems.ts'
import { startPrivatePostgres } from '#test/support/postgres-server.ts'

const OPTIONS = {
  max: 2,
  applicationName: 'bcs-test',
  statementTimeoutMs: 500,
  lockTimeoutMs: 200,
  idleInTransactionTimeoutMs: 10_000,
  connectionTimeoutMs: 10_000,
}

t.test('errors of Postgres by what they ask for', async (t) => {
  const postgres = await startPrivatePostgres(t)
  const pool = createPool(postgres.url, OPTIONS)
  t.teardown(() => pool.end())
  const errorOf = async (sql: string): Promise<unknown> =>
    pool.query(sql).then(
      () => t.fail(sql),
      (error: unknown) => error,
    )
  const raised = (state: string): Promise<unknown> => errorOf(`do $$ begin raise sqlstate '${state}'; end $$`)

  await t.test('a statement that takes too long passes, and is a 503 to a caller', async (t) => {
    const error = await errorOf('select pg_sleep(60)')
    t.ok(isStalled(error))
    t.ok(isPassing(error))
    t.notOk(isUnavailable(error))
    t.match(toProblem(error), { status: 503, code: 'overloaded' })
  })

  await t.test('a lock that is not got passes', async (t) => {
    await pool.query('create table shops (id int primary key); insert into shops values (1)')
    const holder = await pool.connect()
    t.teardown(() => holder.release())
    await holder.query('begin; select from shops for update')
    const error = await errorOf('select from shops for update nowait')
    t.ok(isLockNotAvailable(error))
    t.ok(isPassing(error))
    await holder.query('rollback')
  })

  for (const [state, name] of [
    ['53100', 'a full disk'],
    ['53200', 'no memory'],
    ['58030', 'a failing file system'],
    ['25006', 'a server that only reads'],
    ['57P01', 'a server that shuts down'],
    ['40P01', 'a deadlock'],
  ] as const) {
    await t.test(`${name} passes, and is a 503 to a caller`, async (t) => {
      const error = await raised(state)
      t.ok(isPassing(error))
      t.equal(toProblem(error).status, 503)
      t.equal(isRefusing(error), /^(53|58|25)/.test(state))
    })
  }

  for (const [state, name] of [
    ['22P02', 'a malformed value'],
    ['23505', 'a duplicate'],
    ['54000', 'a limit'],
  ] as const) {
    await t.test(`${name} does not pass`, async (t) => t.notOk(isPassing(await raised(state))))
  }
  t.notOk(isPassing(new TypeError('ours')))
  t.ok(
    isPassing(new Error('Connection terminated unexpectedly')),
    'a connection that is lost has no SQLSTATE',
  )
})

t.test('what passes is tried again, anything else is not', async (t) => {
  let tries = 0
  const value = await retryWhilePassing(10_000, async () => {
    if (++tries < 3) throw new Error('Connection terminated unexpectedly')
    return 'written'
  })
  t.equal(value, 'written')
  t.equal(tries, 3)
  await t.rejects(
    retryWhilePassing(10_000, async () => {
      tries++
      throw new TypeError('ours')
    }),
    { message: 'ours' },
  )
  t.equal(tries, 4)
})
