import t from 'tap'
import { lowestIdAt } from '#lib/id-range.ts'
import { startApp } from '#test/support/app.ts'

const HOUR_MS = 3_600_000

t.test('a tenant gets so many alerts of a type in an hour, and no more', async (t) => {
  const { app, db, ...service } = await startApp(t)
  const tenants = [service.tenant().id, service.tenant().id]
  const emit = (tenantId = '', event = 'queue.behind') =>
    db.transaction().execute(async (trx) =>
      app.events.emitIn(trx, {
        tenantId,
        event,
        source: 'system',
        data: { plugin: 'x', plugin_id: 'y' },
        mostPerHour: 2,
      }),
    )
  for (let n = 0; n < 4; n++) await emit(tenants[0])
  await emit(tenants[0], 'plugin.failing')
  await emit(tenants[1])
  const count = async (tenantId = ''): Promise<number> =>
    (await db.selectFrom('events').select('id').where('tenant_id', '=', tenantId).execute()).length
  t.equal(await count(tenants[0]), 3, 'two of the one type, one of the other')
  t.equal(await count(tenants[1]), 1)

  const early = lowestIdAt(Date.now() - HOUR_MS - 1_000)
  await db
    .updateTable('events')
    .set({ id: early })
    .where('tenant_id', '=', tenants[0] ?? '')
    .where('event', '=', 'queue.behind')
    .where('id', '=', (eb) =>
      eb
        .selectFrom('events as e')
        .select('e.id')
        .where('e.tenant_id', '=', tenants[0] ?? '')
        .where('e.event', '=', 'queue.behind')
        .orderBy('e.position')
        .orderBy('e.id')
        .limit(1),
    )
    .execute()
  await emit(tenants[0])
  await emit(tenants[0])
  t.equal(await count(tenants[0]), 4, 'one is older than an hour')
})
