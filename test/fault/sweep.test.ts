import t from 'tap'
import { openDatabase } from '#test/support/database.ts'
import { startPrivatePostgres } from '#test/support/postgres-server.ts'
import { startCounterpart } from './flow-counterpart.ts'
import { type Fault, FAULT_KINDS, FAULT_POINTS, nameOf } from './sweep/faults.ts'
import { Supervisor } from './sweep/supervisor.ts'
import { startWireProxy } from './sweep/wire-proxy.ts'
import { Workload } from './sweep/workload.ts'

/**
 * Every statement of the work of an order meets every fault, one at a time; after each, everything of the order has been
 * done, once. The tests take one statement for each fault; all of them:
 *
 *     npm run sweep
 *     SWEEP_FROM=120 SWEEP_COUNT=40 npm run sweep
 */
const FROM = Number(process.env['SWEEP_FROM'] ?? 0)
const COUNT = Number(process.env['SWEEP_COUNT'] ?? 0)
const FULL = process.env['SWEEP'] === 'full'
/** Orders without a fault, by which the statements are known. */
const QUIET_ORDERS = 3
/** A statement that comes only now and then is waited for over so many orders. */
const TRIES = 3
const FAULT_MS = 180_000

t.setTimeout(FULL ? 4 * 3_600_000 : 8 * FAULT_MS)

const postgres = await startPrivatePostgres(t)
let supervisor: Supervisor | null = null
const proxy = await startWireProxy(t, postgres.url, () => supervisor?.kill())
supervisor = new Supervisor(t, {
  databaseUrl: proxy.url,
  env: { LEASE_MS: '2000', POLL_MS: '500' },
})
const db = openDatabase(t, postgres.url)
await supervisor.start()
const counterpart = await startCounterpart(t, () => supervisor.process?.url ?? null)
const workload = new Workload(supervisor, counterpart, db)
await workload.prepare()

const events: string[] = []
let orders = 0

/** @returns seconds until everything of it was done */
async function order(): Promise<number> {
  const startedAt = performance.now()
  const id = await workload.send(++orders)
  await workload.ended(id)
  events.push(id)
  await counterpart.completed()
  return (performance.now() - startedAt) / 1_000
}

const before = new Map(proxy.statements)
const quiet: number[] = []
for (let count = 0; count < QUIET_ORDERS; count++) quiet.push(await order())
const statements = [...proxy.statements]
  // What comes by itself, now and then, is no part of an order.
  .filter(([shape, count]) => count >= (before.get(shape) ?? 0) + QUIET_ORDERS)
  .map(([shape]) => shape)
// tap ends a file's test once it waits for something after an assertion.
const brokenBefore = await workload.broken(events)
t.comment(`${statements.length} statements; an order takes ${Math.max(...quiet).toFixed(1)} s`)
t.ok(statements.length > 20, 'the statements of an order are known')
t.strictSame(brokenBefore, [], 'nothing is broken before')

const kinds = FAULT_KINDS.flatMap((kind) => FAULT_POINTS.map((point) => ({ kind, point })))
const all: Fault[] = statements.flatMap((statement) => kinds.map((each) => ({ ...each, statement })))
/** One of each kind, spread over the statements. */
const few: Fault[] = kinds.map((each, index) => ({
  ...each,
  statement: statements[Math.floor((index * statements.length) / kinds.length)] ?? '',
}))
const chosen = FULL ? all.slice(FROM, COUNT === 0 ? undefined : FROM + COUNT) : few
const slow: string[] = []
let missed = 0

for (const [index, fault] of chosen.entries()) {
  t.test(`${FROM + index}: ${nameOf(fault)}`, { timeout: FAULT_MS }, async (t) => {
    let seconds = 0
    const state = { met: false }
    void proxy.arm(fault).then(() => (state.met = true))
    for (let tries = 0; tries < TRIES && !state.met; tries++) seconds = await order()
    proxy.disarm()
    if (!state.met) missed++
    await supervisor.ready()
    if (seconds > 5) slow.push(`${nameOf(fault)}: ${seconds.toFixed(1)} s`)
    t.strictSame(await workload.broken(events), [], `${seconds.toFixed(1)} s, met: ${state.met}`)
  })
}

t.test('the faults were met', async (t) => {
  t.comment(`${chosen.length} faults, ${missed} of them not met; ${workload.repeated} calls repeated`)
  for (const line of slow) t.comment(line)
  t.ok(missed < chosen.length / 2, `${missed} of ${chosen.length} were not met`)
})
