import type { Condition } from '#lib/condition/index.ts'
import type { EventScope, FlowScope } from '#lib/flow/scope.ts'
import type { EventTrigger } from '#lib/flow/types.ts'
import { StepError, type Templates, test } from '../run/evaluate.ts'

export interface TriggerRefusal {
  reason: 'event_type' | 'source' | 'filter'
  /** What kept the filter from being tested, if something did. */
  note: string | null
}

/** Why an event does not start the flow by this trigger; null: it does. @param scope asked for only by a filter */
export function triggerRefusal(
  program: Templates,
  trigger: EventTrigger,
  event: EventScope,
  scope: () => FlowScope,
  now: Date,
): TriggerRefusal | null {
  if (!trigger.event_types.includes(event.type)) return { reason: 'event_type', note: null }
  if (trigger.plugin_id !== null && trigger.plugin_id !== event.source) {
    return { reason: 'source', note: null }
  }
  return trigger.filter === null ? null : filterRefusal(program, trigger.filter, scope(), now)
}

/** Why what came does not pass a trigger's filter; null: it does. */
export function filterRefusal(
  program: Templates,
  filter: Condition,
  scope: FlowScope,
  now: Date,
): TriggerRefusal | null {
  try {
    const { result, note } = test(program, filter, scope, now)
    return result ? null : { reason: 'filter', note }
  } catch (error) {
    // A value of the filter is missing in what came: it is not something that the flow is about.
    if (error instanceof StepError) return { reason: 'filter', note: error.message }
    throw error
  }
}
