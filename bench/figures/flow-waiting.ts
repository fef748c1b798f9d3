import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { claimExecutions } from '#modules/flow-engine/run/execution-repository.ts'
import type { Figure } from '../support/figure.ts'
import { BASE, seedFlow } from '../support/flow-seed.ts'
import type { FigureDatabase, Stage } from '../support/stage.ts'
import { median } from '../support/stats.ts'
import { residentMb } from '../support/usage.ts'
import { createWorkerPool } from '../support/worker-pool.ts'

const TENANTS = 10
/** Claimed at once, and how often. */
const CLAIMED = 100
const REPEATS = 11
const LEASE_MS = 30_000
/** After the start, for a steady value: polls have run. */
const SETTLE_MS = 5_000
const POLL_MS = 50
const TIMEOUT_MS = 60_000
const START_MAX_MS = 5_000

export const flowWaiting: Figure = {
  name: 'flow-waiting',
  title: 'Waiting executions',
  about: `1,000,000 executions of ${TENANTS} tenants wait for months ahead. Start: until ready (\`ROLES=worker\`), and resident memory ${SETTLE_MS / 1_000} s later; ceiling: with an empty database. Taking: ${CLAIMED} due ones, medians of ${REPEATS}; ceiling: beside 10,000 waiting. Resuming: until the last of 10,000 has ended.`,
  async measure(stage) {
    const many = stage.pick(1_000_000, 5_000)
    const few = stage.pick(10_000, 1_000)
    const together = stage.pick(10_000, 500)
    const empty = await measureStart(stage, await stage.database())
    const database = await stage.database()
    const tenants = await seedTenants(database.pool)
    await seedWaiting(database.pool, tenants, few)
    const beside = { few: await measureClaim(database), many: 0 }
    stage.say(`seeding ${many.toLocaleString('en')} waiting executions`)
    await seedWaiting(database.pool, tenants, many - few)
    beside.many = await measureClaim(database)
    const full = await measureStart(stage, database)
    const seconds = await measureResume(stage, database, together)
    const count = many.toLocaleString('en')
    return [
      {
        name: `start with ${count} waiting`,
        ours: full.startMs,
        ceiling: empty.startMs,
        unit: 'ms',
        target: { of: 'ours', atMost: START_MAX_MS },
      },
      {
        name: `memory with ${count} waiting, more than empty`,
        ours: Math.max(0, full.memoryMb - empty.memoryMb),
        ceiling: null,
        unit: 'MB',
        target: { of: 'ours', atMost: 50 },
      },
      {
        name: `take ${CLAIMED} due: ${count} waiting, beside ${few.toLocaleString('en')}`,
        ours: beside.many,
        ceiling: beside.few,
        unit: 'ms',
        target: { of: 'ratio', atMost: 1.5 },
      },
      {
        name: `resume ${together.toLocaleString('en')} that fall due together`,
        ours: seconds,
        ceiling: null,
        unit: 's',
        target: { of: 'ours', atMost: 10 },
      },
    ]
  },
}

interface FlowOf {
  tenantId: string
  flowId: string
}

async function seedTenants(pool: pg.Pool): Promise<FlowOf[]> {
  const config = { kind: 'duration' as const, duration: '90 days', duration_ms: 90 * 86_400_000 }
  const pause = { ...BASE, type: 'delay' as const, config, next: { next: 'end' } }
  return Promise.all(
    Array.from({ length: TENANTS }, async () => {
      const tenantId = crypto.randomUUID()
      await pool.query('insert into tenants (id) values ($1)', [tenantId])
      return { tenantId, flowId: await seedFlow(pool, tenantId, { pause }) }
    }),
  )
}

/** As the engine leaves them: at a delay that ends within 90 days. */
async function seedWaiting(pool: pg.Pool, flows: readonly FlowOf[], count: number): Promise<void> {
  const main = {
    iteration: '',
    step: 'pause',
    waiting: 'delay',
    due_at: 0,
    failures: 0,
    since: null,
    variables: {},
  }
  const state = JSON.stringify({ main, loop: null, error: null, filtered: false })
  const trigger = JSON.stringify({ data: { customer_id: 4711, email: 'ada@example.com' }, event: null })
  await Promise.all(
    flows.map(({ tenantId, flowId }) =>
      pool.query(
        `insert into automation_executions (tenant_id, id, flow_id, version, status, reason, trigger_kind, trigger, state,
           due_at, expires_at, started_at)
         select $1, uuidv7(), $2, 1, 'waiting', 'delay', 'manual', $3, $4, now() + interval '1 day' + random() * interval '89 days',
           now() + interval '366 days', now()
         from generate_series(1, $5::int)`,
        [tenantId, flowId, trigger, state, count / flows.length],
      ),
    ),
  )
  await pool.query('vacuum (analyze) automation_executions')
}

async function measureStart(
  outer: Stage,
  database: FigureDatabase,
): Promise<{ startMs: number; memoryMb: number }> {
  await using stage = outer.inner()
  const startedAt = performance.now()
  const service = await stage.service({ databaseUrl: database.url, roles: 'worker' })
  const startMs = performance.now() - startedAt
  await delay(stage.pick(SETTLE_MS, 500))
  return { startMs, memoryMb: await residentMb(service.pid) }
}

/** Milliseconds to claim what is due among those that wait. */
async function measureClaim(database: FigureDatabase): Promise<number> {
  const pool = createWorkerPool(database.url)
  try {
    const times: number[] = []
    for (let repeat = 0; repeat < REPEATS; repeat++) {
      await makeDue(pool, CLAIMED)
      const startedAt = performance.now()
      let claimed = 0
      // A tenant's share first, then what is left over.
      while (claimed < CLAIMED) {
        const claims = await claimExecutions(pool, {
          maxBytes: Number.MAX_SAFE_INTEGER,
          limit: CLAIMED,
          leaseMs: LEASE_MS,
          busy: new Map(),
          now: null,
        })
        if (claims.length === 0) throw new Error('what is due was not found')
        claimed += claims.length
      }
      times.push(performance.now() - startedAt)
      await pool.query(
        `update automation_executions set status = 'waiting', due_at = now() + interval '90 days', lease_until = null
         where status = 'running'`,
      )
    }
    return median(times)
  } finally {
    await pool.end()
  }
}

async function makeDue(pool: pg.Pool, count: number): Promise<void> {
  await pool.query(
    `update automation_executions set due_at = now()
     where (tenant_id, id) in (select tenant_id, id from automation_executions where status = 'waiting' limit $1)`,
    [count],
  )
}

/** Seconds from when they fall due until the last has ended, with nobody told: the engine's own poll finds them. */
async function measureResume(outer: Stage, database: FigureDatabase, count: number): Promise<number> {
  await using stage = outer.inner()
  await stage.service({ databaseUrl: database.url, roles: 'worker' })
  await makeDue(database.pool, count)
  const startedAt = performance.now()
  for (;;) {
    const seconds = (performance.now() - startedAt) / 1_000
    const { rows } = await database.pool.query<{ due: boolean }>(
      `select exists (select from automation_executions where due_at < now() + interval '1 hour') as due`,
    )
    if (rows[0]?.due === false) return seconds
    if (seconds * 1_000 > TIMEOUT_MS) throw new Error('they were not resumed in time')
    await delay(POLL_MS)
  }
}
