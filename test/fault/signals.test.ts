import t from 'tap'
import { startApp } from '#test/support/app.ts'
import { eventually } from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { startService, TEST_MASTER_KEY } from '#test/support/service-process.ts'

/** The interval between looks: work that waits for one waits so long, and for a second one twice as long. */
const POLL_MS = 60_000
/** Far more than a signal takes on any machine, and less than from one look to the next. */
const PATIENCE_MS = 45_000
const ROUNDS = 3
/** Events are looked for every 4 s whatever POLL_MS is: one behind the other, each waits longer by looking alone. */
const BELOW_LOOK_MS = 3_000
/** A slow machine may take longer for some of them, but not for most. */
const EVENTS = 9

t.test('another process is told of what is due, and does not find it by looking', async (t) => {
  const api = await startApp(t, { env: { MASTER_KEY: TEST_MASTER_KEY } })
  const receiver = await startReceiver(t)
  await startService(t, {
    databaseUrl: api.databaseUrl,
    env: { ROLES: 'worker', POLL_MS: String(POLL_MS) },
  })
  const tenant = api.tenant()
  const send = async (event: string): Promise<void> => {
    const response = await tenant.post('/api/events', { event, data: { order_id: 1 } })
    t.equal(response.statusCode, 202, response.body)
  }

  t.test('of deliveries', async (t) => {
    const plugin = { name: 'Woken', slug: 'woken', webhook_url: receiver.url, events: ['order.created'] }
    t.equal((await tenant.post('/api/plugins', plugin)).statusCode, 201)
    for (let round = 1; round <= ROUNDS; round++) {
      await send('order.created')
      await eventually('it is delivered', () => receiver.received.length === round, PATIENCE_MS)
    }
  })

  t.test('of events that start flows', async (t) => {
    const response = await tenant.post('/api/automation/flows', {
      name: 'woken',
      status: 'active',
      trigger: { type: 'event', event_types: ['order.paid'] },
      steps: [{ id: 'a', type: 'set', variables: { value: '{{trigger.order_id}}' } }],
    })
    t.equal(response.statusCode, 201, response.body)
    let told = 0
    for (let round = 1; round <= EVENTS; round++) {
      const sentAt = performance.now()
      await send('order.paid')
      await eventually('it has run', async () => {
        const ends = await api.db
          .selectFrom('automation_executions')
          .select('id')
          .where('tenant_id', '=', tenant.id)
          .where('status', '=', 'completed')
          .execute()
        return ends.length === round
      })
      if (performance.now() - sentAt < BELOW_LOOK_MS) told++
    }
    t.ok(told > EVENTS / 2, `${told} of ${EVENTS} did not wait for a look`)
  })
})
