import type { Commands as Steady } from '../processes/steady.ts'
import type { Latencies } from '../processes/receiver.ts'
import { type Attack, attack, type AttackContext, ATTACKS } from '../support/attacks.ts'
import type { Figure, Row } from '../support/figure.ts'
import { seedPlugins } from '../support/seed.ts'
import type { Stage } from '../support/stage.ts'
import { measureSteadily } from '../support/steady-run.ts'

const HONEST = 2
const PER_SECOND_EACH = 50

export const fairness: Figure = {
  name: 'fairness',
  title: 'Honest shops beside one that attacks',
  about: `${HONEST} shops send ${PER_SECOND_EACH} events a second each, beside one attack after the other: their time from request to arrival, and no event of theirs is refused or lost. Ceiling: the same without the attacker.`,
  async measure(stage) {
    const rows: Row[] = []
    const shared = stage.quick ? await prepare(stage) : null
    for (const each of ATTACKS) {
      // What one leaves behind is not the next one's burden.
      await using inner = stage.inner()
      rows.push(await measureBeside(stage, shared ?? (await prepare(inner)), each))
    }
    return rows
  },
}

interface Honest {
  measure: (seconds: number) => Promise<Latencies>
  context: AttackContext
}

async function prepare(stage: Stage): Promise<Honest> {
  const honest = Array.from({ length: HONEST }, () => crypto.randomUUID())
  const database = await stage.database()
  const receiver = await stage.receiver()
  const hanging = await stage.receiver()
  for (const tenantId of honest) {
    await seedPlugins(database.pool, {
      masterKey: stage.bed.masterKey,
      tenantId,
      plugins: [{ url: `${receiver.url}/latency/honest`, event: 'order.created' }],
    })
  }
  const { url } = await stage.service({ databaseUrl: database.url, roles: 'api,worker' })
  const steady = await stage.helper<Steady>('steady')
  const measure = (seconds: number): Promise<Latencies> =>
    measureSteadily({
      steady,
      receiver,
      pool: database.pool,
      group: 'honest',
      load: {
        url: `${url}/api/events`,
        senders: honest.map((tenantId) => ({ headers: stage.headers(tenantId), event: 'order.created' })),
        perSecond: HONEST * PER_SECOND_EACH,
        seconds,
      },
    })
  await measure(stage.pick(2, 0.3))
  const headers = (tenantId: string): Record<string, string> => stage.headers(tenantId)
  return { measure, context: { url, headers, hangingUrl: `${hanging.url}/hang`, scale: stage.pick(1, 0.1) } }
}

async function measureBeside(stage: Stage, { measure, context }: Honest, each: Attack): Promise<Row> {
  const before = await measure(stage.pick(5, 0.5))
  const once = await each.prepare(context, crypto.randomUUID())
  const end = new AbortController()
  const attacking = attack(each, once, { scale: context.scale, signal: end.signal })
  try {
    const beside = await measure(stage.pick(10, 1))
    end.abort()
    return {
      name: `beside ${each.name}, p99`,
      ours: beside.p99,
      ceiling: before.p99,
      unit: 'ms',
      target: { of: 'ours', atMost: 2_000 },
      isGate: true,
      detail: { p50: beside.p50, answers_of_the_attack: await attacking },
    }
  } finally {
    end.abort()
    await attacking
  }
}
