import { sql } from 'kysely'
import t from 'tap'
import { withSessionLock } from '#infra/session-lock-repository.ts'
import { createTestDatabase } from '#test/support/database.ts'

const { db } = await createTestDatabase(t)
const free = (lock: 'retention' | 'storage'): Promise<true | null> =>
  withSessionLock(db, lock, () => Promise.resolve(true as const))

t.test('one at a time has a lock, and others have other ones', async (t) => {
  const done = await withSessionLock(db, 'retention', async () => {
    t.equal(await free('retention'), null)
    t.equal(await free('storage'), true)
    return 'done'
  })
  t.equal(done, 'done')
  t.equal(await free('retention'), true)
})

t.test('a lock ends with its work, also when that fails', async (t) => {
  await t.rejects(
    withSessionLock(db, 'retention', () => Promise.reject(new Error('it failed'))),
    { message: 'it failed' },
  )
  t.equal(await free('retention'), true)
})

t.test('a lock ends with the connection of its work', async (t) => {
  const work = withSessionLock(db, 'retention', async (session) => {
    const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(session)
    await sql`select pg_terminate_backend(${rows[0]?.pid})`.execute(db)
    await sql`select 1`.execute(session)
  })
  await t.rejects(work)
  t.equal(await free('retention'), true)
})

t.test('the server looks after a silent holder within a minute', async (t) => {
  await withSessionLock(db, 'retention', async (session) => {
    const { rows } = await sql<Record<string, string>>`
      select current_setting('tcp_keepalives_idle') as idle, current_setting('tcp_keepalives_interval') as interval,
        current_setting('tcp_keepalives_count') as count`.execute(session)
    t.strictSame(rows, [{ idle: '30', interval: '10', count: '3' }])
  })
})
