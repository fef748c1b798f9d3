import { execFile } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { createKysely, createPool } from '#db/connection.ts'
import { newId } from '#lib/ids.ts'
import { freePort } from '#test/support/free-port.ts'
import { migrate, MigrationError, migrationStatus } from '#db/migrate.ts'
import { readMigrations } from '#db/migrations.ts'
import { createTestDatabase } from '#test/support/database.ts'

const execute = promisify(execFile)
const log = { info: () => undefined }

t.test('applies what is missing, in order, once', async (t) => {
  const { url, pool, directory, db } = await scratch(t)
  await write(directory, {
    '0001_shops.sql': 'create table shops (id int primary key);\ninsert into shops values (1);\n',
    '0002_name.sql': "alter table shops add column name text not null default 'none';\n",
  })
  t.same(await migrate(url, { directory, log }), { applied: ['0001_shops', '0002_name'] })
  t.same(await migrate(url, { directory, log }), { applied: [] })
  await write(directory, { '0003_more.sql': 'insert into shops (id) values (2);\n' })
  t.same(await migrationStatus(db, directory), {
    state: 'behind',
    detail: 'the database is older than this version: it lacks 0003_more',
  })
  t.same(await migrate(url, { directory, log }), { applied: ['0003_more'] })
  t.same(await migrationStatus(db, directory), { state: 'current', detail: '0003_more' })
  t.same((await pool.query('select * from shops order by id')).rows, [
    { id: 1, name: 'none' },
    { id: 2, name: 'none' },
  ])
})

t.test('a migration that fails leaves the ones before it, and names its file and line', async (t) => {
  const { url, pool, db, directory } = await scratch(t)
  await write(directory, {
    '0001_shops.sql': 'create table shops (id int primary key);\n',
    '0002_typo.sql': 'create table orders (id int);\n\ncreate tabel plugins (id int);\n',
  })
  await t.rejects(migrate(url, { directory, log }), {
    message: `${join(directory, '0002_typo.sql')}:3: syntax error at or near "tabel"`,
  })
  const { rows } = await pool.query(
    "select to_regclass('shops') is not null as shops, to_regclass('orders') is not null as orders",
  )
  t.same(rows, [{ shops: true, orders: false }])
  t.match(await migrationStatus(db, directory), { state: 'behind', detail: /lacks 0002_typo$/ })
  await write(directory, { '0002_typo.sql': 'create table plugins (id int);\n' })
  t.same(await migrate(url, { directory, log }), { applied: ['0002_typo'] })
})

t.test('no lock of one migration stands while the next one runs', async (t) => {
  const { url, pool, directory } = await scratch(t)
  await write(directory, {
    '0001_shops.sql': 'create table shops (id int);\n',
    '0002_locks.sql': 'alter table shops add column name text;\n',
    '0003_look.sql': `create table held as select mode from pg_locks where relation = 'shops'::regclass;\n`,
  })
  await migrate(url, { directory, log })
  t.same((await pool.query("select * from held where mode <> 'AccessShareLock'")).rows, [])
})

t.test('a migration that waits for a table keeps nobody from it', async (t) => {
  const { url, pool, directory } = await scratch(t)
  await write(directory, { '0001_shops.sql': 'create table shops (id int);\n' })
  await migrate(url, { directory, log })
  await write(directory, { '0002_name.sql': 'alter table shops add column name text;\n' })
  const dump = await pool.connect()
  await dump.query('begin; lock table shops in access share mode')
  const waits = Promise.withResolvers<string>()
  const info = (_: unknown, text?: string): void => waits.resolve(text ?? '')
  const migrating = migrate(url, { directory, log: { info } })
  t.match(await waits.promise, /waits for a lock/)
  t.strictSame((await pool.query('select * from shops')).rows, [], 'while the dump goes on')
  await dump.query('commit')
  dump.release()
  t.strictSame(await migrating, { applied: ['0002_name'] })
})

t.test('a migration that loses a deadlock is tried again', async (t) => {
  const { url, pool, directory } = await scratch(t)
  await pool.query('create table shops (id int)')
  await pool.query('create table orders (id int)')
  await write(directory, {
    '0001_both.sql': 'alter table orders add column name text;\nalter table shops add column name text;\n',
  })
  const other = await pool.connect()
  t.teardown(() => other.release(true))
  // Who looks for deadlocks first loses: this one hardly looks.
  await other.query("set deadlock_timeout = '1min'")
  await other.query('begin; lock table shops in access share mode')
  const told: string[] = []
  const migrated = migrate(url, {
    directory,
    log: { info: (fields: object) => told.push(JSON.stringify(fields)) },
  })
  // It looks once, a second after it has begun to wait: who comes later than that sees it time out, and tries once more.
  for (let round = 1; !told.some((text) => text.includes('deadlock detected')); round++) {
    await other.query('savepoint before')
    for (let waits = false; !waits;) {
      const { rows } = await pool.query(
        "select from pg_locks where relation = 'shops'::regclass and not granted",
      )
      waits = rows.length > 0
    }
    await other.query('select from orders')
    await other.query('rollback to before')
    while (told.length < round) await delay(10)
  }
  await other.query('commit')
  t.same(await migrated, { applied: ['0001_both'] })
})

