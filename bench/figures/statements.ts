import { setTimeout as delay } from 'node:timers/promises'
import type { Commands as Requester } from '../processes/requester.ts'
import type { Commands as Steady } from '../processes/steady.ts'
import type { Figure, Row } from '../support/figure.ts'
import { bodyOf, seedPlugins, seedQueue, setStatus } from '../support/seed.ts'
import type { FigureDatabase, Stage } from '../support/stage.ts'
import { countingMethod, countStatements, type StatementCount } from '../support/statements.ts'
import { median } from '../support/stats.ts'
import { measureSteadily } from '../support/steady-run.ts'
import { eventOf, rate } from './intake-single.ts'

const CONNECTIONS = 64
const STEADY_PER_SECOND = 200
const TIMEOUT_MS = 60_000
/** Outcomes are recorded, idle lanes given back and the start's work done by then. */
const SETTLE_MS = 3_000

export const statements: Figure = {
  name: 'statements',
  title: 'SQL statements',
  about: `Statements to Postgres, \`begin\` and \`commit\` included: for each delivered event while ${CONNECTIONS} connections post single events, and at ${STEADY_PER_SECOND} a second; for each delivery while a queue is drained; each second while idle.`,
  async measure(stage) {
    const tenantId = crypto.randomUUID()
    const database = await stage.database()
    const receiver = await stage.receiver()
    const [pluginId = ''] = await seedPlugins(database.pool, {
      masterKey: stage.bed.masterKey,
      tenantId,
      plugins: [{ url: `${receiver.url}/latency/ours`, event: '*' }],
      maxInFlight: 64,
    })
    const service = await stage.service({ databaseUrl: database.url, roles: 'api,worker' })
    const requester = await stage.helper<Requester>('requester')
    const steady = await stage.helper<Steady>('steady')
    const url = `${service.url}/api/events`
    const headers = stage.headers(tenantId)
    const counted = (name: string, events: () => Promise<number>, target: Row['target']): Promise<Row> =>
      perEvent(stage, database, name, events, target)

    await delay(stage.pick(SETTLE_MS, 1_000))
    const seconds = stage.pick(5, 2)
    const idle: StatementCount[] = []
    for (let window = 0; window < stage.pick(3, 1); window++) {
      idle.push(await countStatements(stage.bed, database.name, () => delay(seconds * 1_000)))
    }
    const rows: Row[] = [
      {
        name: 'statements a second, idle',
        ours: median(idle.map(({ total }) => total / seconds)),
        ceiling: null,
        unit: '1/s',
        target: { of: 'ours', atMost: 3 },
        detail: { method: countingMethod(stage.bed), statements: idle.map(({ byStatement }) => byStatement) },
      },
    ]
    const gentle = async (): Promise<number> => {
      const load = {
        url,
        senders: [{ headers, event: 'order.created' }],
        perSecond: STEADY_PER_SECOND,
        seconds: stage.pick(4, 1),
      }
      return (await measureSteadily({ steady, receiver, pool: database.pool, group: 'ours', load })).count
    }
    await gentle()
    rows.push(await counted(`statements an event at ${STEADY_PER_SECOND} events/s`, gentle, null))

    const body = eventOf(300).replace('"data":{', '"data":{"sent_at":0,')
    let posted = 0
    rows.push(
      await counted(
        'statements an event, under load',
        async () => {
          const forSeconds = stage.pick(4, 1)
          await receiver.call('reset', null)
          posted = Math.round(
            forSeconds *
              (await rate(requester, { url, headers, body, connections: CONNECTIONS, seconds: forSeconds })),
          )
          return receiver.call('waitForQuiet', { quietMs: 1_000, timeoutMs: TIMEOUT_MS })
        },
        { of: 'ours', atMost: 1 },
      ),
    )
    stage.say(`about ${posted} events posted`)
    await setStatus(database.pool, [pluginId], 'paused')
    const count = await seedQueue(database.pool, {
      tenantId,
      plugins: [pluginId],
      events: stage.pick(20_000, 1_000),
      fanOut: 1,
      body: bodyOf(tenantId, 300).replace('"data":{', '"data":{"sent_at":0,'),
    })
    rows.push(
      await counted(
        'statements a delivery, draining a queue',
        async () => {
          await receiver.call('reset', null)
          await setStatus(database.pool, [pluginId], 'active')
          return receiver.call('waitFor', { count, timeoutMs: TIMEOUT_MS })
        },
        { of: 'ours', atMost: 1 },
      ),
    )
    return rows
  },
}

async function perEvent(
  stage: Stage,
  database: FigureDatabase,
  name: string,
  events: () => Promise<number>,
  target: Row['target'],
): Promise<Row> {
  let count = 0
  const { total, byStatement } = await countStatements(stage.bed, database.name, async () => {
    count = await events()
    // The last outcomes are still being written.
    await delay(500)
  })
  const row: Row = { name, ours: total / count, ceiling: null, unit: 'statements', target }
  return { ...row, detail: { events: count, method: countingMethod(stage.bed), statements: byStatement } }
}
