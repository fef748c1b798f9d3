import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { statementsOf } from '#db/concurrent-indexes.ts'
import { migrate } from '#db/migrate.ts'
import { readMigrations } from '#db/migrations.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { eventually } from '#test/support/deliveries.ts'

const log = { info: () => undefined }
const MARK = '-- additive, concurrently\n'

/** A database with a table of orders, and a folder with the migration that indexes it. */
async function scratch(
  t: Test,
  text = `${MARK}create index concurrently orders_name_idx on orders (name);\n`,
) {
  const folder = await mkdtemp(join(tmpdir(), 'bettercallsold-migrations-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const [empty, directory] = [join(folder, 'empty'), join(folder, 'migrations')]
  await Promise.all([mkdir(empty), mkdir(directory)])
  const { url, pool } = await createTestDatabase(t, empty)
  await writeFile(
    join(directory, '0001_orders.sql'),
    `create table orders (id int primary key, name text);\ninsert into orders select n, n::text from generate_series(1, 1000) n;\n`,
  )
  await migrate(url, { directory, log })
  await writeFile(join(directory, '0019_names.sql'), text)
  /** Null: there is none. */
  const isValid = async (): Promise<boolean | null> => {
    const { rows } = await pool.query<{ indisvalid: boolean }>(
      `select indisvalid from pg_index where indexrelid = to_regclass('orders_name_idx')`,
    )
    return rows[0]?.indisvalid ?? null
  }
  /** A transaction that a build has to wait for. */
  const holdBack = async () => {
    const client = await pool.connect()
    await client.query('begin isolation level repeatable read; select from orders')
    return async () => {
      await client.query('rollback')
      client.release()
    }
  }
  const begun = () => eventually('the index is begun', async () => (await isValid()) === false)
  const sessions = async (): Promise<number> =>
    (
      await pool.query(
        `select from pg_stat_activity where datname = current_database() and application_name = 'bcs-migrate'`,
      )
    ).rowCount ?? 0
  return { url, pool, directory, isValid, holdBack, begun, sessions }
}

t.test('others write while an index is built, and other replicas wait for it', async (t) => {
  const { url, pool, directory, isValid, holdBack, begun } = await scratch(t)
  const letGo = await holdBack()
  const migrating = migrate(url, { directory, log })
  await begun()
  const other = migrate(url, { directory, log })
  await pool.query(`set lock_timeout = '10s'`)
  await pool.query(`insert into orders values (0, 'new')`)
  await pool.query(`update orders set name = 'newer' where id = 1`)
  t.equal(await isValid(), false, 'the build has not ended meanwhile')
  await letGo()
  t.same(await migrating, { applied: ['0019_names'] })
  t.same(await other, { applied: [] })
  t.equal(await isValid(), true)
  await pool.query('set enable_seqscan = off')
  t.same((await pool.query(`select id from orders where name = 'newer'`)).rows, [{ id: 1 }])
})

t.test('a migrator that is killed in the middle is gone on with by the next start', async (t) => {
  const { url, pool, directory, isValid, holdBack, begun, sessions } = await scratch(t)
  const letGo = await holdBack()
  const child = spawn(process.execPath, [join(import.meta.dirname, 'migrate-process.ts'), url, directory], {
    stdio: 'ignore',
  })
  t.teardown(() => child.kill('SIGKILL'))
  await begun()
  child.kill('SIGKILL')
  await once(child, 'exit')
  await eventually('the server has given the build up', async () => (await sessions()) === 0)
  t.equal(await isValid(), false, 'what was begun is left')
  await pool.query(`insert into orders values (0, 'between')`)
  await letGo()
  t.same(await migrate(url, { directory, log }), { applied: ['0019_names'] })
  t.equal(await isValid(), true)
  t.same(await migrate(url, { directory, log }), { applied: [] })
})

t.test('a migrator that was killed before it wrote that an index is there builds it once', async (t) => {
  const { url, pool, directory, isValid } = await scratch(t)
  await pool.query('create index concurrently orders_name_idx on orders (name)')
  const { rows } = await pool.query<{ oid: number }>(`select 'orders_name_idx'::regclass::oid as oid`)
  t.same(await migrate(url, { directory, log }), { applied: ['0019_names'] })
  t.equal(await isValid(), true)
  t.same((await pool.query(`select 'orders_name_idx'::regclass::oid as oid`)).rows, rows)
})

t.test('an index takes the place of another one', async (t) => {
  const text =
    `${MARK}-- The new one first: nobody is without.\n` +
    'create index concurrently orders_name_idx\n  on orders (name) where name is not null;\n' +
    'drop index concurrently if exists orders_old_idx;\n'
  const { url, pool, directory, isValid } = await scratch(t, text)
  await pool.query('create index orders_old_idx on orders (name)')
  await migrate(url, { directory, log })
  t.equal(await isValid(), true)
  t.same((await pool.query(`select to_regclass('orders_old_idx') as old`)).rows, [{ old: null }])
})

t.test('an index that cannot be built is told with its file, and repaired by the data', async (t) => {
  const { url, pool, directory, isValid } = await scratch(
    t,
    `${MARK}create unique index concurrently orders_name_idx on orders (name);\n`,
  )
  await pool.query(`insert into orders values (0, '1')`)
  await t.rejects(migrate(url, { directory, log }), { message: /0019_names\.sql: could not create unique/ })
  t.equal(await isValid(), false)
  await pool.query('delete from orders where id = 0')
  t.same(await migrate(url, { directory, log }), { applied: ['0019_names'] })
  t.equal(await isValid(), true)
})

t.test('files that cannot be gone on with are refused', async (t) => {
  const { directory } = await scratch(t)
  const path = join(directory, '0019_names.sql')
  for (const [text, message] of [
    [`${MARK}alter table orders add column total int;\n`, /has only "create index concurrently/],
    [`${MARK}create index orders_name_idx on orders (name);\n`, /has only "create index concurrently/],
    [`${MARK}create index concurrently on orders (name);\n`, /has only "create index concurrently/],
    ['-- additive\ncreate index concurrently orders_name_idx on orders (name);\n', /the first line/],
  ] as const) {
    await writeFile(path, text)
    await t.rejects(readMigrations(directory), { message })
  }
  await writeFile(path, '-- additive\n-- Not built concurrently: it is small.\nselect 1;\n')
  t.equal((await readMigrations(directory)).at(-1)?.indexes, null)
})

/** Tables that grow with what shops do. An index on them takes minutes to build. */
const LARGE = [
  'action_invocations',
  'action_stats',
  'audit_log',
  'automation_enrolments',
  'automation_event_log',
  'automation_executions',
  'automation_messages',
  'automation_steps',
  'automation_waits',
  'deliveries',
  'delivery_attempts',
  'delivery_stats',
  'events',
  'execution_stats',
]
/** Those before it hold writes of the tables that docs/operations.md names, and are applied as they are. */
const FIRST = 66

/** Statements that hold the writes of a large table for as long as it takes to read it. */
function holdingWrites(text: string): string[] {
  const table = `(?:only )?(?:public\\.)?"?(?:${LARGE.join('|')})"?\\b`
  const found = [
    new RegExp(`^create (?:unique )?index (?!concurrently)(?:if not exists )?\\w* ?on ${table}`, 'i'),
    new RegExp(
      `^alter table (?:if exists )?${table}.*\\b(?:add (?:constraint \\w+ )?(?:primary key|unique|exclude)\\b(?! using index)|type\\b|set logged|set unlogged)`,
      'i',
    ),
    new RegExp(`^(?:reindex (?:table|index) (?!concurrently)|cluster |vacuum full )`, 'i'),
  ]
  return statementsOf(text).filter((statement) => found.some((pattern) => pattern.test(statement)))
}

t.test('new migrations hold no writes of a large table while they read it', async (t) => {
  for (const { name, text } of await readMigrations()) {
    if (Number(name.slice(0, 4)) >= FIRST) t.strictSame(holdingWrites(text), [], name)
  }
  const { rows } = await (
    await createTestDatabase(t)
  ).pool.query<{ name: string }>(
    `select relname as name from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace`,
  )
  const tables = new Set(rows.map(({ name }) => name))
  t.strictSame(
    LARGE.filter((name) => !tables.has(name)),
    [],
    'each of them is there',
  )
  const all = (await readMigrations()).filter(({ text }) => holdingWrites(text).length > 0)
  t.ok(
    all.some(({ name }) => name.startsWith('0044_')),
    'one of those that did is found',
  )
  t.equal(holdingWrites('alter table events add constraint e_key unique (id)').length, 1)
  t.equal(holdingWrites('alter table events alter column body type jsonb').length, 1)
  t.equal(holdingWrites('alter table events add column more text').length, 0)
})
