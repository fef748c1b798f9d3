import pg from 'pg'
import t from 'tap'
import type { App } from '#src/app.ts'
import type { BackgroundPart } from '#infra/background.ts'
import { newId } from '#lib/ids.ts'
import { clientFor, TEST_PLATFORM_KEY } from '#test/support/app.ts'
import { createTestDatabase } from '#test/support/database.ts'
import { appOn, statementsOf, until } from './app-on.ts'

interface Readiness {
  status: string
  checks: { worker: { status: string; detail: string } }
  background: Record<string, { status: string; detail: string }>
}

const WORKER = { ROLES: 'api,worker' }
const LOOPS = [
  'clock',
  'timeline',
  'deliveries',
  'queues',
  'capabilities',
  'completions',
  'matcher',
  'engine',
  'schedules',
  'replays',
  'recoveries',
  'erasures',
  'bulk_changes',
  'delivery_retries',
  'retention',
  'statistics',
  'storage',
].sort()

async function readiness(app: App): Promise<{ code: number; body: Readiness }> {
  const answer = await app.inject('/health/ready')
  return { code: answer.statusCode, body: answer.json<Readiness>() }
}

/** `bcs_background_up` by name. */
async function upByName(app: App): Promise<Record<string, number>> {
  const headers = { authorization: `Bearer ${TEST_PLATFORM_KEY}` }
  const text = (await app.inject({ url: '/metrics', headers })).body
  const found = text.matchAll(/^bcs_background_up\{name="([a-z_]+)"\} ([01])$/gm)
  return Object.fromEntries(found.map(([, name = '', up]) => [name, Number(up)]))
}

function fakePart(fields: Partial<BackgroundPart> = {}): BackgroundPart & { said: string[] } {
  const said: string[] = []
  return {
    said,
    name: 'fake',
    start: () => void said.push('start'),
    stop: async () => void said.push('stop'),
    probe: () => ({ busyMs: 0, failingMs: 0 }),
    whenStuck: 'failed',
    ...fields,
  }
}

t.test(
  'a worker runs every loop and says so; a process that only answers requests runs those that each runs for itself',
  async (t) => {
    const { url } = await createTestDatabase(t)
    const worker = await appOn(t, url, { env: WORKER })
    t.strictSame(Object.keys(await upByName(worker)).sort(), LOOPS)
    t.ok(Object.values(await upByName(worker)).every((up) => up === 1))
    t.strictSame(Object.keys((await readiness(worker)).body.background).sort(), LOOPS)

    const part = fakePart()
    const api = await appOn(t, url, { env: { ROLES: 'api' } }, (app) => app.background(part))
    t.strictSame(await upByName(api), { clock: 1, timeline: 1 })
    t.strictSame(part.said, [])
    const { body } = await readiness(api)
    t.strictSame(
      Object.keys(body.background).sort(),
      [
        ...[
          'bulk_changes',
          'clock',
          'deliveries',
          'delivery_retries',
          'engine',
          'erasures',
          'matcher',
          'recoveries',
          'replays',
        ],
        'schedules',
        'timeline',
      ],
      'it knows the queues that processes share, too',
    )
    await api.close()
    t.strictSame(part.said, [], 'what was never started is not stopped')
  },
)

t.test('a process that only answers requests polls for no work', async (t) => {
  const { url } = await createTestDatabase(t)
  const api = await appOn(t, url, { env: { ROLES: 'api', POLL_MS: '100' } })
  const worker = await appOn(t, url, { env: { ROLES: 'worker', POLL_MS: '100' } })
  const statements = Object.values(api.pools).map(statementsOf)
  let looks = 0
  worker.pools.worker.on('acquire', () => looks++)
  await until(
    async () => looks,
    (count) => count > 5,
  )
  t.strictSame(statements.flat(), [], 'but for the looks at the clock and at the timeline')
})

