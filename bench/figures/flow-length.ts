import { type Figure, type Row } from '../support/figure.ts'
import { actionStep, FLOW_ENV, runRate, seedActor, seedFlow } from '../support/flow-seed.ts'
import type { Stage } from '../support/stage.ts'
import { median } from '../support/stats.ts'

const LENGTHS = [10, 100, 500]
const AT_ONCE = 20
const TIMEOUT_MS = 120_000

export const flowLength: Figure = {
  name: 'flow-length',
  title: 'Long flows',
  about: `Flows of ${LENGTHS.join(', ')} actions in sequence, ${AT_ONCE} executions at once: the median time of an execution by its steps. Ceiling: the shortest's.`,
  async measure(stage) {
    const lengths = LENGTHS.map((length) => stage.pick(length, Math.ceil(length / 10)))
    const times: number[] = []
    for (const length of lengths) times.push(await measureLength(stage, length))
    const [shortest = 0] = times
    return lengths.slice(1).map((length, index): Row => ({
      name: `a step of a flow of ${length}, beside one of ${lengths[0] ?? 0}`,
      ours: times[index + 1] ?? 0,
      ceiling: shortest,
      unit: 'ms',
      target: { of: 'ratio', atMost: 1.5 },
    }))
  },
}

/** @returns milliseconds that a step takes */
async function measureLength(outer: Stage, length: number): Promise<number> {
  await using stage = outer.inner()
  const tenantId = crypto.randomUUID()
  const database = await stage.database()
  const receiver = await stage.receiver()
  const { masterKey } = stage.bed
  const actor = await seedActor(database.pool, { masterKey, tenantId, url: `${receiver.url}/do` })
  const steps = Array.from({ length }, (_, index) => {
    const to = index + 1 < length ? `step_${index + 1}` : 'end'
    return [`step_${index}`, actionStep(actor, to)] as const
  })
  const flowId = await seedFlow(database.pool, tenantId, Object.fromEntries(steps))
  await stage.service({ databaseUrl: database.url, roles: 'worker', env: FLOW_ENV })
  const run = { tenantId, flowId, count: AT_ONCE, timeoutMs: TIMEOUT_MS }
  await runRate(database.pool, run)
  await database.pool.query('vacuum (analyze)')
  await database.pool.query('delete from automation_executions')
  await runRate(database.pool, run)
  const { rows } = await database.pool.query<{ ms: number }>(
    `select (extract(epoch from finished_at - started_at) * 1000)::float8 as ms from automation_executions`,
  )
  const each = median(rows.map(({ ms }) => ms)) / length
  stage.say(`${length} steps: ${each.toFixed(3)} ms each`)
  return each
}
