import type { Condition } from '#lib/condition/index.ts'
import type { EventScope, FlowScope } from '#lib/flow/scope.ts'
import type { EventTrigger } from '#lib/flow/types.ts'
import type { StepBudget } from '#lib/step-budget.ts'
import { StepError, type Templates, test } from '../run/evaluate.ts'

export interface TriggerRefusal {
  /** `filter_budget`: the filter costs more than it may. */
  reason: 'event_type' | 'source' | 'filter' | 'filter_budget'
  /** An operator of the filter met a value that it does not fit. */
  isMismatch?: boolean
  /** Says why the filter could not be tested, if it could not. */
  note: string | null
}

/**
 * Why an event does not start the flow by this trigger; null: it does. Without a `plugin_id` a trigger takes what the
 * platform and the shop publish, and what a plugin does below a first segment of its own, where nobody else's events are.
 *
 * @param isOwn whether who published it is the one from whom events of the type come
 * @param scope asked for only by a filter
 */
export function triggerRefusal(
  program: Templates,
  trigger: EventTrigger,
  event: EventScope,
  isOwn: boolean,
  scope: () => FlowScope,
  now: Date,
  budget?: StepBudget,
): TriggerRefusal | null {
  if (!trigger.event_types.includes(event.type)) return { reason: 'event_type', note: null }
  if (trigger.plugin_id === null ? !isOwn : trigger.plugin_id !== event.source) {
    return { reason: 'source', note: null }
  }
  return trigger.filter === null ? null : filterRefusal(program, trigger.filter, scope(), now, budget)
}

/** Why what came does not pass a trigger's filter; null: it does. */
export function filterRefusal(
  program: Templates,
  filter: Condition,
  scope: FlowScope,
  now: Date,
  budget?: StepBudget,
): TriggerRefusal | null {
  try {
    const { result, note, exhausted } = test(program, filter, scope, now, { budget })
    if (exhausted) return { reason: 'filter_budget', note }
    return result ? null : { reason: 'filter', note, isMismatch: note !== null }
  } catch (error) {
    // A value of the filter is missing in what came: it is not something that the flow is about.
    if (error instanceof StepError) return { reason: 'filter', note: error.message }
    throw error
  }
}
