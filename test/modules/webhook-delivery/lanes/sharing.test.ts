import t from 'tap'
import { appOn, until } from '#test/infra/app-on.ts'
import { clientFor, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { startReceiver } from '#test/support/receiver.ts'

const PLUGINS = 8
const EVENTS = 1_000
const ANSWER_MS = 200
const ROUNDS = 3

t.test('a new worker takes part, and so do others in the place of one that leaves', async (t) => {
  const { url, db } = await createTestDatabase(t)
  const receiver = await startReceiver(t)
  receiver.answer((_received, response) => {
    setTimeout(() => response.writeHead(204).end(), ANSWER_MS)
  })
  const options = { env: { ROLES: 'api,worker' } }
  const first = await appOn(t, url, options)
  const tenant = clientFor(first, crypto.randomUUID(), TEST_PLATFORM_KEY)
  for (let plugin = 0; plugin < PLUGINS; plugin++) {
    const body = { name: `p${plugin}`, webhook_url: receiver.url, events: ['order.*'], max_in_flight: 1 }
    t.equal((await tenant.post('/api/plugins', body)).statusCode, 201)
  }
  const events = Array.from({ length: EVENTS }, (_, n) => ({ event: 'order.created', data: { order_id: n } }))
  t.equal((await tenant.post('/api/events', { events })).statusCode, 202)
  const held = async (): Promise<number[]> => {
    const rows = await db
      .selectFrom('delivery_lanes')
      .select(['lease_owner', ({ fn }) => fn.countAll<string>().as('lanes')])
      .where('lease_until', '>', new Date())
      .groupBy('lease_owner')
      .execute()
    return rows.map(({ lanes }) => Number(lanes)).sort()
  }
  await until(held, (lanes) => lanes.length === 1 && lanes[0] === PLUGINS)
  for (let round = 0; round < ROUNDS; round++) {
    const second = await appOn(t, url, options)
    t.ok(await until(held, (lanes) => lanes.length === 2 && lanes.every((count) => count > 1)))
    await second.close()
    t.ok(await until(held, (lanes) => lanes.length === 1 && lanes[0] === PLUGINS))
  }
})
