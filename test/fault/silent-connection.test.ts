import pg from 'pg'
import t, { type Test } from 'tap'
import { openDatabase } from '#test/support/database.ts'
import { eventually } from '#test/support/deliveries.ts'
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/postgres-server.ts'
import { startTcpProxy } from '#test/support/tcp-proxy.ts'
import { startCounterpart } from './flow-counterpart.ts'
import { FAULT_POINTS } from './sweep/faults.ts'
import { Supervisor } from './sweep/supervisor.ts'
import { startWireProxy } from './sweep/wire-proxy.ts'
import { Workload } from './sweep/workload.ts'

/**
 * A connection falls silent under one statement of each part of the work, before the server gets it and after it was done.
 * Leases are longer than a test's patience: what waited for one to end would not go on. What waited for the deadline of
 * its statement would go on without the log's line.
 */
const LEASE_MS = '300000'
const STATEMENTS: readonly { of: string; begin: string }[] = [
  { of: 'intake', begin: 'with guard as materialized' },
  { of: 'claims of lanes', begin: 'with free as ( select l.plugin_id' },
  { of: 'due deliveries', begin: 'select want.plugin_id' },
  { of: 'outcomes of deliveries', begin: 'with held as materialized' },
  { of: 'events for flows', begin: 'with horizon as materialized (select feed_writer_horizon()' },
  { of: 'starts of executions', begin: 'insert into automation_executions' },
  { of: 'boundaries', begin: 'with boundary as' },
]
const QUIET_ORDERS = 2
/** A statement that is not in every order is waited for over so many. */
const TRIES = 5
const LOST = 'a statement or its answer was lost'
t.setTimeout(900_000)

/** Shops with orders, of which every one is a delivery, a flow and a dispatch. */
async function startShops(t: Test, postgres: PrivatePostgres, databaseUrl: string, count: number) {
  const supervisor = new Supervisor(t, { databaseUrl, env: { LEASE_MS } })
  const db = openDatabase(t, postgres.url)
  await supervisor.start()
  let orders = 0
  const open = async () => {
    const counterpart = await startCounterpart(t, () => supervisor.process?.url ?? null)
    const workload = new Workload(supervisor, counterpart, db)
    await workload.prepare()
    const events: string[] = []
    return {
      order: async () => {
        const id = await workload.send(++orders)
        await workload.ended(id)
        await counterpart.completed()
        events.push(id)
      },
      broken: () => workload.broken(events),
    }
  }
  const shops = []
  for (let n = 0; n < count; n++) shops.push(await open())
  /** Sessions that the service's log has given up, and whose work went on over another connection. */
  const lost = (): number[] =>
    (supervisor.process?.log ?? [])
      .filter((line) => line.includes(LOST))
      .map((line) => (JSON.parse(line) as { backend_pid: number }).backend_pid)
  return { supervisor, shops, lost }
}

async function areGone(url: string, pids: readonly number[]): Promise<boolean> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const { rowCount } = await client.query('select from pg_stat_activity where pid = any($1::int[])', [pids])
    return rowCount === 0
  } finally {
    await client.end()
  }
}

t.test('one connection is silent: its work and that of other shops goes on', async (t) => {
  const postgres = await startPrivatePostgres(t)
  const proxy = await startWireProxy(t, postgres.url, () => undefined)
  const { supervisor, shops, lost } = await startShops(t, postgres, proxy.url, 2)
  const [shop, other] = shops
  if (shop === undefined || other === undefined) throw new Error('there are two')
  const pid = supervisor.process?.pid
  for (let n = 0; n < QUIET_ORDERS; n++) await shop.order()

  for (const { of, begin } of STATEMENTS) {
    const statement = [...proxy.statements.keys()].find((shape) => shape.startsWith(begin))
    for (const point of FAULT_POINTS) {
      await t.test(`${of}, ${point} the server has done it`, async (t) => {
        if (statement === undefined) throw new Error(`no statement of an order begins with ${begin}`)
        const before = lost().length
        const state = { met: false }
        void proxy.arm({ kind: 'silence', point, statement }).then(() => (state.met = true))
        const startedAt = performance.now()
        for (let tries = 0; tries < TRIES && !state.met; tries++)
          await Promise.all([shop.order(), other.order()])
        proxy.disarm()
        t.comment(`done after ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`)
        t.ok(state.met, 'the statement met its silence')
        t.strictSame(await shop.broken(), [])
        t.strictSame(await other.broken(), [], 'nor is anything of the other shop')
        const found = await eventually(
          'the log says so, and not a deadline ended it',
          () => lost().length > before && lost().slice(before),
        )
        t.ok(await areGone(postgres.url, found), 'its session is gone, and with it its locks')
      })
    }
  }
  t.equal(supervisor.process?.pid, pid, 'no process was replaced')
})

t.test('all connections that are open fall silent at once', async (t) => {
  const postgres = await startPrivatePostgres(t)
  const proxy = await startTcpProxy(t, postgres.url)
  const { supervisor, shops, lost } = await startShops(t, postgres, proxy.url, 1)
  const [shop] = shops
  if (shop === undefined) throw new Error('there is one')
  const pid = supervisor.process?.pid
  for (const direction of ['from client', 'from server'] as const) {
    await t.test(`nothing arrives ${direction}`, async (t) => {
      await Promise.all([shop.order(), shop.order()])
      const before = lost().length
      proxy.swallow(direction)
      const startedAt = performance.now()
      await Promise.all([shop.order(), shop.order()])
      t.comment(`done after ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`)
      t.strictSame(await shop.broken(), [])
      const found = await eventually('the log says so', () => lost().length > before && lost().slice(before))
      t.ok(await areGone(postgres.url, found), 'the sessions are gone, and with them their locks')
    })
  }
  t.equal(supervisor.process?.pid, pid, 'no process was replaced')
})
