import { readFile } from 'node:fs/promises'
import type { Kysely } from 'kysely'
import t from 'tap'
import type { DB } from '#db/schema.ts'
import { PLATFORM_TOKEN, startShop } from '#test/examples/shop.ts'
import { TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { eventually } from '#test/support/deliveries.ts'
import { askAgain, type ServiceProcess, startService } from '#test/support/service-process.ts'
import { HOSTILE_BODIES, HOSTILE_INPUT, hostileFlows } from './hostile-flows.ts'

t.setTimeout(600_000)

const FLOWS = '/api/automation/flows'
/** The event loop's delay, 99th percentile. On a machine that cannot hold it with harmless requests, four times that. */
const DELAY_P99_SECONDS = 1
/**
 * Of the process, for all requests about one definition, whatever else the machine does; unbounded work takes
 * minutes.
 */
const CPU_SECONDS = 3
/** Below that the service has not made its own event loop late: requests that it refused are the machine's doing. */
const OWN_LOAD_SECONDS = 1
const REQUEST_TIMEOUT_MS = 120_000
const PATIENCE_MS = 120_000
/**
 * Log lines of a service on a machine that has no time for it: requests are refused, connections to Postgres come too
 * late.
 */
const OF_BUSY_MACHINE =
  /"problem":"overloaded"|Connection terminated due to connection timeout|timeout exceeded when trying to connect/
/** Automations in a row, before a flow does not start any more. */
const CHAIN_MAX = 9

const database = await createTestDatabase(t)
const tenantId = crypto.randomUUID()
const { platform } = await startShop(t, tenantId)
const service = await startService(t, {
  databaseUrl: database.url,
  env: { PLATFORM_URL: platform.url, PLATFORM_TOKEN },
})
platform.sendEventsTo({ url: service.url, key: TEST_PLATFORM_KEY })

t.test('hostile templates, patterns and definitions end in a problem or a capped run', async (t) => {
  const harmless = Array.from({ length: 50 }, (_, n) => ({
    name: `harmless ${n}`,
    definition: {
      name: 'harmless',
      status: 'active',
      trigger: { type: 'manual' },
      steps: [{ id: 'a', type: 'set', variables: { value: '{{trigger.huge}}' } }],
    },
  }))
  await delayOf(service)
  for (const { definition } of harmless) await tryOut(definition)
  const usual = await delayOf(service)

  const flows = hostileFlows()
  t.ok(flows.length + HOSTILE_BODIES.length >= 200, `${flows.length} definitions`)
  const slow: string[] = []
  const broken: string[] = []
  let [runs, most] = [0, 0]
  for (const { name, definition } of flows) {
    const usedBefore = await cpuSeconds(service.pid)
    const { statuses, isRun } = await tryOut(definition)
    if (isRun && statuses.at(-1) !== 200) broken.push(`${name}: not tested: ${statuses.at(-1)}`)
    if (statuses.some((status) => status >= 500)) broken.push(`${name}: ${statuses.join(', ')}`)
    const used = (await cpuSeconds(service.pid)) - usedBefore
    most = Math.max(most, used)
    if (used > CPU_SECONDS) slow.push(`${name}: ${used} s of CPU`)
    if (isRun) runs++
  }
  for (const [name, body] of HOSTILE_BODIES) {
    for (const path of [`${FLOWS}/validate`, FLOWS]) {
      const status = await post(path, body)
      const isRefused = status >= 400 && status < 500
      if (!isRefused && !(path !== FLOWS && status === 200)) broken.push(`${name}: ${status}`)
    }
  }
  t.strictSame(broken, [], 'none is answered with a fault of the service')
  t.ok(runs > 0, `${runs} of them are run`)
  await settled(database.db, tenantId)
  const worst = await delayOf(service)
  t.strictSame(slow, [], 'none takes much of the processor')
  const allowed = Math.max(DELAY_P99_SECONDS, 4 * usual.p99)
  t.ok(worst.p99 < allowed, `p99 of the event loop: ${worst.p99} s, usually ${usual.p99} s`)
  t.comment(
    `at most ${worst.max} s; usually at most ${usual.max} s; ${most} s of CPU; ${runs} runs of ${flows.length} flows`,
  )
  const ends = await database.db
    .selectFrom('automation_executions')
    .select(['status', 'reason', 'error'])
    .where('tenant_id', '=', tenantId)
    .execute()
  t.equal(ends.filter(({ reason }) => reason === 'internal_error').length, 0, 'no run broke off')
  t.strictSame(
    service.log
      .filter((line) => /"level":"(error|fatal)"/.test(line))
      .filter((line) => most >= OWN_LOAD_SECONDS || !OF_BUSY_MACHINE.test(line))
      .slice(0, 3),
    [],
    'nor is an error logged',
  )
})

t.test('a flow that triggers itself through the platform is cut off and paused', async (t) => {
  const id = await created({
    name: 'itself',
    status: 'active',
    trigger: { type: 'event', event_types: ['customer.created'] },
    steps: [customer('itself')],
  })
  await begin('customer.created', { customer_id: '1', email: 'a@example.com' })
  await cutOff(t, [id])
})

t.test('two flows that trigger one another through the platform are cut off and paused', async (t) => {
  const there = await created({
    name: 'there',
    status: 'active',
    trigger: { type: 'event', event_types: ['customer.updated'] },
    steps: [
      {
        id: 'product',
        type: 'action',
        plugin_id: 'platform',
        action_type: 'create_product',
        input: { name: 'p {{execution.id}}', price: 1 },
      },
    ],
  })
  const back = await created({
    name: 'back',
    status: 'active',
    trigger: { type: 'event', event_types: ['product.created'] },
    steps: [
      {
        id: 'again',
        type: 'action',
        plugin_id: 'platform',
        action_type: 'update_customer',
        input: { id: await platformCustomer(), name: 'n {{execution.id}}' },
      },
    ],
  })
  await begin('customer.updated', { customer_id: '1', email: 'a@example.com' })
  await cutOff(t, [there, back])
})

function post(path: string, body: string): Promise<number> {
  return askAgain(() =>
    fetch(service.url + path, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${TEST_PLATFORM_KEY}`,
        'x-tenant-id': tenantId,
        'content-type': 'application/json',
      },
      body,
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
    }),
  ).then(
    async (response) => {
      await response.arrayBuffer()
      return response.status
    },
    // The service ends the connection over a body that is far too large.
    (error: unknown) => {
      if (body.length < 1_000_000) throw error
      return 413
    },
  )
}

/** Validates, creates and runs it. */
async function tryOut(definition: unknown): Promise<{ statuses: number[]; isRun: boolean }> {
  const body = JSON.stringify(definition)
  const statuses = [await post(`${FLOWS}/validate`, body)]
  const response = await service.request('POST', FLOWS, { tenantId, body: definition })
  const answer = (await response.json()) as { id?: string }
  statuses.push(response.status)
  if (answer.id === undefined || response.status !== 201) return { statuses, isRun: false }
  const path = `${FLOWS}/${answer.id}`
  const run = await post(`${path}/run`, JSON.stringify({ input: HOSTILE_INPUT }))
  statuses.push(run, await post(`${path}/test`, JSON.stringify({ data: HOSTILE_INPUT, start_anyway: true })))
  return { statuses, isRun: run === 202 }
}

/** User and system time of all threads: fields 14 and 15 of Linux's /proc/<pid>/stat, in hundredths. */
async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  // The name, in brackets, may hold spaces; the rest begins with field 3.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

/** Since it was asked before. */
async function delayOf(of: ServiceProcess): Promise<{ p99: number; max: number }> {
  const text = await (await of.request('GET', '/metrics')).text()
  const figure = (name: string): number => Number(new RegExp(`^${name} (.+)$`, 'm').exec(text)?.[1])
  return {
    p99: figure('nodejs_eventloop_lag_p99_seconds'),
    max: figure('nodejs_eventloop_lag_max_seconds'),
  }
}

/** Waits until all that is left to do waits for its time. */
async function settled(db: Kysely<DB>, tenant: string): Promise<void> {
  await eventually(
    'all runs have ended or wait',
    async () => {
      const rows = await db
        .selectFrom('automation_executions')
        .select('id')
        .where('tenant_id', '=', tenant)
        .where((eb) =>
          eb.or([
            eb('status', 'in', ['queued', 'running']),
            eb.and([eb('status', '=', 'waiting'), eb('reason', '=', 'retry')]),
          ]),
        )
        .execute()
      return rows.length === 0
    },
    PATIENCE_MS,
  )
}

async function created(definition: object): Promise<string> {
  const response = await service.request('POST', FLOWS, { tenantId, body: definition })
  const answer = (await response.json()) as { id: string }
  if (response.status !== 201) throw new Error(JSON.stringify(answer))
  return answer.id
}

function customer(name: string): object {
  const input = { email: `${name}-{{execution.id}}@example.com`, name }
  return { id: 'customer', type: 'action', plugin_id: 'platform', action_type: 'create_customer', input }
}

async function platformCustomer(): Promise<unknown> {
  const response = await fetch(`${platform.url}/api/customers`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${PLATFORM_TOKEN}`,
      'x-tenant-id': tenantId,
      'content-type': 'application/json',
    },
    body: JSON.stringify({ email: `${crypto.randomUUID()}@example.com`, name: 'Ana' }),
  })
  if (response.status !== 201) throw new Error(await response.text())
  return ((await response.json()) as { customer_id: unknown }).customer_id
}

async function begin(event: string, data: object): Promise<void> {
  const response = await service.request('POST', '/api/events', { tenantId, body: { event, data } })
  if (response.status !== 202) throw new Error(await response.text())
}

/** One of the flows is paused for what it is, and neither has run more often than a chain is long. */
async function cutOff(t: { ok: (ok: boolean, why: string) => unknown }, ids: string[]): Promise<void> {
  await eventually(
    'one is paused',
    async () => {
      const rows = await database.db
        .selectFrom('automation_flows')
        .select('id')
        .where('id', 'in', ids)
        .where('status', '=', 'paused')
        .where('status_reason', '=', 'self_triggering')
        .execute()
      return rows.length > 0
    },
    PATIENCE_MS,
  )
  await settled(database.db, tenantId)
  const runs = await database.db
    .selectFrom('automation_executions')
    .select('id')
    .where('flow_id', 'in', ids)
    .where('status', '!=', 'skipped')
    .execute()
  t.ok(runs.length <= CHAIN_MAX, `${runs.length} runs`)
}
