import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import type { App } from '#src/app.ts'
import { appOn, type AppOnOptions, until } from '#test/infra/app-on.ts'
import { clientFor, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { startReceiver } from '#test/support/receiver.ts'

const PLUGINS = 8
const EVENTS = 1_000
const ANSWER_MS = 200
const ROUNDS = 3
/** A lane that was handed over may be taken again by its old holder after so long. */
const LEFT_TO_OTHERS_MS = 1_000

/** A worker that finds nothing by looking: each look would be longer away than a test has. */
function bySignalAlone(masterKey: Buffer): AppOnOptions {
  return {
    env: { ROLES: 'api,worker', MASTER_KEY: masterKey.toString('base64'), POLL_MS: '60000' },
    limits: { shareMs: 3_600_000 },
  }
}

/** How many attempts of a process have been answered. */
async function attemptsBy(app: App): Promise<number> {
  const { values } = await app.metrics.deliveryAttempts.get()
  return values.reduce((sum, { value }) => sum + value, 0)
}

/** A worker that holds the lanes of busy plugins, all of them: `held` gives how many each worker holds. */
async function startBusyWorker(t: Test) {
  const { url, db } = await createTestDatabase(t)
  const receiver = await startReceiver(t)
  let gate = Promise.resolve()
  receiver.answer((_received, response) => {
    void gate.then(() => setTimeout(() => response.writeHead(204).end(), ANSWER_MS))
  })
  const options = bySignalAlone(randomBytes(32))
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
  /** Until who holds how many is as given. */
  const untilHeld = (...expected: number[]) => until(held, (lanes) => String(lanes) === String(expected))
  await untilHeld(PLUGINS)
  const holdAnswers = (answered: Promise<void>): void => {
    gate = answered
  }
  return { url, options, first, untilHeld, holdAnswers }
}

t.test('a new worker takes part at once, and so do others in the place of one that leaves', async (t) => {
  const { url, options, untilHeld } = await startBusyWorker(t)
  for (let round = 0; round < ROUNDS; round++) {
    const second = await appOn(t, url, options)
    t.ok(await untilHeld(PLUGINS / 2, PLUGINS / 2))
    const answered = () => attemptsBy(second)
    t.ok(await until(answered, (attempts) => attempts >= PLUGINS), 'and sends')
    await second.close()
    t.ok(await untilHeld(PLUGINS))
  }
})

t.test('it takes part however long what is under way in a lane lasts', async (t) => {
  const { url, options, untilHeld, holdAnswers } = await startBusyWorker(t)
  let answer = (): void => undefined
  holdAnswers(new Promise((resolve) => (answer = resolve)))
  await appOn(t, url, options)
  await delay(1.5 * LEFT_TO_OTHERS_MS)
  answer()
  t.ok(await untilHeld(PLUGINS / 2, PLUGINS / 2))
})

t.test('a worker that cannot open a plugin leaves its lane to others at once', async (t) => {
  const { url, first, untilHeld } = await startBusyWorker(t)
  const unopened = new Set<string>()
  const log = {
    write: (line: string) => {
      const { msg, plugin_id: pluginId } = JSON.parse(line) as { msg: string; plugin_id?: string }
      if (pluginId !== undefined && msg.startsWith('secret_unreadable')) unopened.add(pluginId)
    },
  }
  await appOn(t, url, { ...bySignalAlone(randomBytes(32)), logger: pino({ level: 'error' }, log) })
  await until(
    () => Promise.resolve(unopened.size),
    (size) => size === PLUGINS / 2,
  )
  t.ok(await untilHeld(PLUGINS))
  const before = await attemptsBy(first)
  const answered = () => attemptsBy(first)
  t.ok(await until(answered, (attempts) => attempts >= before + PLUGINS), 'and they send')
})