t.test('parts start when the app is ready, and end together before it closes', async (t) => {
  const { url } = await createTestDatabase(t)
  const stops: (() => void)[] = []
  const slow = (name: string): BackgroundPart =>
    fakePart({
      name,
      stop: () =>
        new Promise((resolve) => {
          stops.push(resolve)
          // Neither waits for the other.
          if (stops.length === 2) for (const stop of stops) stop()
        }),
    })
  const part = fakePart()
  const app = await appOn(t, url, { env: WORKER }, (app) => {
    app.background(part)
    app.background(slow('one'))
    app.background(slow('two'))
    t.throws(() => app.background(slow('two')), /two parts two/)
    t.strictSame(part.said, [])
  })
  t.strictSame(part.said, ['start'])
  await app.close()
  t.strictSame(part.said, ['start', 'stop'])
  t.equal(stops.length, 2)
})

t.test('what hangs or fails for too long is stuck, and named', async (t) => {
  const { url } = await createTestDatabase(t)
  let standing = { busyMs: 0, failingMs: 0 }
  const app = await appOn(t, url, { env: { ...WORKER, STUCK_AFTER_SECONDS: '60' } }, (app) => {
    app.background(fakePart({ name: 'mill', probe: () => standing }))
  })
  const asked = async (next: typeof standing, status: 'ok' | 'failed') => {
    standing = next
    const seconds = Math.max(next.busyMs, next.failingMs) / 1_000
    return until(
      () => readiness(app),
      ({ body: { background } }) =>
        background['mill']?.status === status &&
        (status === 'ok' || background['mill'].detail.includes(` ${seconds} s.`)),
    )
  }
  t.match(await asked({ busyMs: 59_000, failingMs: 0 }, 'ok'), { code: 200 })
  t.match(await asked({ busyMs: 75_000, failingMs: 0 }, 'failed'), {
    code: 503,
    body: {
      status: 'not_ready',
      checks: { worker: { status: 'failed', detail: 'mill: Stuck: it has come no further for 75 s.' } },
      background: { mill: { status: 'failed' }, engine: { status: 'ok' } },
    },
  })
  t.match(await upByName(app), { mill: 0, engine: 1 })
  t.match(await asked({ busyMs: 0, failingMs: 90_000 }, 'failed'), {
    code: 503,
    body: { checks: { worker: { detail: /mill: Stuck: every try has failed for 90 s\./ } } },
  })
  t.match(await asked({ busyMs: 0, failingMs: 0 }, 'ok'), { code: 200 })
})

t.test('of work that can wait it is a warning, after the time that the work says', async (t) => {
  const { url } = await createTestDatabase(t)
  const probe = () => ({ busyMs: 100_000, failingMs: 0 })
  const app = await appOn(t, url, { env: WORKER }, (app) => {
    app.background(fakePart({ name: 'tidy', whenStuck: 'warning', probe }))
    app.background(fakePart({ name: 'slow', whenStuck: 'failed', stuckAfterMs: 200_000, probe }))
  })
  const { code, body } = await readiness(app)
  t.equal(code, 200)
  t.match(body.background, { tidy: { status: 'warning' }, slow: { status: 'ok' } })
  t.match(body.checks.worker, { status: 'warning', detail: /^tidy: Stuck/ })
})

for (const [part, table, channel] of [
  ['matcher', 'flow_cursors', 'events_stored'],
  ['engine', 'automation_executions', 'executions_due'],
] as const) {
  t.test(`a stuck ${part} makes the process not ready until it goes on`, async (t) => {
    const { url } = await createTestDatabase(t)
    const app = await appOn(t, url, { env: { ...WORKER, STUCK_AFTER_SECONDS: '1' } })
    t.match(await readiness(app), { code: 200 })
    const blocker = new pg.Client(url)
    await blocker.connect()
    await blocker.query('begin')
    await blocker.query(`lock table ${table} in access exclusive mode`)
    const stuck = await until(
      () => {
        app.signals.publish(channel, [])
        return readiness(app)
      },
      ({ body }) => body.background[part]?.status === 'failed',
      60_000,
    )
    t.match(stuck, {
      code: 503,
      body: {
        status: 'not_ready',
        checks: { worker: { status: 'failed', detail: new RegExp(`${part}: Stuck`) } },
      },
    })
    // Between its first two tries a part is not stuck.
    const up = await until(
      () => upByName(app),
      (parts) => parts[part] === 0,
      60_000,
    )
    t.equal(up['deliveries'], 1)
    await blocker.query('rollback')
    await blocker.end()
    const after = await until(
      () => {
        app.signals.publish(channel, [])
        return readiness(app)
      },
      ({ code }) => code === 200,
      60_000,
    )
    t.match(after.body.background, { [part]: { status: 'ok' } })
    t.match(await upByName(app), { [part]: 1 })
  })
}

