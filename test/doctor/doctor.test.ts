import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { sql } from 'kysely'
import t from 'tap'
import { migrate } from '#db/migrate.ts'
import { loadConfig } from '#config/config.ts'
import { secretContext } from '#infra/secrets.ts'
import { newId } from '#lib/ids.ts'
import { createSecretBox } from '#lib/secrets/secret-box.ts'
import { CHECKS } from '#src/doctor/checks.ts'
import { judgeAge, judgeDisk } from '#src/doctor/storage.ts'
import { insertDueDelivery } from '#test/infra/due-delivery.ts'
import { TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'
import { skipWithoutPgbouncer, startPgbouncer } from '#test/support/pgbouncer.ts'
import { seedPlugin } from '#test/support/plugin-row.ts'
import { runCli } from '#test/support/run-cli.ts'
import { startEmbeddedPostgres } from '#tools/embedded-postgres/index.ts'
import { freePort } from '#test/support/free-port.ts'
import { doctor, ENV, run } from './run-check.ts'

async function seedSecret(database: TestDatabase, masterKey: string): Promise<void> {
  const tenantId = crypto.randomUUID()
  const plugin = await seedPlugin(database.db, tenantId)
  const id = newId()
  const sealed = createSecretBox(Buffer.from(masterKey, 'base64')).seal(
    'whsec_x',
    secretContext(tenantId, id, 'secret'),
  )
  await database.db
    .insertInto('plugin_secrets')
    .values({ id, tenant_id: tenantId, plugin_id: plugin.id, sealed })
    .execute()
}

t.test('a sound deployment passes every check with exit code 0', async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'bcs-doctor-'))
  t.teardown(() => rm(dataDir, { recursive: true, force: true }))
  const none = await doctor({ DATA_DIR: dataDir })
  t.match(none, { exitCode: 0, stdout: /There is none yet: "npm start" makes one/ })
  const log = { info: () => undefined }
  const postgres = await startEmbeddedPostgres({ dataDir, log })
  t.teardown(() => postgres.stop())
  await migrate(postgres.url, { log })
  const sound = await doctor({ DATA_DIR: dataDir })
  t.equal(sound.exitCode, 0, sound.stdout)
  for (const { name } of CHECKS) t.match(sound.stdout, new RegExp(`^\\[(ok|warning)\\] ${name}: `, 'm'))
  t.notMatch(sound.stdout, '[failed]')
  t.match(sound.stdout, /Nothing has to be mended\.\n$/)
  t.notMatch(sound.stdout + sound.stderr, ENV.MASTER_KEY)
  t.notMatch(sound.stdout + sound.stderr, TEST_PLATFORM_KEY)
})

t.test('each check is in docs/operations.md', async (t) => {
  const text = await readFile(resolve(import.meta.dirname, '../../docs/operations.md'), 'utf8')
  const table = text.slice(text.indexOf('## Doctor'), text.indexOf('## Metrics'))
  const names = [...table.matchAll(/^\| `([^`]+)`/gm)].map((match) => match[1])
  t.strictSame(
    names,
    CHECKS.map(({ name }) => name),
  )
})

t.test('a configuration that is not usable is told variable by variable', async (t) => {
  const result = await doctor({ PORT: 'x', ROLES: 'cook' })
  t.equal(result.exitCode, 1)
  t.match(
    result.stdout,
    /^\[failed\] configuration: PORT: give a whole number.*\n\[failed\] configuration: ROLES: /,
  )
  t.match(await runCli('doctor-cli.ts', ['--fix'], ENV), { exitCode: 2, stderr: /Usage: npm run doctor/ })
})

t.test('a database that does not answer is told, and the rest is checked', async (t) => {
  const url = `postgres://bcs:hidden@127.0.0.1:${await freePort()}/bcs`
  const result = await doctor({ DATABASE_URL: url, HOST: '0.0.0.0' })
  t.equal(result.exitCode, 1)
  t.match(result.stdout, /^\[failed\] database: It does not answer: .*\n {4}See that DATABASE_URL is right/m)
  t.match(result.stdout, /^\[warning\] settings: TRUST_PROXY is empty/m)
  t.notMatch(result.stdout, 'hidden')
})

