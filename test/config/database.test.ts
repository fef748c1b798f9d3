import t from 'tap'
import { migrationStatus } from '#db/migrate.ts'
import { createKysely } from '#db/connection.ts'
import { createTestDatabase, type TestDatabase } from '#test/support/database.ts'

t.test('every test gets a migrated database of its own, which goes away with it', async (t) => {
  const observer = await createTestDatabase(t)
  let gone: TestDatabase | undefined
  await t.test('two at once', async (t) => {
    const began = performance.now()
    const [one, other] = await Promise.all([createTestDatabase(t), createTestDatabase(t)])
    t.comment(`two clones at once: ${Math.round(performance.now() - began)} ms`)
    t.match(await migrationStatus(createKysely<unknown>(one.pool)), { state: 'current' })
    await one.pool.query('create table mine (n int)')
    t.same((await other.pool.query("select to_regclass('mine') as mine")).rows, [{ mine: null }])
    gone = one
  })
  const name = new URL(gone?.url ?? '').pathname.slice(1)
  const { rows } = await observer.pool.query('select datname from pg_database where datname = $1', [name])
  t.same(rows, [])
})
