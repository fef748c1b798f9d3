import type pg from 'pg'
import type { Commands as Receiver, Latencies } from '../processes/receiver.ts'
import type { Commands as Steady, SteadyLoad } from '../processes/steady.ts'
import type { Helper } from './ipc.ts'

export interface SteadyRun {
  steady: Helper<Steady>
  receiver: Helper<Receiver>
  /** The receiver's path below `/latency/`. */
  group: string
  load: SteadyLoad
  /** Asked what became of events that did not arrive. */
  pool: pg.Pool
}

/** After the last event was sent, for so long the slow ones are waited for. */
const ARRIVAL_TIMEOUT_MS = 60_000

/** Sends steadily and waits until every event has arrived. @throws when one was refused or is missing */
export async function measureSteadily({
  steady,
  receiver,
  group,
  load,
  pool,
}: SteadyRun): Promise<Latencies> {
  await receiver.call('reset', null)
  const { sent, refused } = await steady.call('run', load)
  if (Object.keys(refused).length > 0) throw new Error(`events were refused: ${JSON.stringify(refused)}`)
  await receiver.call('waitForGroup', { group, count: sent, timeoutMs: ARRIVAL_TIMEOUT_MS })
  const latencies = await receiver.call('latencies', { group })
  if (latencies.count < sent) {
    throw new Error(`${latencies.count} of ${sent} events arrived. Not sent: ${await describeUnsent(pool)}`)
  }
  return latencies
}

/** Describes the deliveries that were not sent: the number of plugins that share each state. */
async function describeUnsent(pool: pg.Pool): Promise<string> {
  const { rows } = await pool.query(
    `select count(*)::int as plugins, status, attempt_count, last_error_class, hold_reason, leased, sum(deliveries)::int as deliveries
     from (
       select d.status, d.attempt_count, d.last_error_class, l.hold_reason, l.lease_until > now() as leased,
         count(*) as deliveries
       from deliveries d join delivery_lanes l on l.plugin_id = d.plugin_id
       where d.status <> 'sent' group by l.plugin_id, 1, 2, 3
     ) each group by 2, 3, 4, 5, 6 order by plugins desc`,
  )
  return rows.map((row) => JSON.stringify(row)).join('\n')
}