t.test('settings of the server that endanger data are told', async (t) => {
  const database = await createTestDatabase(t)
  const result = await doctor({ DATABASE_URL: database.url })
  t.equal(result.exitCode, 1)
  for (const name of ['fsync', 'full_page_writes', 'synchronous_commit']) {
    t.match(
      result.stdout,
      new RegExp(`^\\[failed\\] database: ${name} is off: .*\\n {4}Set ${name} = on`, 'm'),
    )
  }
  await sql`alter database ${sql.id(new URL(database.url).pathname.slice(1))} set default_transaction_read_only = on`.execute(
    database.db,
  )
  const readOnly = await doctor({ DATABASE_URL: database.url })
  t.match(readOnly.stdout, /^\[failed\] database: The server takes no writes/m)
})

t.test('a pooler in transaction mode is told', { skip: skipWithoutPgbouncer }, async (t) => {
  const { url } = await createTestDatabase(t)
  const result = await doctor({ DATABASE_URL: await startPgbouncer(t, url, 'transaction') })
  t.equal(result.exitCode, 1)
  t.match(result.stdout, /^\[failed\] database: .*pool_mode = session/m)
})

t.test(
  'a pooler with too few connections for one process is told',
  { skip: skipWithoutPgbouncer },
  async (t) => {
    const { url } = await createTestDatabase(t)
    const small = await startPgbouncer(t, url, 'session', { default_pool_size: 8 })
    const result = await doctor({ DATABASE_URL: small })
    t.match(
      result.stdout,
      /^\[warning\] connections: A process needs up to 17 .*\n {4}Raise the pooler's default_pool_size/m,
    )
  },
)

t.test('migrations that are missing or unknown are told', async (t) => {
  const database = await createTestDatabase(t)
  t.match(await run('migrations', database), [{ status: 'ok' }])
  await sql`insert into migrations.checksums values ('9999_future', 'x')`.execute(database.db)
  t.match(await run('migrations', database), [{ status: 'failed', detail: /newer/, fix: /newer one/ }])
  await sql`update migrations.checksums set kind = 'additive' where name = '9999_future'`.execute(database.db)
  t.match(
    await run('migrations', database),
    [{ status: 'warning', detail: /newer.*9999_future/, fix: /replace the processes/ }],
    'the middle of an upgrade',
  )
  await sql`delete from migrations.checksums where name in ('9999_future', '0001_init')`.execute(database.db)
  t.match(await run('migrations', database), [{ status: 'failed', detail: /older/, fix: /db:migrate/ }])
})

t.test('a clock that is off is told', async (t) => {
  const database = await createTestDatabase(t)
  t.match(await run('clock', database, {}, { now: () => Date.now() + 10_000 }), [
    { status: 'failed', detail: /10\d{3} ms ahead|9\d{3} ms ahead/, fix: /NTP/ },
  ])
  t.match(await run('clock', database, {}, { now: () => Date.now() - 10_000 }), [
    { status: 'failed', detail: /ms behind/ },
  ])
  t.match(await run('clock', database), [{ status: 'ok' }])
})

t.test('master keys that do not fit are told', async (t) => {
  const database = await createTestDatabase(t)
  t.match(await run('master key', database), [{ status: 'ok' }])
  const other = randomBytes(32).toString('base64')
  await seedSecret(database, other)
  t.match(await run('master key', database), [{ status: 'failed', detail: /1 of 1 .*plugin_secrets/ }])
  t.match(await run('master key', database, { MASTER_KEY_PREVIOUS: other }), [
    { status: 'warning', fix: /key -- reseal/ },
  ])
  t.match(await run('master key', database, { MASTER_KEY: '' }), [
    { status: 'failed', detail: /There is no MASTER_KEY/ },
  ])
})

