import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import t from 'tap'
import { openDatabase } from '#test/support/database.ts'
import type { CanonicalFlow, CanonicalStep } from '#lib/flow/types.ts'
import { flowOf, publishFlow, step } from '#test/modules/flow-engine/support.ts'
import { eventually } from '#test/support/deliveries.ts'
import { startPrivatePostgres } from '#test/support/postgres-server.ts'
import { startService } from '#test/support/service-process.ts'
import { startCrashSite } from './crash-site.ts'

/**
 * A backend of Postgres is killed at the very moment at which a call arrives, as the kernel does it when memory is
 * short: the whole server starts again, and forgets what was not on the disk. In full, in ten minutes:
 *
 *     POSTGRES_CRASH_ROUNDS=20 npx tap --disable-coverage test/fault/postgres-crash.test.ts
 */
const ROUNDS = Number(process.env['POSTGRES_CRASH_ROUNDS'] ?? 1)
const PATIENCE_MS = 120_000

t.setTimeout((ROUNDS + 1) * 6 * PATIENCE_MS)

const postgres = await startPrivatePostgres(t)
await keepUnflushed(postgres.url)
const db = openDatabase(t, postgres.url)
const service = await startService(t, { databaseUrl: postgres.url })
const site = await startCrashSite(t, postgres.url, () => service.url)
const tenantId = crypto.randomUUID()
await request('POST', '/api/plugins', 201, {
  name: 'site',
  slug: 'site',
  webhook_url: `${site.url}/hook`,
  events: ['parcel.sent'],
})
await request('POST', '/api/plugins/site/register-actions', 200, {
  actions: [{ action_type: 'deliver', title: 'Deliver', endpoint: '/deliver' }],
})

for (const [name, crashAt, steps] of [
  ['the first call', ['/first', 1], { first: http('/first', 'last'), last: http('/last', 'end') }],
  ["a retry's call", ['/refused', 2], { refused: http('/refused', 'last'), last: http('/last', 'end') }],
  [
    "a loop's call",
    ['/refused/item', 4],
    {
      loop: step({
        type: 'for_each',
        config: { list: [1, 2, 3], body: 'item', max_items: 10, concurrency: 1 },
        next: { done: 'last' },
      }),
      item: http('/refused/item', 'end', 'loop'),
      last: http('/last', 'end'),
    },
  ],
  [
    'an action that is accepted for later',
    ['/deliver', 1],
    {
      deliver: step({
        type: 'action',
        config: { action_type: 'deliver', plugin_id: 'site', input: {} },
        next: { success: 'last' },
      }),
      last: http('/last', 'end'),
    },
  ],
] as const satisfies readonly (readonly [
  string,
  readonly [string, number],
  Record<string, CanonicalStep>,
])[]) {
  t.test(`${name}: one key, one run`, async (t) => {
    const event = `order${crashAt[0].replaceAll('/', '.')}`
    const flow = await publishFlow(db, tenantId, theFlow(event, steps))
    for (let round = 0; round < ROUNDS; round++) {
      await site.crashAt(crashAt[0], crashAt[1])
      await request('POST', '/api/events', 202, { event, data: { round } })
      const id = await ended(flow, round + 1)
      t.strictSame(site.repeated(), [], 'no call came twice, but for the one that was refused')
      t.ok(
        site.keys().every((key) => key.startsWith(`${id}:`)),
        'all under the keys of one execution',
      )
      t.equal(site.crashes(), 1)
    }
  })
}

t.test("a schedule's firing: one key, one run", async (t) => {
  for (let round = 0; round < ROUNDS; round++) {
    const steps = { first: http('/first', 'last'), last: http('/last', 'end') }
    const flow = await publishFlow(db, tenantId, theFlow('never.sent', steps))
    await site.crashAt('/first', 1)
    const due = new Date(Math.floor(Date.now() / 60_000) * 60_000)
    await db
      .insertInto('automation_schedules')
      .values({
        tenant_id: tenantId,
        flow_id: flow,
        trigger_id: 'each_hour',
        // Not every minute: it must not come due again.
        cron: `${due.getUTCMinutes()} * * * *`,
        time_zone: 'UTC',
        catch_up: 'once',
        next_fire_at: due,
        due_at: due,
      })
      .execute()
    const id = await ended(flow, 1)
    t.strictSame(site.repeated(), [])
    t.ok(site.keys().every((key) => key.startsWith(`${id}:`)))
    t.equal(site.crashes(), 1)
  }
})

t.test("a lane's claim: one delivery, one attempt", async (t) => {
  for (let round = 0; round < ROUNDS; round++) {
    await eventually('the lane is given back', async () => {
      const held = db.selectFrom('delivery_lanes').select('plugin_id').where('lease_until', 'is not', null)
      return (await query(held.execute()))?.length === 0
    })
    await site.crashAt('/hook', 1)
    await request('POST', '/api/events', 202, { event: 'parcel.sent', data: { round } })
    await eventually(
      'it is delivered',
      async () => {
        const rows = await query(
          db.selectFrom('deliveries').select('status').where('tenant_id', '=', tenantId).execute(),
        )
        return rows?.length === round + 1 && rows.every(({ status }) => status === 'sent')
      },
      PATIENCE_MS,
    )
    t.strictSame(site.repeated(), [], 'nobody else took the lane meanwhile')
    t.equal(site.keys().length, 1)
    t.equal(site.crashes(), 1)
  }
})

/** Waits for the flow's only execution that has not been seen, and its end. @returns its id */
async function ended(flow: string, count: number): Promise<string> {
  const rows = await eventually(
    'the execution has ended',
    async () => {
      const found = await query(
        db
          .selectFrom('automation_executions')
          .select(['id', 'status'])
          .where('tenant_id', '=', tenantId)
          .where('flow_id', '=', flow)
          .orderBy('created_at')
          .execute(),
      )
      const isOver = found?.length === count && found.every(({ status }) => status === 'completed')
      return isOver ? found : undefined
    },
    PATIENCE_MS,
  )
  // A second run of it would come up to the last call, too.
  await delay(500)
  return rows.at(-1)?.id ?? ''
}

/** With Postgres away there is no answer; the next look has one. */
async function query<T>(rows: Promise<T>): Promise<T | undefined> {
  return rows.catch(() => undefined)
}

function theFlow(event: string, steps: Record<string, CanonicalStep>): CanonicalFlow {
  return flowOf(steps, {
    triggers: [{ id: 'trigger_1', type: 'event', event_types: [event], filter: null, plugin_id: null }],
  })
}

function http(path: string, to: string, loop: string | null = null): CanonicalStep {
  return step({
    type: 'http',
    config: { method: 'POST', url: site.url + path, headers: {}, body: null },
    next: { success: to },
    retry: { max_retries: 3, base_ms: 100, cap_ms: 1_000 },
    loop,
  })
}

/** Until the server is back and the service has noticed, requests are refused. */
async function request(method: string, path: string, status: number, body: unknown): Promise<void> {
  await eventually(`${path} is answered`, async () => {
    const response = await service.request(method, path, { tenantId, body }).catch(() => null)
    const text = await response?.text().catch(() => '')
    if (response !== null && response.status < 500 && response.status !== status) throw new Error(text)
    return response?.status === status
  })
}

/**
 * As a server is set in production, but for the WAL writer, which would flush what a commit has left behind at a moment
 * of its own: here it is lost for certain.
 */
async function keepUnflushed(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(`alter system set wal_writer_delay = '10s'`)
  await client.query('select pg_reload_conf()')
  await client.end()
}