t.test('a part of every process is watched where nothing else runs', async (t) => {
  const { url } = await createTestDatabase(t)
  const part = fakePart({
    name: 'each',
    everywhere: true,
    whenStuck: 'warning',
    probe: () => ({ busyMs: 0, failingMs: 100_000 }),
  })
  const api = await appOn(t, url, { env: { ROLES: 'api' } }, (app) => app.background(part))
  t.match(await upByName(api), { each: 0 })
  const { code, body } = await readiness(api)
  t.equal(code, 200)
  t.match(body.background, { each: { status: 'warning', detail: /every try has failed for 100 s/ } })
  await api.close()
  t.strictSame(part.said, ['start', 'stop'])
})

t.test(
  'events, executions, schedules and jobs that nobody takes are a warning with their name',
  async (t) => {
    const { url, db } = await createTestDatabase(t)
    const api = await appOn(t, url, { env: { ROLES: 'api' } })
    const tenantId = newId()
    const ago = new Date(Date.now() - 120_000)
    const tenant = clientFor(api, tenantId, TEST_PLATFORM_KEY)
    t.equal((await tenant.post('/api/events', { event: 'order.created', data: {} })).statusCode, 202)
    await db.updateTable('events').set({ received_at: ago }).execute()
    await db
      .insertInto('flow_cursors')
      .values({ tenant_id: tenantId, position: 0, event_id: newId() })
      .execute()
    await db
      .insertInto('automation_executions')
      .values({
        tenant_id: tenantId,
        id: newId(),
        flow_id: newId(),
        version: 1,
        status: 'queued',
        trigger_kind: 'manual',
        trigger: '{}',
        state: '{}',
        due_at: ago,
        causation_depth: 0,
        expires_at: new Date(Date.now() + 3_600_000),
      })
      .execute()
    await db
      .insertInto('automation_schedules')
      .values({
        tenant_id: tenantId,
        flow_id: newId(),
        trigger_id: 'trigger_1',
        cron: '* * * * *',
        time_zone: 'UTC',
        catch_up: 'skip',
        next_fire_at: ago,
        due_at: ago,
      })
      .execute()
    await db
      .insertInto('erasures')
      .values({ id: newId(), tenant_id: tenantId, path: 'id', value_hash: Buffer.alloc(32), created_at: ago })
      .execute()
    const { code, body } = await until(
      () => readiness(api),
      ({ body }) => body.background['erasures']?.status === 'warning',
    )
    t.equal(code, 200, 'requests are as well off here as elsewhere')
    const late = { status: 'warning', detail: /waiting for 1[2-9]\d s\..*is one running\?/ }
    t.match(body.background, { matcher: late, engine: late, schedules: late, erasures: late })
    t.match(body.background, { deliveries: { status: 'ok' }, replays: { status: 'ok' } })
    for (const name of ['matcher', 'engine', 'schedules', 'erasures'])
      t.match(body.checks.worker.detail, `${name}: `)
    const headers = { authorization: `Bearer ${TEST_PLATFORM_KEY}` }
    const text = (await api.inject({ url: '/metrics', headers })).body
    for (const name of ['events_unmatched', 'executions_oldest_due', 'schedules_oldest_due']) {
      t.match(text, new RegExp(`^bcs_${name}_seconds 1[2-9]\\d`, 'm'))
    }

    await db.updateTable('flow_cursors').set({ halted_at: new Date() }).execute()
    await until(
      () => readiness(api),
      ({ body }) => body.background['engine']?.status === 'ok',
    )
  },
)
