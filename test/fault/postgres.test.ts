import pg from 'pg'
import t from 'tap'
import { createKysely, createPool } from '#db/connection.ts'
import type { DB } from '#db/schema.ts'
import { eventually, statusesOf } from '#test/support/deliveries.ts'
import { startPrivatePostgres } from '#test/support/postgres-server.ts'
import { isReady, startService } from '#test/support/service-process.ts'
import { startCountingReceiver } from './counting-receiver.ts'
import { EventSender, registerAt } from './load.ts'

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

  t.strictSame([...new Set(sender.attempts.map(({ status }) => status))].toSorted(), [202, 503])
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
    const { code } = await service.exited
    t.equal(code, 0, service.log.slice(-3).join('\n'))
  })
})

/** The tests' servers do not wait for the disk. What a crash may lose here is what is being tested. */
async function durableCommits(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query('alter database postgres set synchronous_commit = on')
  await client.end()
}
