import { sql } from 'kysely'
import t from 'tap'
import { migratedPrivatePostgres } from '#test/infra/app-on.ts'
import { TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { serve } from '#test/support/serve.ts'

const MASTER_KEY = Buffer.alloc(32, 7).toString('base64')

t.test('replicas that start at once on an empty database all become ready', async (t) => {
  const { url, db } = await createTestDatabase(t)
  await sql`drop schema public cascade`.execute(db)
  await sql`drop schema migrations cascade`.execute(db)
  await sql`create schema public`.execute(db)
  const env = { DATABASE_URL: url, MASTER_KEY, PLATFORM_KEY: TEST_PLATFORM_KEY }
  const servers = await Promise.all([serve(t, env), serve(t, env), serve(t, { ...env, ROLES: 'worker' })])
  for (const server of servers) {
    t.equal((await fetch(`${await server.url()}/health/ready`)).status, 200)
  }
})

t.test('a database newer than this version: it stays up, says so, and is not ready', async (t) => {
  const { url, db } = await createTestDatabase(t)
  await sql`insert into migrations.checksums values ('9999_future', 'x')`.execute(db)
  const server = await serve(t, { DATABASE_URL: url, MASTER_KEY, PLATFORM_KEY: TEST_PLATFORM_KEY })
  const address = await server.url()
  t.equal((await server.line(/newer than this version/)).level, 'error')
  t.equal((await fetch(`${address}/health/live`)).status, 200)
  t.equal((await fetch(`${address}/health/ready`)).status, 503)
})

t.test('a database that a newer version only added to: it says so, and is ready', async (t) => {
  const { url, db } = await createTestDatabase(t)
  await sql`insert into migrations.checksums (name, sha256, kind) values ('9999_future', 'x', 'additive')`.execute(
    db,
  )
  const server = await serve(t, { DATABASE_URL: url, MASTER_KEY, PLATFORM_KEY: TEST_PLATFORM_KEY })
  const address = await server.url()
  t.equal((await server.line(/newer than this version/)).level, 'warn')
  t.equal((await fetch(`${address}/health/ready`)).status, 200)
})

t.test('it waits for a database that comes up later', async (t) => {
  const postgres = await migratedPrivatePostgres(t)
  await postgres.stop()
  const server = await serve(t, { DATABASE_URL: postgres.url, MASTER_KEY, PLATFORM_KEY: TEST_PLATFORM_KEY })
  await server.line(/does not answer yet/)
  await postgres.start()
  t.equal((await fetch(`${await server.url()}/health/ready`)).status, 200)
})

t.test('a worker serves health and metrics, for the one who checks on it', async (t) => {
  const { url } = await createTestDatabase(t)
  const server = await serve(t, {
    DATABASE_URL: url,
    MASTER_KEY,
    PLATFORM_KEY: TEST_PLATFORM_KEY,
    ROLES: 'worker',
  })
  const address = await server.url()
  t.equal((await fetch(`${address}/health/ready`)).status, 200)
  const headers = { authorization: `Bearer ${TEST_PLATFORM_KEY}` }
  t.equal((await fetch(`${address}/metrics`, { headers })).status, 200)
  t.equal((await fetch(`${address}/api/plugins`, { headers })).status, 404)
})