t.test('what was applied by a host whose clock was ahead is in order', async (t) => {
  const { url, pool, directory } = await scratch(t)
  await write(directory, {
    '0001_shops.sql': 'create table shops (id int);\n',
    '0002_more.sql': 'select 1;\n',
  })
  await migrate(url, { directory, log })
  await pool.query(
    "update migrations.applied set timestamp = '2999-01-01T00:00:00.000Z' where name = '0001_shops'",
  )
  await write(directory, { '0003_orders.sql': 'create table orders (id int);\n' })
  t.same(await migrate(url, { directory, log }), { applied: ['0003_orders'] })
})

t.test('refuses a migration that comes late', async (t) => {
  const { url, pool, directory } = await scratch(t)
  await write(directory, { '0001_shops.sql': 'select 1;\n', '0003_more.sql': 'select 1;\n' })
  await migrate(url, { directory, log })
  await write(directory, { '0002_late.sql': 'create table late (id int);\n' })
  const refusal = migrate(url, { directory, log })
  await t.rejects(refusal, MigrationError)
  await t.rejects(refusal, { message: /0002_late\.sql would come after 0003_more/ })
  t.same((await pool.query("select to_regclass('late') as late")).rows, [{ late: null }])
})

t.test('refuses when an applied file was changed, and touches nothing', async (t) => {
  const { url, pool, directory } = await scratch(t)
  await write(directory, { '0001_shops.sql': 'create table shops (id int);\n' })
  await migrate(url, { directory, log })
  await write(directory, {
    '0001_shops.sql': 'create table shops (id bigint);\n',
    '0002_orders.sql': 'create table orders (id int);\n',
  })
  const refusal = migrate(url, { directory, log })
  await t.rejects(refusal, MigrationError)
  await t.rejects(refusal, { message: /0001_shops\.sql changed after it was applied/ })
  t.same((await pool.query("select to_regclass('orders') as orders")).rows, [{ orders: null }])
  await write(directory, { '0001_shops.sql': 'create table shops (id int);\r\n' })
  t.same(await migrate(url, { directory, log }), { applied: ['0002_orders'] }, 'line ends are no change')
})

t.test('refuses a database that a newer version migrated', async (t) => {
  const { url, db, directory } = await scratch(t)
  await write(directory, {
    '0001_shops.sql': 'create table shops (id int);\n',
    '0002_new.sql': 'select 1;\n',
  })
  await migrate(url, { directory, log })
  await rm(join(directory, '0002_new.sql'))
  t.same(await migrationStatus(db, directory), {
    state: 'ahead',
    detail: 'the database is newer than this version: it has 0002_new',
  })
  await t.rejects(migrate(url, { directory, log }), MigrationError)
})

t.test('goes on with what a newer version only added', async (t) => {
  const { url, db, directory } = await scratch(t)
  await write(directory, {
    '0001_shops.sql': 'create table shops (id int primary key);\n',
    '0020_more.sql': '-- additive: with a default\nalter table shops add column n int;\n',
  })
  await migrate(url, { directory, log })
  await rm(join(directory, '0020_more.sql'))
  t.same(await migrationStatus(db, directory), {
    state: 'extended',
    detail: 'the database is newer than this version, which goes on with what was added: 0020_more',
  })
  t.same(await migrate(url, { directory, log }), { applied: [] }, 'also when it starts again')
  await write(directory, { '0002_late.sql': 'select 1;\n' })
  await t.rejects(migrate(url, { directory, log }), MigrationError)
  t.match(await migrationStatus(db, directory), { state: 'behind' })
  await rm(join(directory, '0002_late.sql'))

  await write(directory, {
    '0020_more.sql': '-- additive: with a default\nalter table shops add column n int;\n',
    '0021_less.sql': '-- breaking\nalter table shops drop column n;\n',
  })
  await migrate(url, { directory, log })
  await Promise.all(['0020_more.sql', '0021_less.sql'].map((name) => rm(join(directory, name))))
  t.same(await migrationStatus(db, directory), {
    state: 'ahead',
    detail: 'the database is newer than this version: it has 0021_less',
  })
})

t.test('a worker that would deliver what a dry run only counts is not ready', async (t) => {
  const { pool } = await createTestDatabase(t)
  const { state } = await migrationStatus(createKysely<unknown>(pool), await releaseBefore(t, '0032'))
  t.equal(state, 'ahead')
})

