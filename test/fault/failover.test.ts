import t from 'tap'
import { eventually } from '#test/support/deliveries.ts'
import { startReplicatedPostgres } from '#test/support/replicated-postgres.ts'
import { startService } from '#test/support/service-process.ts'

const LOST = 40
const AFTER = 10
const PATIENCE_MS = 60_000

t.setTimeout(5 * PATIENCE_MS)

t.test('a standby that lagged is promoted: the feed goes on, and what is gone is told', async (t) => {
  const postgres = await startReplicatedPostgres(t)
  const service = await startService(t, { databaseUrl: postgres.url, env: { LOG_LEVEL: 'warn' } })
  const tenantId = crypto.randomUUID()
  await send('before', 5)
  await postgres.detachStandby()
  await send('lost', LOST)
  const before = await readAll()
  t.equal(before.ids.length, 5 + LOST, 'readers have seen what will be lost')

  await postgres.failOver()
  await send('after', AFTER)
  const after = await readAll(before.cursor)
  t.strictSame(
    after.ids,
    Array.from({ length: AFTER }, (_, number) => `after-${number}`),
    'a reader who had gone further than the standby sees all that is new',
  )
  const told = await eventually(
    'the loss is logged',
    () => service.log.map(parsed).find(({ lost }) => lost !== undefined),
    PATIENCE_MS,
  )
  t.match(told, { level: 'error', lost: LOST, tenants: 1, since: String, until: String })
  t.equal((told['event_ids'] as unknown[]).length, 10)
  const metrics = await (await service.request('GET', '/metrics')).text()
  t.match(metrics, new RegExp(`^bcs_events_lost_total ${LOST}$`, 'm'))
  t.equal((await service.request('GET', '/health/ready')).status, 200)

  async function send(name: string, count: number): Promise<void> {
    for (let number = 0; number < count; number++) {
      const id = `${name}-${number}`
      await eventually(
        `${id} is accepted`,
        async () => {
          const body = { id, event: 'order.created', data: { number } }
          const response = await service
            .request('POST', '/api/events', { tenantId, body })
            .catch(() => undefined)
          await response?.text().catch(() => undefined)
          return response?.status === 202
        },
        PATIENCE_MS,
      )
    }
  }

  async function readAll(cursor?: string): Promise<{ ids: string[]; cursor: string }> {
    const ids: string[] = []
    let after = cursor
    for (;;) {
      const query = new URLSearchParams({ limit: '100', ...(after !== undefined && { after }) })
      const response = await service.request('GET', `/api/events?${query.toString()}`, { tenantId })
      const page = (await response.json()) as { data: { source_id: string }[]; next_cursor: string }
      ids.push(...page.data.map(({ source_id }) => source_id))
      after = page.next_cursor
      if (page.data.length === 0) return { ids, cursor: after }
    }
  }
})

function parsed(line: string): Record<string, unknown> {
  try {
    return JSON.parse(line) as Record<string, unknown>
  } catch {
    return {}
  }
}
