import type { Kysely } from 'kysely'
import t from 'tap'
import type { DB } from '#db/schema.ts'
import type { RecoveredPlugin, Recovery } from '#modules/replay/recovery/schemas.ts'
import { idAt, seedPlugin } from '#test/modules/replay/support.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { eventually } from '#test/support/deliveries.ts'
import { type ServiceProcess, startService } from '#test/support/service-process.ts'

t.setTimeout(300_000)

const TENANTS = 3
const PLUGINS = 4
const EVENTS = 1_500
const TOTAL = TENANTS * PLUGINS * EVENTS
/** The shares of the events that have been looked at when the service is killed. */
const KILLED_AT = [0, 0.25, 0.5, 0.75]

t.test(
  'a recovery of all tenants is killed over and over, and leaves nothing out and does nothing twice',
  async (t) => {
    const { db, url: databaseUrl } = await createTestDatabase(t)
    const options = { databaseUrl, env: { LEASE_MS: '2000' } }
    let service: ServiceProcess = await startService(t, options)
    const port = Number(new URL(service.url).port)
    const plugins: string[] = []
    for (let count = 0; count < TENANTS; count++) {
      const tenantId = crypto.randomUUID()
      await seedEvents(db, tenantId)
      // Paused: queued deliveries stay to be counted.
      for (let each = 0; each < PLUGINS; each++) plugins.push((await seedPlugin(db, tenantId)).id)
      await db.updateTable('plugins').set({ status: 'paused' }).where('tenant_id', '=', tenantId).execute()
    }

    const created = await service.request('POST', '/api/recoveries', {
      body: { since: '2020-01-01T00:00:00Z', all_tenants: true },
    })
    t.equal(created.status, 202)
    const { id } = (await created.json()) as Recovery
    for (const share of KILLED_AT) {
      await eventually('the moment of the kill', async () => (await scannedOf(db)) >= share * TOTAL, 60_000)
      service.kill('SIGKILL')
      await service.exited
      service = await startService(t, { ...options, port })
    }
    const done = await eventually(
      'it is completed',
      async () => {
        const answer = await service.request('GET', `/api/recoveries/${id}`)
        const recovery = (await answer.json()) as Recovery
        return recovery.status === 'completed' && recovery
      },
      120_000,
    )
    t.match(done, { plugins: plugins.length, plugins_open: 0, scanned: TOTAL, queued: TOTAL, skipped: 0 })
    const answer = await service.request('GET', `/api/recoveries/${id}/plugins`)
    const { data } = (await answer.json()) as { data: RecoveredPlugin[] }
    t.equal(data.length, plugins.length)
    for (const plugin of data) t.match(plugin, { status: 'completed', queued: EVENTS })
    for (const pluginId of plugins) {
      const { deliveries, events } = await db
        .selectFrom('deliveries')
        .select((eb) => [
          eb.fn.countAll<number>().as('deliveries'),
          eb.fn.count<number>('event_id').distinct().as('events'),
        ])
        .where('plugin_id', '=', pluginId)
        .executeTakeFirstOrThrow()
      t.same({ deliveries, events }, { deliveries: EVENTS, events: EVENTS })
    }
  },
)

async function seedEvents(db: Kysely<DB>, tenantId: string): Promise<void> {
  const now = Date.now()
  const rows = Array.from({ length: EVENTS }, (_, index) => {
    const at = new Date(now - (EVENTS - index) * 60_000)
    return {
      tenant_id: tenantId,
      id: idAt(at),
      fingerprint: Buffer.alloc(32),
      event: 'order.created',
      source: 'api' as const,
      occurred_at: at,
      received_at: at,
      body: JSON.stringify({ event: 'order.created', tenant_id: tenantId, timestamp: at, data: { index } }),
    }
  })
  await db.insertInto('events').values(rows).execute()
}

async function scannedOf(db: Kysely<DB>): Promise<number> {
  const { scanned } = await db
    .selectFrom('replays')
    .select((eb) => eb.fn.sum<string | null>('scanned').as('scanned'))
    .executeTakeFirstOrThrow()
  return Number(scanned ?? 0)
}
