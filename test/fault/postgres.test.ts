import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { openDatabase } from '#test/support/database.ts'
import { eventually, statusesOf } from '#test/support/deliveries.ts'
import { startPrivatePostgres } from '#test/support/postgres-server.ts'
import {
  isReady,
  refusedRequests,
  type ServiceProcess,
  startService,
  MAX_TRIES,
  TRY_AGAIN_MS,
} from '#test/support/service-process.ts'
import { startCountingReceiver } from './counting-receiver.ts'
import { EventSender, registerAt } from './load.ts'

/**
 * Is promised of every refusal, on a machine that has the time; requests that need no database show how much it has.
 */
const ANSWER_MS = 2_000

t.test('Postgres may go away and come back under load: nothing that was acknowledged is lost', async (t) => {
  const postgres = await startPrivatePostgres(t)
  const receiver = await startCountingReceiver(t)
  const tenantId = crypto.randomUUID()
  const service = await startService(t, { databaseUrl: postgres.url, env: { LEASE_MS: '5000' } })
  const plugin = await registerAt(service, tenantId, receiver, '/orders', { max_in_flight: 16 })
  const sender = new EventSender(() => service, tenantId)
  const besides = watchLiveness(service)
  const sending = sender.send(Infinity, 8)
  const acknowledgeMore = async (count: number): Promise<void> => {
    const target = sender.acknowledged.size + count
    await eventually(`${count} more are acknowledged`, () => sender.acknowledged.size >= target)
  }

  await acknowledgeMore(200)
  for (let round = 0; round < 3; round++) {
    t.ok((await postgres.terminateBackends()) > 0, 'every session is ended')
    await acknowledgeMore(100)
  }

  await postgres.stop('immediate')
  const awayAt = performance.now()
  await eventually('it says that it is not ready', async () => !(await isReady(service)))
  const refused = await eventually('each client was refused several times', () => {
    const since = sender.attempts.filter(({ startedAt }) => startedAt > awayAt)
    return since.length >= 40 && since
  })
  t.strictSame([...new Set(refused.map(({ status }) => status))], [503])
  await postgres.start()
  await eventually('it is ready again', () => isReady(service))
  await acknowledgeMore(200)
  sender.stop()
  await sending
  const slowestBeside = await besides.stop()
  // Of those alone: one that is taken waits for the disk as long as the disk needs.
  const slowest = Math.max(...refused.map(({ tookMs }) => tookMs))
  const allowed = ANSWER_MS + slowestBeside + Math.min(refusedRequests(), MAX_TRIES - 1) * TRY_AGAIN_MS
  t.ok(slowest < allowed, `${slowest} ms, and ${slowestBeside} ms without the database`)

  t.strictSame([...new Set(sender.attempts.map(({ status }) => status))].toSorted(), [202, 503])
  const db = openDatabase(t, postgres.url, 1)
  await eventually('everything is delivered', async () => {
    const { sent, ...others } = await statusesOf(db, plugin.id)
    return (sent ?? 0) >= sender.acknowledged.size && Object.keys(others).length === 0
  })
  const lost = [...sender.acknowledged].filter((id) => !receiver.counts.has(`/orders ${id}`))
  t.strictSame(lost, [])
  t.strictSame(receiver.faults, [])
  t.comment(`${sender.acknowledged.size} acknowledged, ${receiver.total - receiver.counts.size} duplicates`)

  t.test('and a process that is told to end while Postgres is away ends properly', async (t) => {
    await postgres.stop('immediate')
    service.kill('SIGTERM')
    const { code } = await service.exited
    t.equal(code, 0, service.log.slice(-3).join('\n'))
  })
})

/**
 * Sends the same process, all the time, requests that need no database. @returns a function that ends it and gives
 * the slowest answer
 */
function watchLiveness(service: ServiceProcess): { stop(): Promise<number> } {
  let [isStopped, slowest] = [false, 0]
  const watching = (async () => {
    while (!isStopped) {
      const startedAt = performance.now()
      await (await service.request('GET', '/health/live')).text()
      slowest = Math.max(slowest, performance.now() - startedAt)
      await delay(WATCH_STEP_MS)
    }
  })()
  return {
    async stop() {
      isStopped = true
      await watching
      return slowest
    },
  }
}

const WATCH_STEP_MS = 20