t.test('a service without keys is told, the more so where others reach it', async (t) => {
  const database = await createTestDatabase(t)
  t.match(await run('access', database), [{ status: 'ok' }])
  t.match(await run('access', database, { PLATFORM_KEY: '' }), [{ status: 'warning', detail: /open mode/ }])
  t.match(await run('access', database, { PLATFORM_KEY: '', HOST: '0.0.0.0' }), [{ status: 'failed' }])
})

t.test('names that do not resolve, and addresses that are blocked or silent, are told', async (t) => {
  const database = await createTestDatabase(t)
  const { id } = await seedPlugin(database.db, crypto.randomUUID(), { slug: 'local' })
  t.match(await run('egress', database), [{ status: 'warning', detail: /plugin local are blocked/ }])
  t.match(await run('egress', database, { EGRESS_ALLOW: '127.0.0.1' }), [{ status: 'ok' }])
  t.match(await run('egress', database, { EGRESS_ALLOW: '127.0.0.1', HTTPS_ONLY: 'true' }), [
    { status: 'warning', detail: /plugin local are blocked/ },
  ])
  t.match(await run('egress', database, { EGRESS_ALLOW: '999.1.1.1/77' }), [
    { status: 'failed', detail: /EGRESS_ALLOW/ },
  ])
  const PLATFORM_URL = `http://127.0.0.1:${await freePort()}`
  t.match(await run('egress', database, { EGRESS_ALLOW: '127.0.0.1', PLATFORM_URL }), [
    { status: 'failed', detail: /platform at PLATFORM_URL does not answer: connect_refused/ },
  ])
  t.match(await run('dns', database), [{ status: 'ok' }])
  await database.db
    .updateTable('plugins')
    .set({ webhook_url: 'https://plugin.example.com/hook' })
    .where('id', '=', id)
    .execute()
  t.match(await run('dns', database, { EGRESS_DNS: `127.0.0.1:${await freePort()}` }), [
    { status: 'failed', detail: /1 of 1 names do not resolve by EGRESS_DNS .*plugin\.example\.com/ },
  ])
})

t.test('connections that would run out are told', async (t) => {
  const database = await createTestDatabase(t)
  t.match(await run('connections', database, { DATABASE_API_CONNECTIONS: '1000' }), [
    { status: 'warning', fix: /max_connections/ },
  ])
})

t.test('a feed that was wound back is told', async (t) => {
  const database = await createTestDatabase(t)
  const tenantId = crypto.randomUUID()
  await database.db.insertInto('tenants').values({ id: tenantId }).execute()
  const insert = (position: string) =>
    sql`insert into events (tenant_id, id, fingerprint, event, source, occurred_at, position)
      values (${tenantId}, ${newId()}, '\\x00', 'a.b', 'api', now(), ${sql.raw(position)})`.execute(
      database.db,
    )
  await insert('feed_position()')
  t.match(await run('feed', database), [{ status: 'ok' }])
  await insert('feed_position() + 1000000')
  t.match(
    await run('feed', database),
    [{ status: 'ok', detail: /raises the epoch when it starts/ }],
    'no service has been here since',
  )
  await sql`select ensure_feed_epoch()`.execute(database.db)
  const epoch = await sql<{ epoch: number }>`select max(epoch) as epoch from feed_epochs`.execute(database.db)
  t.equal(epoch.rows[0]?.epoch, 1)
  await insert('feed_position() + 1000000')
  t.match(await run('feed', database), [{ status: 'failed', fix: /raise the epoch/ }])
  await sql`update feed_epochs set timeline = feed_timeline() + 1`.execute(database.db)
  t.match(
    await run('feed', database),
    [{ status: 'ok', detail: /raises the epoch when it starts/ }],
    'after a promotion or recovery to a point in time',
  )
})

