import { sql } from 'kysely'
import t from 'tap'
import { startApp } from '#test/support/app.ts'
import { eventually } from '#test/support/deliveries.ts'

t.test('slow reads of one shop leave connections for the others', async (t) => {
  const service = await startApp(t, { env: { DATABASE_API_CONNECTIONS: '4' } })
  const { app, db } = service
  const [slow, other] = [service.tenant(), service.tenant()]
  const waitingReads = async (): Promise<number> => {
    const { rows } = await sql<{ count: number }>`select count(*)::int as count from pg_stat_activity
      where application_name = 'bcs-api' and wait_event_type = 'Lock' and datname = current_database()`.execute(
      db,
    )
    return rows[0]?.count ?? 0
  }
  const answers: number[] = []
  await db.transaction().execute(async (trx) => {
    await sql`lock table plugins in access exclusive mode`.execute(trx)
    const reads = Array.from({ length: 12 }, async () => {
      answers.push((await slow.get('/api/plugins')).statusCode)
    })
    await eventually('its share waits for the lock', async () => (await waitingReads()) === 2)
    for (let count = 0; count < 5; count++) {
      t.equal((await other.get('/api/audit-log')).statusCode, 200, 'another shop is answered')
    }
    t.ok((await waitingReads()) <= 2, 'and the others of its reads wait in memory')
    void Promise.all(reads)
  })
  await eventually('all of its reads have been answered', () => answers.length === 12)
  t.equal(app.pools.api.waitingCount, 0)
})
