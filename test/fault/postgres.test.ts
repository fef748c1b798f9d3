import pg from 'pg'
import t from 'tap'
import { createKysely, createPool } from '#db/connection.ts'
import type { DB } from '#db/schema.ts'
import { eventually, statusesOf } from '#test/support/deliveries.ts'
import { startPrivatePostgres } from '#test/support/postgres-server.ts'
import { isReady, startService } from '#test/support/service-process.ts'
import { startCountingReceiver } from './counting-receiver.ts'
import { EventSender, registerAt } from './load.ts'

t.setTimeout(300_000)

/** An answer within 2 s is promised; the rest is for a machine that runs Postgres, service, sender and receiver. */
const ANSWER_MS = 2_000 + 500
const READY_MS = 5_000

t.test('Postgres may go away and come back under load: nothing that was acknowledged is lost', async (t) => {
  const postgres = await startPrivatePostgres(t)
  await durableCommits(postgres.url)
  const receiver = await startCountingReceiver(t)
  const tenantId = crypto.randomUUID()
  const service = await startService(t, { databaseUrl: postgres.url, env: { LEASE_MS: '5000' } })
  const plugin = await registerAt(service, tenantId, receiver, '/orders', { max_in_flight: 16 })
  const sender = new EventSender(() => service, tenantId)
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
  await eventually('requests are refused for three seconds', () => performance.now() - awayAt > 3_000)
  const backAt = performance.now()
  const refused = sender.attempts.filter(({ startedAt }) => startedAt > awayAt)
  t.ok(refused.length > 8)
  t.strictSame([...new Set(refused.map(({ status }) => status))], [503])
  await postgres.start()
  const startedAt = performance.now()
  await eventually('it is ready again', () => isReady(service))
  const readyMs = performance.now() - startedAt
  t.ok(
    readyMs < READY_MS,
    `ready ${Math.round(readyMs)} ms after Postgres, which was away for ${Math.round(startedAt - backAt)} ms more`,
  )
  await acknowledgeMore(200)
  sender.stop()
  await sending

  t.strictSame([...new Set(sender.attempts.map(({ status }) => status))].toSorted(), [202, 503])
  const slowest = Math.max(...sender.attempts.map(({ tookMs }) => tookMs))
  t.ok(slowest < ANSWER_MS, `the slowest answer took ${Math.round(slowest)} ms`)
  const db = createKysely<DB>(
    createPool(postgres.url, {
      max: 1,
      applicationName: 'bcs-test',
      statementTimeoutMs: 30_000,
      lockTimeoutMs: 10_000,
      idleInTransactionTimeoutMs: 30_000,
      connectionTimeoutMs: 10_000,
    }),
  )
  await eventually('everything is delivered', async () => {
    const { sent, ...others } = await statusesOf(db, plugin.id)
    return (sent ?? 0) >= sender.acknowledged.size && Object.keys(others).length === 0
  })
  await db.destroy()
  const lost = [...sender.acknowledged].filter((id) => !receiver.counts.has(`/orders ${id}`))
  t.strictSame(lost, [])
  t.strictSame(receiver.faults, [])
  t.comment(`${sender.acknowledged.size} acknowledged, ${receiver.total - receiver.counts.size} duplicates`)

  t.test('and a process that is told to end while Postgres is away ends properly', async (t) => {
    await postgres.stop('immediate')
    service.kill('SIGTERM')
    const { code, tookMs } = await service.exited
    t.equal(code, 0, service.log.slice(-3).join('\n'))
    t.ok(tookMs < 10_000, `within ${Math.round(tookMs)} ms`)
  })
})

/** The tests' servers do not wait for the disk. What a crash may lose here is what is being tested. */
async function durableCommits(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query('alter database postgres set synchronous_commit = on')
  await client.end()
}
