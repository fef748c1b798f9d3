import type pg from 'pg'
import type { Commands as Receiver } from '../processes/receiver.ts'
import type { Commands as Steady } from '../processes/steady.ts'
import type { Row } from './figure.ts'
import type { Helper } from './ipc.ts'
import type { Stage } from './stage.ts'
import { measureSteadily } from './steady-run.ts'

export interface LatencyRun {
  /** Completed by the rate and the percentile. */
  name: string
  tenantId: string
  serviceUrl: string
  receiver: Helper<Receiver> & { url: string }
  pool: pg.Pool
  perSecond: number
  /** In milliseconds, for the 95th percentile. */
  atMost: number
}

/**
 * Measures the time that events take through the service to the receiver's `/latency/ours`, each its own request at a
 * steady rate. Ceiling: the same load posted straight to the receiver.
 */
export async function measureLatency(stage: Stage, run: LatencyRun): Promise<Row[]> {
  const { receiver, pool, perSecond } = run
  const steady = await stage.helper<Steady>('steady')
  const senders = [{ headers: stage.headers(run.tenantId), event: 'order.created' }]
  const measure = (url: string, group: string, seconds: number) =>
    measureSteadily({ steady, receiver, pool, group, load: { url, senders, perSecond, seconds } })
  await measure(`${run.serviceUrl}/api/events`, 'ours', stage.pick(2, 1))
  const direct = await measure(`${receiver.url}/latency/direct`, 'direct', stage.pick(5, 1))
  const ours = await measure(`${run.serviceUrl}/api/events`, 'ours', stage.pick(20, 3))
  return (['p50', 'p95', 'p99'] as const).map((p): Row => ({
    name: `${run.name} at ${perSecond} events/s, ${p}`,
    ours: ours[p],
    ceiling: direct[p],
    unit: 'ms',
    target: p === 'p95' ? { of: 'ours', atMost: run.atMost } : null,
  }))
}
