import t from 'tap'
import { seedPlugins } from '#bench/support/seed.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { eventually } from '#test/support/deliveries.ts'
import { startReceiver } from '#test/support/receiver.ts'
import { startService, TEST_MASTER_KEY } from '#test/support/service-process.ts'

const PLUGINS = 10_000
/** What one request may make is two events for so many. */
const TAKEN = 2
const ROUNDS = 3
const PATIENCE_MS = 400_000
t.setTimeout(900_000)

t.test('a shop with 10,000 plugins: batches come in halves, and another shop is not behind it', async (t) => {
  const { url: databaseUrl, pool } = await createTestDatabase(t)
  const service = await startService(t, { databaseUrl, env: { DELIVERY_TIMEOUT_MS: '30000' } })
  const [large, small] = [crypto.randomUUID(), crypto.randomUUID()]
  const [held, quick] = [await startReceiver(t), await startReceiver(t)]
  let isHeld = true
  const open: (() => void)[] = []
  held.answer((_received, response) => {
    const answer = (): void => void response.writeHead(204).end()
    if (isHeld) open.push(answer)
    else answer()
  })
  await seedPlugins(pool, {
    masterKey: Buffer.from(TEST_MASTER_KEY, 'base64'),
    tenantId: large,
    plugins: Array.from({ length: PLUGINS }, () => ({ url: held.url, event: 'order.created' })),
    maxInFlight: 1,
  })
  const send = async (tenantId: string, count: number) => {
    const events = Array.from({ length: count }, (_, number) => ({
      event: 'order.created',
      data: { number },
    }))
    const response = await service.request('POST', '/api/events', { tenantId, body: { events } })
    return {
      status: response.status,
      body: (await response.json()) as { code?: string; detail?: string },
    }
  }

  const refused = await send(large, 2 * TAKEN)
  t.equal(refused.status, 413)
  t.equal(refused.body.code, 'too_many_deliveries')
  t.match(refused.body.detail, /4 events .* 40000 deliveries.*halves/)
  t.equal((await send(large, TAKEN)).status, 202, 'its half is taken')
  await eventually('its lanes have all that they get', () => open.length >= 100, PATIENCE_MS)

  const plugin = { name: 'Small', webhook_url: quick.url, events: ['order.created'] }
  t.equal((await service.request('POST', '/api/plugins', { tenantId: small, body: plugin })).status, 201)
  for (let count = 1; count <= ROUNDS; count++) {
    t.equal((await send(small, 1)).status, 202)
    await quick.waitFor(count, PATIENCE_MS)
  }
  t.ok(held.received.length < PLUGINS, 'while most of the other shop’s wait')

  isHeld = false
  for (const answer of open) answer()
  await eventually(
    'all are delivered',
    async () => {
      const { rows } = await pool.query<{ sent: number }>(
        `select count(*)::int as sent from deliveries where tenant_id = $1 and status = 'sent'`,
        [large],
      )
      return rows[0]?.sent === TAKEN * PLUGINS
    },
    PATIENCE_MS,
  )
  // An answer that was held back for too long is a failed attempt, and the delivery came again.
  t.ok(held.received.length >= TAKEN * PLUGINS)
  t.equal((await service.request('GET', '/health/ready')).status, 200)
})
