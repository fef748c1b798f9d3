import { Counter, Histogram, type Registry } from 'prom-client'
import { addSharedGauge } from '#infra/metrics.ts'

/** The metrics of schedules; docs/operations.md says what each means and when to worry. */
export interface ScheduleMetrics {
  /** `outcome`: fired, passed (nothing was to start) or postponed (it failed). */
  readonly fired: Counter<'outcome'>
  /** Seconds from a schedule's time until its execution was started. */
  readonly lag: Histogram
}

const LAG_BUCKETS_S = [0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 3_600]

/** @param oldestDueSeconds read for all processes, at most every few seconds */
export function createScheduleMetrics(
  registry: Registry,
  oldestDueSeconds: () => Promise<number>,
): ScheduleMetrics {
  addSharedGauge(registry, {
    name: 'bcs_schedules_oldest_due_seconds',
    help: 'For how long the oldest due schedule has been waiting for a worker',
    read: oldestDueSeconds,
  })
  return {
    fired: new Counter({
      name: 'bcs_schedules_fired_total',
      help: 'Schedules that came due, by outcome (fired, passed, postponed)',
      labelNames: ['outcome'],
      registers: [registry],
    }),
    lag: new Histogram({
      name: 'bcs_schedule_lag_seconds',
      help: 'How long after their time schedules started something',
      buckets: LAG_BUCKETS_S,
      registers: [registry],
    }),
  }
}