t.test('of the segments that plugins had before there were claims, none is their own slug', async (t) => {
  const { pool, url } = await createTestDatabase(t, await releaseBefore(t, '0021'))
  const [tenantId, pluginId] = [newId(), newId()]
  await pool.query('insert into tenants (id) values ($1)', [tenantId])
  await pool.query(
    `insert into plugins (id, tenant_id, name, slug, webhook_url, base_url)
     values ($1, $2, 'Mail', 'my-mail', 'http://127.0.0.1:9/', 'http://127.0.0.1:9/')`,
    [pluginId, tenantId],
  )
  await pool.query(
    `insert into event_types (tenant_id, name, plugin_id, created_at)
     select $1, name, $2, now() - number * interval '1 day'
     from unnest(array['my_mail.sent', 'email.sent', 'news.read']) with ordinality as named (name, number)`,
    [tenantId, pluginId],
  )
  const { applied } = await migrate(url, { log })
  t.equal(applied[0], '0021_event_segments')
  const { rows } = await pool.query('select segment from event_segments order by segment')
  t.strictSame(rows, [{ segment: 'email' }, { segment: 'news' }])
})

t.test('knows a database that was migrated before there were kinds', async (t) => {
  const { url, db, pool, directory } = await scratch(t)
  await write(directory, { '0001_shops.sql': 'create table shops (id int);\n' })
  await migrate(url, { directory, log })
  await pool.query('alter table migrations.checksums drop column kind')
  t.match(await migrationStatus(db, directory), { state: 'current' })
  await write(directory, { '0019_more.sql': '-- additive\nselect 1;\n' })
  t.same(await migrate(url, { directory, log }), { applied: ['0019_more'] })
})

t.test('refuses a migration that does not say what it means for running processes', async (t) => {
  const { url, directory } = await scratch(t)
  for (const text of ['select 1;\n', '-- Adds shops.\nselect 1;\n', '\n-- additive\nselect 1;\n']) {
    await write(directory, { '0019_shops.sql': text })
    await t.rejects(migrate(url, { directory, log }), {
      message: /0019_shops\.sql: the first line is "-- additive"/,
    })
  }
})

t.test('tells an empty database and an absent one apart', async (t) => {
  const { db, directory } = await scratch(t)
  await write(directory, { '0001_shops.sql': 'create table shops (id int);\n' })
  t.match(await migrationStatus(db, directory), { state: 'behind', detail: /lacks 0001_shops$/ })
  const nowhere = createPool(`postgres://postgres@127.0.0.1:${await freePort()}/postgres`, {
    max: 1,
    applicationName: 'bcs-test',
    statementTimeoutMs: 1_000,
    lockTimeoutMs: 1_000,
    idleInTransactionTimeoutMs: 1_000,
    connectionTimeoutMs: 1_000,
  })
  t.teardown(() => nowhere.end())
  t.match(await migrationStatus(createKysely<unknown>(nowhere), directory), { state: 'unreachable' })
})

t.test('refuses names that have no certain order', async (t) => {
  const { url, directory } = await scratch(t)
  await write(directory, { '0001_shops.sql': 'select 1;\n', '0001_orders.sql': 'select 1;\n' })
  await t.rejects(migrate(url, { directory, log }), { message: /0001_orders\.sql has the same number/ })
  await rm(join(directory, '0001_orders.sql'))
  await write(directory, { '2_orders.sql': 'select 1;\n' })
  await t.rejects(migrate(url, { directory, log }), { message: /a migration is named NNNN_name\.sql/ })
})

t.test('of four replicas that boot at once one migrates and the others wait for it', async (t) => {
  const { url, pool, directory } = await scratch(t)
  await write(directory, {
    '0001_shops.sql': 'create table shops (id int primary key);\n',
    '0002_one.sql': 'insert into shops values (1);\n',
  })
  const gate = await pool.connect()
  await gate.query('begin; lock table migrations.applied in access exclusive mode')
  const replicas = Array.from({ length: 4 }, () =>
    execute(process.execPath, [join(import.meta.dirname, 'migrate-process.ts'), url, directory]),
  )
  // One has the lock, the others ask for it, over and over.
  const asked =
    "select from pg_stat_activity where datname = current_database() and query like 'select pg_try_advisory_lock%'"
  while ((await pool.query(asked)).rowCount !== 4) await delay(10)
  await gate.query('rollback')
  gate.release()
  const applied = (await Promise.all(replicas)).map(({ stdout }) => JSON.parse(stdout) as string[])
  t.same(
    applied.filter((names) => names.length > 0),
    [['0001_shops', '0002_one']],
  )
  t.same((await pool.query('select id from shops')).rows, [{ id: 1 }])
})

/** The migrations that came before one. */
async function releaseBefore(t: Test, end: string): Promise<string> {
  const release = await mkdtemp(join(tmpdir(), 'bettercallsold-release-'))
  t.teardown(() => rm(release, { recursive: true }))
  const files = await readMigrations()
  for (const { name, path } of files) if (name < end) await copyFile(path, join(release, `${name}.sql`))
  return release
}

/** A database without any table, and a folder for its migrations. */
async function scratch(t: Test) {
  const folder = await mkdtemp(join(tmpdir(), 'bettercallsold-migrations-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const [empty, directory] = [join(folder, 'empty'), join(folder, 'migrations')]
  await Promise.all([mkdir(empty), mkdir(directory)])
  const { url, pool } = await createTestDatabase(t, empty)
  return { url, pool, directory, db: createKysely<unknown>(pool) }
}

async function write(directory: string, files: Record<string, string>): Promise<void> {
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text)
}
