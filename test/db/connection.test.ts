import pg from 'pg'
import { sql } from 'kysely'
import t from 'tap'
import { createKysely, createPool } from '#db/connection.ts'
import { constraintOf, isSerialisationConflict, isUnavailable } from '#db/errors.ts'
import { freePort } from '#test/support/free-port.ts'
import { startPrivatePostgres } from '#test/support/postgres-server.ts'

const OPTIONS = {
  max: 2,
  applicationName: 'bcs-test',
  statementTimeoutMs: 10_000,
  lockTimeoutMs: 1_000,
  idleInTransactionTimeoutMs: 10_000,
  connectionTimeoutMs: 2_000,
}

t.test('a pool', async (t) => {
  const postgres = await startPrivatePostgres(t)
  const pool = createPool(postgres.url, OPTIONS)
  t.teardown(() => pool.end())
  const db = createKysely<unknown>(pool)

  t.test('reads int8 as a number, and refuses one that a number cannot hold', async (t) => {
    const { rows } = await pool.query<{ n: number }>('select 9007199254740991::int8 as n')
    t.equal(rows[0]?.n, 9_007_199_254_740_991)
    await t.rejects(pool.query('select 9007199254740993::int8 as n'), {
      message: 'int8 9007199254740993 is not a safe JavaScript integer',
    })
    t.same((await pool.query('select 1 as usable')).rows, [{ usable: 1 }])
  })

  t.test('reads timestamptz as a Date and numeric as text', async (t) => {
    const { rows } = await pool.query(
      "select '2026-01-02T03:04:05.678Z'::timestamptz as at, 1.10::numeric as price",
    )
    t.same(rows, [{ at: new Date('2026-01-02T03:04:05.678Z'), price: '1.10' }])
  })

  t.test('sets its timeouts and durability in every session', async (t) => {
    const lazy = createPool(postgres.url, { ...OPTIONS, synchronousCommit: false })
    t.teardown(() => lazy.end())
    const names = [
      'application_name',
      'statement_timeout',
      'lock_timeout',
      'idle_in_transaction_session_timeout',
      'synchronous_commit',
    ]
    const { rows } = await lazy.query<{ name: string; setting: string }>(
      'select name, setting from pg_settings where name = any($1)',
      [names],
    )
    t.same(Object.fromEntries(rows.map(({ name, setting }) => [name, setting])), {
      application_name: 'bcs-test',
      statement_timeout: '10000',
      lock_timeout: '1000',
      idle_in_transaction_session_timeout: '10000',
      synchronous_commit: 'off',
    })
  })

  t.test('lives on when its backends die in the middle of a transaction', async (t) => {
    const seen: Error[] = []
    const fragile = createPool(postgres.url, { ...OPTIONS, onConnectionError: (error) => seen.push(error) })
    t.teardown(() => fragile.end())
    const inTransaction = createKysely<unknown>(fragile)
      .transaction()
      .execute(async (trx) => {
        await sql`select 1`.execute(trx)
        await postgres.terminateBackends()
        await sql`select 2`.execute(trx)
      })
    const error: unknown = await inTransaction.catch((error: unknown) => error)
    t.ok(isUnavailable(error), String(error))
    t.ok(seen.length > 0, 'the error was announced')
    t.same((await fragile.query('select 3 as three')).rows, [{ three: 3 }], 'the pool makes a new connection')
  })

  t.test('lives on when an idle checked-out client loses its backend', async (t) => {
    const client = await pool.connect()
    const ended = new Promise((resolve) => client.once('end', resolve))
    await postgres.terminateBackends()
    await ended
    const error: unknown = await client.query('select 1').catch((error: unknown) => error)
    client.release()
    t.ok(isUnavailable(error), String(error))
  })

  t.test('names the constraint that a statement violated', async (t) => {
    await pool.query(
      'create table shops (id int constraint shops_pkey primary key, n int constraint shops_n_check check (n > 0))',
    )
    await pool.query('insert into shops values (1, 1)')
    const twin: unknown = await pool.query('insert into shops values (1, 1)').catch((error: unknown) => error)
    t.equal(constraintOf(twin), 'shops_pkey')
    const check: unknown = await pool
      .query('insert into shops values (2, 0)')
      .catch((error: unknown) => error)
    t.ok(check instanceof pg.DatabaseError)
    t.equal(constraintOf(check), null)
    t.notOk(isUnavailable(twin))
  })

  t.test('tells a serialisation failure from other errors', async (t) => {
    await pool.query('create table counters (n int); insert into counters values (0)')
    const bump = db
      .transaction()
      .setIsolationLevel('serializable')
      .execute(async (trx) => {
        await sql`select n from counters`.execute(trx)
        await sql`update counters set n = n + 1`.execute(db)
        await sql`update counters set n = n + 1`.execute(trx)
      })
    const error: unknown = await bump.catch((error: unknown) => error)
    t.ok(isSerialisationConflict(error), String(error))
    t.notOk(isUnavailable(error))
  })

  t.test('says unavailable while the server is away, and works again after its return', async (t) => {
    await postgres.stop('immediate')
    const away: unknown = await pool.query('select 1').catch((error: unknown) => error)
    t.ok(isUnavailable(away), String(away))
    await postgres.start()
    t.same((await pool.query('select 1 as back')).rows, [{ back: 1 }])
  })

  t.test('says unavailable when every connection is taken for too long', async (t) => {
    const narrow = createPool(postgres.url, { ...OPTIONS, max: 1, connectionTimeoutMs: 1_000 })
    const client = await narrow.connect()
    const error: unknown = await narrow.query('select 1').catch((error: unknown) => error)
    t.ok(isUnavailable(error), String(error))
    client.release()
    await narrow.end()
  })
})

t.test('nobody listening is unavailable, a wrong password is not', async (t) => {
  const postgres = await startPrivatePostgres(t)
  const nowhere = createPool(`postgres://postgres@127.0.0.1:${await freePort()}/postgres`, OPTIONS)
  t.ok(isUnavailable(await nowhere.query('select 1').catch((error: unknown) => error)))
  await nowhere.end()
  const wrong = new URL(postgres.url)
  wrong.password = 'wrong'
  const refused = createPool(wrong.href, OPTIONS)
  const error: unknown = await refused.query('select 1').catch((error: unknown) => error)
  t.match(error, { code: '28P01' })
  t.notOk(isUnavailable(error))
  await refused.end()
  t.notOk(isUnavailable(new Error('anything else')))
  t.ok(isUnavailable(new Error('wrapped', { cause: new Error('Connection terminated unexpectedly') })))
})
