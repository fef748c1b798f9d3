import type { Commands as PlainPosts } from '../processes/plain-posts.ts'
import { CpuMeter } from '../support/cpu-meter.ts'
import { type Figure, interleave, rowOf } from '../support/figure.ts'
import { actionStep, BASE, FLOW_ENV, runRate, seedActor, seedFlow } from '../support/flow-seed.ts'

const ACTIONS = 2
/** As for deliveries: the fastest of those that were tried. */
const PLAIN_CONNECTIONS = 64
const TIMEOUT_MS = 120_000

export const flowThroughput: Figure = {
  name: 'flow-throughput',
  title: 'Flows',
  about: `A condition and two actions of a plugin on events that are stored at once, every step durable before the next, by one worker (\`ROLES=worker\`), until the last end is in the database. Ceiling: ${ACTIONS} signed undici POSTs for an execution, ${PLAIN_CONNECTIONS} connections.`,
  async measure(stage) {
    const tenantId = crypto.randomUUID()
    const database = await stage.database()
    const receiver = await stage.receiver()
    const url = `${receiver.url}/do`
    const { masterKey } = stage.bed
    const actor = await seedActor(database.pool, { masterKey, tenantId, url })
    const flowId = await seedFlow(database.pool, tenantId, {
      check: {
        ...BASE,
        type: 'condition',
        config: { condition: { field: 'trigger.total', operator: 'gt', value: 10 } },
        next: { true: 'first', false: 'end' },
      },
      first: actionStep(actor, 'second'),
      second: actionStep(actor, 'end'),
    })
    const service = await stage.service({ databaseUrl: database.url, roles: 'worker', env: FLOW_ENV })
    const plain = await stage.helper<PlainPosts>('plain-posts')
    const body = JSON.stringify({ total: 42, text: 'x'.repeat(150) })
    const posts = (count: number): Promise<number> =>
      plain.call('run', { url, body, count, connections: PLAIN_CONNECTIONS })
    const run = (count: number): Promise<number> =>
      runRate(database.pool, { tenantId, flowId, count, timeoutMs: TIMEOUT_MS })

    const count = stage.pick(6_000, 200)
    await posts(count)
    await run(Math.ceil(count / 3))
    // Autovacuum does this within a minute: until then statements are planned for tables without rows.
    await database.pool.query('vacuum (analyze)')
    const oursCpu = new CpuMeter(stage.bed, { worker: service.pid, receiver: receiver.pid })
    const ceilingCpu = new CpuMeter(stage.bed, { posts: plain.pid, receiver: receiver.pid })
    const measured = await interleave(stage, stage.pick(3, 1), {
      ceiling: () =>
        ceilingCpu.during(
          async () => (await posts(count * ACTIONS)) / ACTIONS,
          () => count,
        ),
      ours: () =>
        oursCpu.during(
          () => run(count),
          () => count,
        ),
    })
    return [
      rowOf(measured, {
        name: 'executions of a flow with a condition and two actions',
        unit: 'executions/s',
        target: { of: 'ours', atLeast: 2_000 },
        cpu: { ours: oursCpu.costs(), ceiling: ceilingCpu.costs() },
      }),
    ]
  },
}
