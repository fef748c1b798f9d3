import { sql } from 'kysely'
import t from 'tap'
import { newId } from '#lib/ids.ts'
import { startApp } from '#test/support/app.ts'

const service = await startApp(t)

t.test("an action's result is written without touching an index", async (t) => {
  const shop = service.tenant()
  const hotUpdates = await service.db.transaction().execute(async (trx) => {
    await trx
      .insertInto('action_invocations')
      .values({
        tenant_id: shop.id,
        id: newId(),
        flow_execution_id: newId(),
        event_key: '#0',
        action_type: 'create_task',
        fingerprint: Buffer.alloc(32),
        status: 'running',
        lease_until: new Date(),
      })
      .execute()
    await trx
      .updateTable('action_invocations')
      .set({ status: 'succeeded', lease_until: null, complete_until: null, finished_at: new Date() })
      .where('tenant_id', '=', shop.id)
      .execute()
    const { rows } = await sql<{ updates: number; hot: number }>`
      select n_tup_upd as updates, n_tup_hot_upd as hot from pg_stat_xact_user_tables
      where relname = 'action_invocations'`.execute(trx)
    return rows[0]
  })
  t.strictSame(hotUpdates, { updates: 1, hot: 1 }, 'a heap-only update')
})
