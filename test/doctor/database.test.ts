/** What the doctor finds of the database, its accounts and the work that waits in it. */
import { sql } from 'kysely'
import pg from 'pg'
import t, { type Test } from 'tap'
import { newId } from '#lib/ids.ts'
import type { Finding } from '#src/doctor/check.ts'
import { migratedPrivatePostgres } from '#test/infra/app-on.ts'
import { insertDueDelivery } from '#test/infra/due-delivery.ts'
import { eventually } from '#test/support/deliveries.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { run } from './run-check.ts'

const ALL = { longTransactionSeconds: 0 }

t.test('a transaction that stays open is told with its process and what waits for it', async (t) => {
  const database = await serverOfOwn(t)
  const client = await connect(t, database.url)
  await client.query('begin')
  const pid = await processOf(client)
  await client.query('select feed_position()')
  t.match(await run('transactions', database, {}, ALL), [
    {
      status: 'warning',
      detail: new RegExp(
        `wrote events has been open for \\d+ s \\(process ${pid}, .*flows, waits and the feed`,
      ),
      fix: /pg_terminate_backend/,
    },
  ])
  await client.query('rollback; begin; create table held (n int)')
  const wrote = await run('transactions', database, {}, ALL)
  t.match(wrote, [{ status: 'warning', detail: /^A write transaction has been open .*: erasures wait/ }])
  t.notMatch(wrote[0]?.detail, /flows|feed/, 'it wrote no events')
  await client.query('rollback; begin; select')
  const read = await run('transactions', database, {}, ALL)
  t.match(read, [{ status: 'warning', detail: /^A transaction that only reads .*process \d+.*: vacuum/ }])
  t.notMatch(read[0]?.detail, /flows|feed|erasures/, 'it wrote nothing')
  await client.query('rollback')
  t.match(await run('transactions', database), [{ status: 'ok' }])
})

t.test('an account that does not see others is told, and what it cannot see the age of', async (t) => {
  const database = await serverOfOwn(t)
  const { account, pool } = await plainAccount(t, database)
  const blind = { status: 'warning', fix: `As a superuser: grant pg_read_all_stats to "${account}".` }
  t.match(await run('transactions', { pool }), [blind])
  const client = await connect(t, database.url)
  await client.query('begin; select feed_position()')
  t.match(await run('transactions', { pool }), [
    {
      status: 'warning',
      detail: new RegExp(`wrote events has been open for at least 2 s \\(process ${await processOf(client)}`),
    },
    blind,
  ])
  await database.pool.query(`grant pg_read_all_stats to ${account}`)
  t.match(await run('transactions', { pool }), [{ status: 'ok' }], 'it is young')
})

t.test('prepared transactions that nobody ends are told', async (t) => {
  const postgres = await migratedPrivatePostgres(t)
  const admin = await connect(t, postgres.url)
  await admin.query('alter system set max_prepared_transactions = 2')
  await admin.end()
  await postgres.stop()
  await postgres.start()
  const pool = new pg.Pool({ connectionString: postgres.url, max: 2 })
  t.teardown(() => pool.end())
  await pool.query("begin; create table held (n int); prepare transaction 'forgotten'")
  t.match(await run('transactions', { pool }), [{ status: 'ok' }], 'for a minute it is somebody’s work')
  t.match(await run('transactions', { pool }, {}, { preparedSeconds: 0 }), [
    { status: 'warning', detail: /^1 prepared .*'forgotten' in /, fix: /rollback prepared/ },
  ])
  await pool.query("rollback prepared 'forgotten'")
})

t.test('work that waits without a worker is told by its kind', async (t) => {
  const database = await createTestDatabase(t)
  const { db } = database
  const found = () => run('worker', database)
  t.match(await found(), [{ status: 'ok' }])
  await insertDueDelivery(db, { dueSecondsAgo: 120 })
  t.match(await found(), [{ status: 'warning', detail: /deliveries for 12\d s\.$/, fix: /ROLES=worker/ }])
  await sql`delete from deliveries`.execute(db)
  const tenantId = newId()
  await db.insertInto('tenants').values({ id: tenantId }).execute()
  await sql`insert into flow_cursors (tenant_id, position, event_id) values (${tenantId}, 0, ${newId()})`.execute(
    db,
  )
  await sql`insert into events (tenant_id, id, fingerprint, event, source, occurred_at, received_at, position)
    values (${tenantId}, ${newId()}, '\\x00', 'a.b', 'api', now(), now() - interval '130 seconds', feed_position())`.execute(
    db,
  )
  t.match(await found(), [{ status: 'warning', detail: /: events for flows for 13\d s\.$/ }])
  await sql`delete from flow_cursors`.execute(db)
  await sql`insert into automation_executions (tenant_id, id, flow_id, version, status, trigger_kind, trigger, state,
      due_at, expires_at)
    values (${tenantId}, ${newId()}, ${newId()}, 1, 'queued', 'manual', '{}', '{}',
      now() - interval '140 seconds', now() + interval '1 day')`.execute(db)
  t.match(await found(), [{ status: 'warning', detail: /: executions for 14\d s\.$/ }])
  await sql`delete from automation_executions`.execute(db)
  await sql`insert into automation_schedules (tenant_id, flow_id, trigger_id, cron, time_zone, catch_up, next_fire_at, due_at)
    values (${tenantId}, ${newId()}, 't', '0 9 * * *', 'UTC', 'skip', now(), now() - interval '150 seconds')`.execute(
    db,
  )
  t.match(await found(), [{ status: 'warning', detail: /: schedules for 15\d s\.$/ }])
  await sql`insert into delivery_workers (owner) values ('w')`.execute(db)
  t.match(await found(), [{ status: 'ok' }])
})

