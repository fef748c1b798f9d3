import { fetchDue } from '#modules/webhook-delivery/due/repository.ts'
import { claimLanes, discoverLanes, releaseLanes } from '#modules/webhook-delivery/lanes/repository.ts'
import type { Figure, Row } from '../support/figure.ts'
import { bodyOf, seedPlugins, seedQueue } from '../support/seed.ts'
import { median } from '../support/stats.ts'
import { createWorkerPool } from '../support/worker-pool.ts'

const CLAIMED = 100
const FETCHED_EACH = 16
const REPEATS = 11

export const discovery: Figure = {
  name: 'discovery',
  title: 'Finding work in a long queue',
  about: `The statements that find plugins with due deliveries and take them. Finding: 5,050 plugins, 1,000,000 waiting; ceiling: the same index probes with the plugins given. Taking: claim ${CLAIMED} lanes, fetch ${FETCHED_EACH} deliveries of each, give them back; ceiling: with 10,000 waiting. Medians of ${REPEATS}.`,
  async measure(stage) {
    const plugins = stage.pick(5_050, 200)
    const each = stage.pick(198, 40)
    const tenantId = crypto.randomUUID()
    const body = bodyOf(tenantId, 300)
    const database = await stage.database()
    const ids = await seedPlugins(database.pool, {
      masterKey: stage.bed.masterKey,
      tenantId,
      plugins: Array.from({ length: plugins }, () => ({ url: 'http://127.0.0.1:9/', event: 'bench.seeded' })),
    })
    const claimed = ids.slice(0, CLAIMED)
    const rest = ids.slice(CLAIMED)
    const pool = createWorkerPool(database.url)
    try {
      const take = (): Promise<number> => medianMs(() => takeAndGiveBack(pool, claimed))
      const few = await seedQueue(database.pool, {
        tenantId,
        plugins: claimed,
        events: Math.ceil(each / 2),
        fanOut: claimed.length,
        body,
      })
      const taking = { few: await take(), many: 0 }
      stage.say(`seeding ${(each * rest.length).toLocaleString('en')} more waiting deliveries`)
      const many = await seedQueue(database.pool, {
        tenantId,
        plugins: rest,
        events: each,
        fanOut: rest.length,
        body,
      })
      taking.many = await take()
      const finding = await medianMs(() => discoverLanes(pool, { tenantId: null, now: null }))
      const probing = await medianMs(() =>
        pool.query(
          `select p.id from plugins p cross join lateral (
             select due_at from deliveries
             where plugin_id = p.id and not bulk and status in ('pending', 'retry') order by due_at limit 1) first`,
        ),
      )
      const waiting = (few + many).toLocaleString('en')
      return [
        {
          name: `find work: ${plugins.toLocaleString('en')} plugins, ${waiting} waiting`,
          ours: finding,
          ceiling: probing,
          unit: 'ms',
          target: null,
        },
        {
          name: `take ${CLAIMED} lanes: ${waiting} waiting, beside ${few.toLocaleString('en')}`,
          ours: taking.many,
          ceiling: taking.few,
          unit: 'ms',
          target: { of: 'ratio', atMost: 1.5 },
        },
      ] satisfies Row[]
    } finally {
      await pool.end()
    }
  },
}

type Pool = ReturnType<typeof createWorkerPool>

async function takeAndGiveBack(pool: Pool, pluginIds: readonly string[]): Promise<void> {
  const claims = await claimLanes(pool, {
    pluginIds,
    unsure: [],
    owner: 'bench',
    leaseMs: 30_000,
    now: null,
  })
  const due = await fetchDue(
    pool,
    claims.map(({ plugin_id }) => ({ pluginId: plugin_id, live: FETCHED_EACH, bulk: 0 })),
    [],
    null,
  )
  await releaseLanes(
    pool,
    claims.map((claim) => ({
      pluginId: claim.plugin_id,
      leaseToken: claim.lease_token,
      rateTokens: null,
    })),
  )
  if (due.length !== pluginIds.length * FETCHED_EACH) throw new Error(`fetched only ${due.length}`)
}

async function medianMs(work: () => Promise<unknown>): Promise<number> {
  await work()
  const times: number[] = []
  for (let repeat = 0; repeat < REPEATS; repeat++) {
    const startedAt = performance.now()
    await work()
    times.push(performance.now() - startedAt)
  }
  return median(times)
}
