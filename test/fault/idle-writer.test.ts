import pg from 'pg'
import t from 'tap'
import { openDatabase } from '#test/support/database.ts'
import { eventually } from '#test/support/deliveries.ts'
import { startPrivatePostgres } from '#test/support/postgres-server.ts'
import { startCounterpart } from './flow-counterpart.ts'
import { Supervisor } from './sweep/supervisor.ts'
import { Workload } from './sweep/workload.ts'

const ORDERS = 3
/** From when on it is told. */
const TOLD_SECONDS = 10
t.setTimeout(300_000)

interface Readiness {
  status: string
  checks: { transactions: { status: string; detail: string } }
}

t.test('a writer that idles in another database of the server holds up nothing, and is told', async (t) => {
  const postgres = await startPrivatePostgres(t)
  const supervisor = new Supervisor(t, { databaseUrl: postgres.url })
  const db = openDatabase(t, postgres.url)
  await supervisor.start()
  const service = supervisor.process
  if (service === null) throw new Error('it has started')
  const counterpart = await startCounterpart(t, () => service.url)
  const workload = new Workload(supervisor, counterpart, db)
  await workload.prepare()

  const admin = new pg.Client({ connectionString: postgres.url })
  await admin.connect()
  await admin.query('create database elsewhere')
  await admin.end()
  const url = new URL(postgres.url)
  url.pathname = '/elsewhere'
  const writer = new pg.Client({ connectionString: url.href, application_name: 'forgotten' })
  await writer.connect()
  t.teardown(() => writer.end())
  await writer.query('begin; create table held (n int)')
  const { rows } = await writer.query<{ pid: number; xid: string }>(
    'select pg_backend_pid() as pid, pg_current_xact_id()::text as xid',
  )
  const pid = rows[0]?.pid ?? 0

  const events: string[] = []
  for (let number = 0; number < ORDERS; number++) {
    // Each has a delivery, a flow with calls, a delay and an action that is completed later, and a dispatch.
    const id = await workload.send(number)
    await workload.ended(id)
    await counterpart.completed()
    events.push(id)
  }
  t.strictSame(await workload.broken(events), [], 'all of it was done')
  const feed = await service.request('GET', '/api/events?limit=50', { tenantId: workload.tenantId })
  const listed = (await feed.json()) as { data: { id: string }[] }
  const seen = new Set(listed.data.map(({ id }) => id))
  t.strictSame(
    events.filter((id) => !seen.has(id)),
    [],
    'the feed has all events',
  )

  const readiness = await eventually('readiness warns', async () => {
    const response = await service.request('GET', '/health/ready')
    const answer = (await response.json()) as Readiness
    return answer.checks.transactions.status === 'warning' && { status: response.status, answer }
  })
  t.equal(readiness.status, 200, 'nobody is taken out of service for it')
  t.match(
    readiness.answer.checks.transactions.detail,
    new RegExp(`process ${pid} \\(application forgotten\\) has been open since`),
  )
  await eventually(
    'the metric has its age',
    async () => (await service.metric('bcs_oldest_write_transaction_seconds')) > TOLD_SECONDS,
  )
  t.equal(await service.metric('bcs_feed_horizon_age_seconds'), 0, 'and the feed is not held back')
  const line = await eventually('the log names it', () =>
    service.log.find((text) => text.includes('a write transaction stays open')),
  )
  t.match(JSON.parse(line), {
    backend_pid: pid,
    application: 'forgotten',
    database: 'elsewhere',
    holds_feed: false,
  })
  const { rows: still } = await writer.query<{ xid: string }>('select pg_current_xact_id()::text as xid')
  t.equal(still[0]?.xid, rows[0]?.xid, 'it has been open all the while')

  await writer.query('rollback')
  await eventually('readiness has nothing to warn of', async () => {
    const answer = (await (await service.request('GET', '/health/ready')).json()) as Readiness
    return answer.checks.transactions.status === 'ok'
  })
})
