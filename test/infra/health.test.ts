import { sql } from 'kysely'
import t from 'tap'
import { createTestDatabase } from '#test/support/database.ts'
import { insertDueDelivery } from './due-delivery.ts'
import { appOn, inTime, migratedPrivatePostgres, statementsOf, until, whileTimeStands } from './app-on.ts'

interface Readiness {
  status: string
  checks: Record<'database' | 'migrations' | 'worker', { status: string; detail: string }>
}

t.test('a migrated database makes the service ready, and nobody needs a key to ask', async (t) => {
  const { url } = await createTestDatabase(t)
  const app = await appOn(t, url)
  const live = await app.inject('/health/live')
  t.equal(live.statusCode, 200)
  t.strictSame(live.json(), { status: 'ok' })
  const ready = await app.inject('/health/ready')
  t.equal(ready.statusCode, 200)
  t.match(ready.json(), {
    status: 'ready',
    checks: { database: { status: 'ok' }, migrations: { status: 'ok' }, worker: { status: 'ok' } },
  })
})

t.test('without its database it lives, is not ready, and tells nothing about it', async (t) => {
  const postgres = await migratedPrivatePostgres(t)
  const app = await appOn(t, postgres.url)
  await postgres.stop('immediate')
  t.equal((await app.inject('/health/live')).statusCode, 200)
  const { answer: ready, isInTime } = await inTime(async () => app.inject('/health/ready'))
  t.ok(isInTime, 'within 2 s')
  t.equal(ready.statusCode, 503)
  t.match(ready.json(), { status: 'not_ready', checks: { database: { status: 'failed' } } })
  const { host, port, password, username } = new URL(postgres.url)
  for (const part of [host, port, password, username, 'ECONN']) t.notMatch(ready.body, part)
})

t.test('a database behind this version makes it not ready and says what is missing', async (t) => {
  const { url, db } = await createTestDatabase(t)
  await sql`delete from migrations.checksums where name = '0001_init'`.execute(db)
  const app = await appOn(t, url)
  const ready = await app.inject('/health/ready')
  t.equal(ready.statusCode, 503)
  t.match(ready.json<Readiness>().checks.migrations, { status: 'failed', detail: /older .*0001_init/ })
})

t.test('a database ahead of this version makes it not ready and says so', async (t) => {
  const { url, db } = await createTestDatabase(t)
  await sql`insert into migrations.checksums values ('9999_future', 'x')`.execute(db)
  const app = await appOn(t, url)
  const ready = await app.inject('/health/ready')
  t.equal(ready.statusCode, 503)
  t.match(ready.json<Readiness>().checks.migrations, { status: 'failed', detail: /newer .*9999_future/ })
})

t.test('a database that a newer version only added to is a warning', async (t) => {
  const { url, db } = await createTestDatabase(t)
  await sql`insert into migrations.checksums (name, sha256, kind) values ('9999_future', 'x', 'additive')`.execute(
    db,
  )
  const app = await appOn(t, url)
  const ready = await app.inject('/health/ready')
  t.equal(ready.statusCode, 200)
  t.match(ready.json<Readiness>().checks.migrations, { status: 'warning', detail: /newer .*9999_future/ })
})

t.test('due work that nobody takes is a warning: sending requests elsewhere would not help', async (t) => {
  const { url, db } = await createTestDatabase(t)
  await insertDueDelivery(db, { dueSecondsAgo: 120 })
  const app = await appOn(t, url)
  const ready = await app.inject('/health/ready')
  t.equal(ready.statusCode, 200)
  t.match(ready.json<Readiness>(), {
    status: 'ready',
    checks: { worker: { status: 'warning', detail: /[1-9]\d\d s.*is one running\?/ } },
  })
})

t.test('a write that hangs is none that works: not ready until one succeeds', async (t) => {
  const { url, pool } = await createTestDatabase(t)
  const app = await appOn(t, url)
  app.databaseRefusal.isSuspected = true
  const locker = await pool.connect()
  try {
    // Reads go on, and no table can be made.
    await locker.query('begin; lock table pg_catalog.pg_class in share mode')
    const hanging = await app.inject('/health/ready')
    t.equal(hanging.statusCode, 503)
    t.match(hanging.json<Readiness>().checks.database, { status: 'failed', detail: 'It takes no writes.' })
  } finally {
    await locker.query('rollback')
    locker.release()
  }
  const ready = await until(
    async () => app.inject('/health/ready'),
    ({ statusCode }) => statusCode === 200,
  )
  t.equal(ready.json<Readiness>().checks.database.status, 'ok')
})

t.test('told to stop it is not ready at once, and still lives', async (t) => {
  const { url } = await createTestDatabase(t)
  const app = await appOn(t, url)
  t.equal((await app.inject('/health/ready')).statusCode, 200)
  app.drain()
  const ready = await app.inject('/health/ready')
  t.equal(ready.statusCode, 503)
  t.equal(ready.json<Readiness>().status, 'draining')
  t.equal((await app.inject('/health/live')).statusCode, 200)
})

t.test('before it closes it may be not ready for a while, and answer all the same', async (t) => {
  const { url } = await createTestDatabase(t)
  const app = await appOn(t, url, { openTenantId: crypto.randomUUID() })
  t.not((await app.inject('/api/plugins')).headers.connection, 'close')
  app.retire()
  const ready = await app.inject('/health/ready')
  t.equal(ready.statusCode, 503)
  t.equal(ready.json<Readiness>().status, 'draining')
  const answer = await app.inject('/api/plugins')
  t.equal(answer.statusCode, 200)
  t.equal(answer.headers.connection, 'close', 'nobody keeps a connection that is about to end')
  t.notOk(app.draining.aborted)
})

t.test('however many ask, the database is looked at once a second', async (t) => {
  const { url } = await createTestDatabase(t)
  const app = await appOn(t, url)
  const statements = statementsOf(app.pools.api)
  await whileTimeStands(async () => {
    const answers = await Promise.all(Array.from({ length: 200 }, () => app.inject('/health/ready')))
    t.ok(answers.every(({ statusCode }) => statusCode === 200))
    t.ok(statements.length > 0)
    t.strictSame(
      statements.filter((text, at) => statements.indexOf(text) !== at),
      [],
      'nothing is asked twice',
    )
    const once = statements.length
    t.equal((await app.inject('/health/ready')).statusCode, 200)
    t.equal(statements.length, once)
  })
})

t.test('a process that is only a worker serves health and metrics and nothing else', async (t) => {
  const { url } = await createTestDatabase(t)
  const app = await appOn(t, url, { env: { ROLES: 'worker' }, openTenantId: crypto.randomUUID() })
  for (const path of ['/health/live', '/health/ready', '/metrics']) {
    t.equal((await app.inject(path)).statusCode, 200, path)
  }
  for (const path of ['/api/plugins', '/api/events', '/openapi.json', '/docs']) {
    t.equal((await app.inject(path)).statusCode, 404, path)
  }
})
