import type { Commands as PlainPosts } from '../processes/plain-posts.ts'
import type { Commands as TimedRequests } from '../processes/timed-requests.ts'
import { CpuMeter } from '../support/cpu-meter.ts'
import { type Figure, interleave, type Row, type Rounds, rowOf } from '../support/figure.ts'
import { seedPlugins } from '../support/seed.ts'
import type { Stage } from '../support/stage.ts'
import { median } from '../support/stats.ts'

const IN_SEQUENCE = 10
const AT_ONCE = 50
const ACTIONS_EACH = 2

export const dispatch: Figure = {
  name: 'dispatch',
  title: 'Dispatching actions',
  about: `\`POST /api/plugins/events/automation\`, each action a signed call, logged, the answer flushed to disk (\`ROLES=api\`). In sequence: what one of ${IN_SEQUENCE} actions takes longer than a plain signed POST. At once: ${AT_ONCE} callers with ${ACTIONS_EACH} actions each, of a plugin that takes as many. Ceiling: signed undici POSTs of the same body, ${AT_ONCE} at a time.`,
  async measure(stage) {
    const tenantId = crypto.randomUUID()
    const database = await stage.database()
    const receiver = await stage.receiver()
    const url = `${receiver.url}/do`
    await seedPlugins(database.pool, {
      masterKey: stage.bed.masterKey,
      tenantId,
      plugins: [{ url, event: 'bench.seeded' }],
      maxInFlight: AT_ONCE,
    })
    await database.pool.query('update plugins set registered_actions = $1', [JSON.stringify([ACTION])])
    const service = await stage.service({ databaseUrl: database.url, roles: 'api' })
    const plain = await stage.helper<PlainPosts>('plain-posts')
    const caller = await stage.helper<TimedRequests>('timed-requests')
    const posts = (count: number, connections: number): Promise<number> =>
      plain.call('run', { url, body: JSON.stringify(PAYLOAD), count, connections })
    const dispatches = (actions: number, count: number, connections: number) =>
      caller.call('run', {
        method: 'POST',
        url: `${service.url}/api/plugins/events/automation`,
        headers: stage.headers(tenantId),
        body: JSON.stringify({
          events: Array.from({ length: actions }, () => ({ action_type: 'do', payload: PAYLOAD })),
        }),
        count,
        connections,
        expect: `"summary":{"total":${actions},"succeeded":${actions},"failed":0}`,
      })

    const sequential = stage.pick(100, 10)
    const count = stage.pick(4_000, 200)
    await posts(count, 1)
    await posts(count, AT_ONCE)
    await dispatches(IN_SEQUENCE, sequential, 1)
    await dispatches(ACTIONS_EACH, count, AT_ONCE)
    // Autovacuum does this within a minute: until then statements are planned for tables without rows.
    await database.pool.query('vacuum (analyze) action_invocations, automation_event_log')

    const inSequence = await overhead(stage, {
      plain: async () => 1_000 / (await posts(sequential * IN_SEQUENCE, 1)),
      dispatched: async () => (await dispatches(IN_SEQUENCE, sequential, 1)).p50 / IN_SEQUENCE,
    })

    const actions = count * ACTIONS_EACH
    const oursCpu = new CpuMeter(stage.bed, { api: service.pid, receiver: receiver.pid, load: caller.pid })
    const ceilingCpu = new CpuMeter(stage.bed, { posts: plain.pid, receiver: receiver.pid })
    const atOnce = await interleave(stage, stage.pick(3, 1), {
      ceiling: () =>
        ceilingCpu.during(
          () => posts(actions, AT_ONCE),
          () => actions,
        ),
      ours: () =>
        oursCpu.during(
          async () => (await dispatches(ACTIONS_EACH, count, AT_ONCE)).perSecond * ACTIONS_EACH,
          () => actions,
        ),
    })
    return [
      inSequence,
      rowOf(atOnce, {
        name: `dispatch, ${AT_ONCE} at once of ${ACTIONS_EACH} actions`,
        unit: 'actions/s',
        target: { of: 'ratio', atLeast: 0.35 },
        cpu: { ours: oursCpu.costs(), ceiling: ceilingCpu.costs() },
      }),
    ]
  },
}

const PAYLOAD = { to: 'ada@example.com', template: 'welcome', text: 'x'.repeat(200) }

/** As registration leaves it. */
const ACTION = {
  action_type: 'do',
  title: 'Do',
  description: '',
  category: 'other',
  required_fields: ['to'],
  optional_fields: ['template', 'text'],
  input_schema: {
    type: 'object',
    properties: {
      to: { type: 'string', format: 'email' },
      template: { type: 'string' },
      text: { type: 'string' },
    },
    required: ['to'],
  },
  output_schema: null,
  endpoint: null,
  method: 'POST',
  timeout_ms: null,
  idempotent: false,
  origin: 'registered',
}

/** Milliseconds that an action takes beyond a plain call, in turn, so that other work of the machine meets both. */
async function overhead(
  stage: Stage,
  measure: { plain: () => Promise<number>; dispatched: () => Promise<number> },
): Promise<Row> {
  const rounds: Rounds = { ours: [], ceiling: [] }
  for (let round = 1; round <= stage.pick(5, 1); round++) {
    const plain = await measure.plain()
    const dispatched = await measure.dispatched()
    rounds.ceiling.push(plain)
    rounds.ours.push(dispatched)
    stage.say(`round ${round}: plain ${plain.toFixed(3)} ms, dispatched ${dispatched.toFixed(3)} ms`)
  }
  const plain = median(rounds.ceiling)
  const dispatched = median(rounds.ours)
  return {
    name: `dispatch of ${IN_SEQUENCE} actions in sequence, overhead of one`,
    ours: Math.max(0, dispatched - plain),
    ceiling: null,
    unit: 'ms',
    target: { of: 'ours', atMost: 1 },
    rounds,
    detail: { plain_ms: plain, dispatched_ms: dispatched },
  }
}
