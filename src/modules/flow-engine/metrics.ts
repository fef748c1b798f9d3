import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import { addSharedGauge } from '#infra/metrics.ts'
import type { Attention } from './attention-repository.ts'
import type { StepRecord } from './run/boundary-repository.ts'
import type { RunEnd } from './run/journal.ts'

/** The metrics of the flow engine; docs/operations.md says what each means and when to worry. */
export interface FlowMetrics {
  /** `trigger`: event, schedule, manual, webhook or retry; `outcome`: queued or skipped. */
  readonly executionsStarted: Counter<'trigger' | 'outcome'>
  /** `outcome`: completed, failed, cancelled, timed_out or skipped. */
  readonly executionsEnded: Counter<'outcome'>
  /** Seconds from the moment at which an execution was due until it was taken. */
  readonly executionLag: Histogram
  readonly executionsHeld: Gauge
  /** `outcome`: succeeded, failed or skipped. */
  readonly steps: Counter<'type' | 'outcome'>
  /** Seconds, waits included. */
  readonly stepDuration: Histogram<'type'>
  /** Seconds until a boundary was durable. */
  readonly boundaryDuration: Histogram<'outcome'>
  readonly eventsMatched: Counter
}

const LAG_BUCKETS_S = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15, 60, 300, 3_600]
const BOUNDARY_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 30]
/** From what is only calculated to a wait of a month. */
const STEP_BUCKETS_S = [0.005, 0.025, 0.1, 0.5, 1, 5, 30, 300, 3_600, 86_400, 2_592_000]

/** @param queue read for all processes, at most every few seconds; absent while the database is away */
export function createFlowMetrics(
  registry: Registry,
  queue: {
    unmatchedSeconds: () => Promise<number>
    dueSeconds: () => Promise<number>
    attention: () => Promise<Attention>
  },
): FlowMetrics {
  const registers = [registry]
  addSharedGauge(registry, {
    name: 'bcs_events_unmatched_seconds',
    help: 'For how long the oldest event that no flow has seen has been there',
    read: queue.unmatchedSeconds,
  })
  addSharedGauge(registry, {
    name: 'bcs_executions_oldest_due_seconds',
    help: 'For how long the oldest due execution has been waiting for a worker',
    read: queue.dueSeconds,
  })
  addSharedGauge(registry, {
    name: 'bcs_events_set_aside',
    help: 'Events that no flow sees until they are taken up again, counted up to 10,000',
    read: async () => (await queue.attention()).setAside,
  })
  addSharedGauge(registry, {
    name: 'bcs_flows_paused',
    help: 'Flows that the service has paused and that are not active again, counted up to 10,000',
    read: async () => (await queue.attention()).paused,
  })
  return {
    executionsStarted: new Counter({
      name: 'bcs_executions_started_total',
      help: 'Executions that were asked for, by what started them and outcome (queued, skipped)',
      labelNames: ['trigger', 'outcome'],
      registers,
    }),
    executionsEnded: new Counter({
      name: 'bcs_executions_ended_total',
      help: 'Executions that ended, by outcome (completed, failed, cancelled, timed_out, skipped)',
      labelNames: ['outcome'],
      registers,
    }),
    executionLag: new Histogram({
      name: 'bcs_execution_lag_seconds',
      help: 'How long after they were due executions were taken',
      buckets: LAG_BUCKETS_S,
      registers,
    }),
    executionsHeld: new Gauge({
      name: 'bcs_executions_held',
      help: 'Executions that this process runs at the moment',
      registers,
    }),
    steps: new Counter({
      name: 'bcs_steps_total',
      help: 'Steps that were done, by type and outcome (succeeded, failed, skipped)',
      labelNames: ['type', 'outcome'],
      registers,
    }),
    stepDuration: new Histogram({
      name: 'bcs_step_duration_seconds',
      help: 'How long steps took, waits included, by type',
      labelNames: ['type'],
      buckets: STEP_BUCKETS_S,
      registers,
    }),
    boundaryDuration: new Histogram({
      name: 'bcs_boundary_duration_seconds',
      help: 'How long writing a boundary took until it was durable, by outcome (written, lost, failed)',
      labelNames: ['outcome'],
      buckets: BOUNDARY_BUCKETS_S,
      registers,
    }),
    eventsMatched: new Counter({
      name: 'bcs_events_matched_total',
      help: 'Events that were gone through for flows',
      registers,
    }),
  }
}

/** Counts steps once they are durable. */
export function countSteps(metrics: FlowMetrics, records: readonly StepRecord[]): void {
  for (const { type, status, durationMs } of records) {
    metrics.steps.inc({ type, outcome: status })
    metrics.stepDuration.observe({ type }, durationMs / 1_000)
  }
}

/** Counts the end of an execution; a hold that ended in a wait is none. */
export function countEnd(metrics: FlowMetrics, { status, ours }: RunEnd): void {
  if (ours && status !== 'waiting' && status !== 'queued' && status !== 'running') {
    metrics.executionsEnded.inc({ outcome: status })
  }
}

export function countStarts(
  metrics: FlowMetrics,
  trigger: string,
  { queued, skipped }: { queued: number; skipped: number },
): void {
  if (queued > 0) metrics.executionsStarted.inc({ trigger, outcome: 'queued' }, queued)
  if (skipped > 0) metrics.executionsStarted.inc({ trigger, outcome: 'skipped' }, skipped)
}