t.test('a server that keeps no statistics, or vacuums nothing, is told', async (t) => {
  const { pool } = await serverOfOwn(t)
  await pool.query('alter system set autovacuum = off')
  await pool.query('alter system set track_counts = off')
  await pool.query('select pg_reload_conf()')
  await eventually('the server has read them', async () => {
    const { rows } = await pool.query<{ track_counts: string }>('show track_counts')
    return rows[0]?.track_counts === 'off'
  })
  const found = (await run('database', { pool })).map(failedBy)
  t.strictSame(found.slice(-2), ['autovacuum', 'track_counts'])
})

t.test('accounts whose forgotten transactions stay open are told', async (t) => {
  const { url, pool } = await serverOfOwn(t)
  const account = await plainAccount(t, { url, pool })
  const told = async (): Promise<unknown> =>
    (await run('database', { pool })).find(({ detail }) => detail.startsWith('idle_in_transaction'))
  t.match(await told(), { status: 'warning', detail: new RegExp(account.account), fix: /alter role/ })
  await pool.query(`alter role ${account.account} set idle_in_transaction_session_timeout to '10min'`)
  t.equal(await told(), undefined)
})

t.test('an account that may not try a write is told', async (t) => {
  const { url, pool } = await serverOfOwn(t)
  await pool.query(`revoke temporary on database ${new URL(url).pathname.slice(1)} from public`)
  const plain = await plainAccount(t, { url, pool })
  const found = await run('database', { pool: plain.pool })
  t.ok(found.some(({ detail, fix }) => /temporary tables/.test(detail) && /grant temporary/.test(fix ?? '')))
})

t.test('a database in another encoding is told', async (t) => {
  const { url, pool } = await serverOfOwn(t)
  await pool.query(
    "create database latin encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' locale_provider libc template template0",
  )
  const latin = new URL(url)
  latin.pathname = '/latin'
  const own = new pg.Pool({ connectionString: latin.href, max: 2 })
  t.teardown(() => own.end())
  const found = await run('database', { pool: own })
  t.ok(found.some(({ status, detail }) => status === 'failed' && /encoding is SQL_ASCII/.test(detail)))
})

function failedBy({ detail }: Finding): string {
  return detail.split(' ')[0] ?? ''
}

/** Without the transactions of tests that run beside this one. */
async function serverOfOwn(t: Test): Promise<{ url: string; pool: pg.Pool }> {
  const { url } = await migratedPrivatePostgres(t)
  const pool = new pg.Pool({ connectionString: url, max: 3 })
  t.teardown(() => pool.end())
  return { url, pool }
}

async function connect(t: Test, url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  // Of a server that is stopped meanwhile.
  client.on('error', () => undefined)
  t.teardown(() => client.end())
  return client
}

async function processOf(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
  return rows[0]?.pid ?? 0
}

/** An account that may use the service's tables, and nothing else. */
async function plainAccount(
  t: Test,
  { url, pool }: { url: string; pool: pg.Pool },
): Promise<{ account: string; pool: pg.Pool }> {
  const account = `bcs_plain_${crypto.randomUUID().slice(0, 8)}`
  await pool.query(`create role ${account} login password 'p'`)
  await pool.query(`grant all on all tables in schema public to ${account}`)
  const plain = new URL(url)
  plain.username = account
  plain.password = 'p'
  const own = new pg.Pool({ connectionString: plain.href, max: 2 })
  t.teardown(async () => {
    await own.end()
    await pool.query(`drop owned by ${account}; drop role ${account}`)
  })
  return { account, pool: own }
}
