import t from 'tap'
import { startApp } from '#test/support/app.ts'
import { eventually } from '#test/support/deliveries.ts'
import { startService, TEST_MASTER_KEY } from '#test/support/service-process.ts'
import { startCountingReceiver } from './counting-receiver.ts'

const EVENTS = 10_000
const PLUGINS = 10
const BATCH = 500
const PATIENCE_MS = 250_000

for (const workers of [2, 4]) {
  t.test(`${workers} workers deliver 10,000 events to 10 plugins, each exactly once`, async (t) => {
    const api = await startApp(t, { env: { MASTER_KEY: TEST_MASTER_KEY } })
    const tenant = api.tenant()
    const receiver = await startCountingReceiver(t)
    for (let index = 0; index < PLUGINS; index++) {
      const response = await tenant.post('/api/plugins', {
        name: `plugin ${index}`,
        webhook_url: `${receiver.url}/${index}`,
        events: [`order.kind${index}`],
        max_in_flight: 8,
        // An answer that a busy machine gives late is no reason to send again.
        timeout_ms: 30_000,
      })
      receiver.expect(`/${index}`, response.json<{ secret: string }>().secret)
    }
    const processes = await Promise.all(
      Array.from({ length: workers }, () =>
        startService(t, { databaseUrl: api.databaseUrl, env: { ROLES: 'worker' } }),
      ),
    )
    const expected = new Set<string>()
    for (let from = 0; from < EVENTS; from += BATCH) {
      const events = Array.from({ length: BATCH }, (_, index) => ({
        event: `order.kind${(from + index) % PLUGINS}`,
        data: { number: from + index },
      }))
      // On a busy machine a batch may wait too long for a lock. Nothing is stored then.
      const response = await eventually('the batch is taken', async () => {
        const answer = await tenant.post('/api/events', { events })
        return answer.statusCode !== 503 && answer
      })
      const { results } = response.json<{ results: { id: string }[] }>()
      for (const [index, { id }] of results.entries()) expected.add(`/${index % PLUGINS} ${id}`)
    }
    const counted = async (): Promise<number> => {
      const counts = await Promise.all(
        processes.map((process) => process.metric('bcs_delivery_attempts_total')),
      )
      return counts.reduce((sum, count) => sum + count, 0)
    }
    await eventually('all attempts are recorded', async () => (await counted()) >= EVENTS, PATIENCE_MS)
    const failed = await api.db
      .selectFrom('delivery_attempts')
      .select(['error_class', 'error_detail', 'duration_ms'])
      .where('error_class', 'is not', null)
      .execute()
    t.strictSame(failed, [], 'no attempt failed')
    t.equal(await counted(), EVENTS)
    t.equal(receiver.total, EVENTS, 'not one duplicate')
    t.strictSame(new Set(receiver.counts.keys()).symmetricDifference(expected), new Set())
    t.strictSame(receiver.faults, [])
    for (const process of processes) t.equal(await process.metric('bcs_fenced_outcomes_total'), 0)
  })
}
