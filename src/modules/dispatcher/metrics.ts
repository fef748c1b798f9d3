import { Counter, Histogram, type Registry } from 'prom-client'
import type { Plan } from './dispatch/plan.ts'
import type { ActionResult } from './types.ts'

/** The dispatcher's metrics; docs/operations.md says what each means and when to worry. */
export interface DispatchMetrics {
  /** `source`: platform, plugin, or none where no action was found; `outcome`: succeeded, failed, accepted, replayed. */
  readonly actions: Counter<'source' | 'outcome'>
  /** Seconds, of actions that were called: all attempts and the pauses between them. */
  readonly actionDuration: Histogram<'source'>
  /** Actions of one dispatch. */
  readonly dispatchSize: Histogram<'mode'>
}

const ACTION_BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
const SIZE_BUCKETS = [1, 2, 5, 10, 25, 50, 100]

export function createDispatchMetrics(registry: Registry): DispatchMetrics {
  const registers = [registry]
  return {
    actions: new Counter({
      name: 'bcs_actions_total',
      help: 'Actions that were asked for, by whose they are (platform, plugin, none) and outcome (succeeded, failed, accepted, replayed)',
      labelNames: ['source', 'outcome'],
      registers,
    }),
    actionDuration: new Histogram({
      name: 'bcs_action_duration_seconds',
      help: 'How long actions took that were called, repetitions included, by whose they are',
      labelNames: ['source'],
      buckets: ACTION_BUCKETS_S,
      registers,
    }),
    dispatchSize: new Histogram({
      name: 'bcs_dispatch_actions',
      help: 'Dispatched lists of actions and how many actions each had, by mode (sequential, parallel)',
      labelNames: ['mode'],
      buckets: SIZE_BUCKETS,
      registers,
    }),
  }
}

export function countAction(metrics: DispatchMetrics, plan: Plan | undefined, result: ActionResult): void {
  const source = plan !== undefined && 'planned' in plan ? plan.planned.action.source : 'none'
  metrics.actions.inc({ source, outcome: result.replayed ? 'replayed' : result.status })
  if (result.attempts > 0 && !result.replayed) {
    metrics.actionDuration.observe({ source }, result.durationMs / 1_000)
  }
}