t.test('a feed of another cluster is seen to by the service', async (t) => {
  const database = await createTestDatabase(t)
  await sql`select ensure_feed_epoch()`.execute(database.db)
  const tenantId = crypto.randomUUID()
  await database.db.insertInto('tenants').values({ id: tenantId }).execute()
  await sql`insert into events (tenant_id, id, fingerprint, event, source, occurred_at, position)
    values (${tenantId}, ${newId()}, '\\x00', 'a.b', 'api', now(), feed_position() + 1000000)`.execute(
    database.db,
  )
  await sql`update feed_epochs set system_identifier = '1'`.execute(database.db)
  t.match(await run('feed', database), [{ status: 'ok', detail: /raises the epoch when it starts/ }])
})

t.test('variables that do not fit together are told', async (t) => {
  const database = await createTestDatabase(t)
  t.match(await run('settings', database), [{ status: 'ok' }])
  const env = {
    HOST: '0.0.0.0',
    DATABASE_URL: '',
    PLATFORM_URL: 'https://platform.example.com',
    RETENTION_DAYS: '10',
    BODY_RETENTION_DAYS: '20',
  }
  const details = (await run('settings', database, env)).map(({ detail }) => detail.split(' ')[0])
  t.strictSame(details, [
    'TRUST_PROXY',
    'PUBLIC_URL',
    'BODY_RETENTION_DAYS',
    'PLATFORM_URL',
    'DATABASE_URL',
    'DRAIN_MS',
  ])
})

t.test('a worker with fewer places than were asked for, or than a plugin may have, is told', async (t) => {
  const database = await createTestDatabase(t)
  t.match(await run('settings', database, { MAX_IN_FLIGHT: '100' }), [
    {
      status: 'warning',
      detail: /^MAX_IN_FLIGHT is too low for MAX_IN_FLIGHT_CEILING/,
      fix: /MAX_IN_FLIGHT/,
    },
  ])
  const none = await run('settings', database, { MAX_IN_FLIGHT: '100', ROLES: 'api' })
  t.match(none, [{ status: 'ok' }], 'not of a process that delivers nothing')
  const config = loadConfig({ MAX_IN_FLIGHT: '1000', MAX_IN_FLIGHT_CEILING: '10' }, null, 1_024)
  t.match(await run('settings', database, {}, { config }), [
    { status: 'warning', detail: /^MAX_IN_FLIGHT \(1000\) is lowered to 256/, fix: /ulimit -n/ },
  ])
})

t.test('transaction ids that run out are told', async (t) => {
  t.strictSame(judgeAge(0.1), [])
  t.match(judgeAge(0.6), [{ status: 'warning', detail: /^60 % of the transaction ids/, fix: /freeze/ }])
  t.match(judgeAge(0.95), [{ status: 'failed' }])
})

t.test('dead rows, and what retention left, are told', async (t) => {
  const database = await createTestDatabase(t)
  t.match(await run('bloat', database), [{ status: 'ok' }])
  const client = await database.pool.connect()
  await client.query('create table junk (n integer) with (autovacuum_enabled = false)')
  await client.query('insert into junk select generate_series(1, 30000)')
  await client.query('delete from junk where n > 5000')
  await client.query('select pg_stat_force_next_flush()')
  client.release()
  await insertDueDelivery(database.db, { dueSecondsAgo: 1 })
  await sql`update deliveries set status = 'sent', created_at = now() - interval '400 days'`.execute(
    database.db,
  )
  t.match(await run('bloat', database), [
    { status: 'warning', detail: /junk has 25000 dead rows/, fix: /vacuum/ },
    { status: 'warning', detail: /oldest ended delivery is 400 days old/ },
  ])
})

t.test('a disk that fills up is told', async (t) => {
  t.match(judgeDisk(50, 100, '1 GB'), { status: 'ok' })
  t.match(judgeDisk(5, 100, '1 GB'), { status: 'warning', fix: /Make room/ })
  t.match(judgeDisk(1, 100, '1 GB'), { status: 'failed' })
})
