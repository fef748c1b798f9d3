import { type FieldError, Problem } from '#lib/api/problem.ts'
import type { StepBudget } from '#lib/step-budget.ts'
import { checkEventData } from './check-data.ts'
import type { ComposedEvent } from './compose.ts'
import { eventSchemaMismatch, eventTypeUnknown } from '../errors.ts'
import type { TenantPicture } from './snapshot.ts'
import { refusePublishing } from './publishing.ts'

/** An event with the plugins that get it, by one picture of its tenant. */
export interface MatchedEvent {
  readonly composed: ComposedEvent
  readonly picture: TenantPicture
  readonly plugins: readonly string[]
  /** Plugins whose filters cost too much: they get a delivery that has failed for it. */
  readonly undecided: readonly string[]
  /** Plugins that want the type, and whose filters the event does not meet. */
  readonly filtered: readonly string[]
  /** Somebody has declared the type. */
  readonly known: boolean
  readonly schemaProblems: readonly FieldError[] | null
}

/**
 * Whom the event goes to, or why its tenant does not take it.
 *
 * @param budget of the event's filters
 */
export function matchEvent(
  composed: ComposedEvent,
  picture: TenantPicture,
  budget?: StepBudget,
): MatchedEvent | Problem {
  const { event, data, publisherPluginId } = composed
  const refusal = publisherPluginId === null ? null : refusePublishing(picture, event, publisherPluginId)
  if (refusal !== null) return refusal
  const checked = checkEventData(picture, event, data)
  if (picture.strict) {
    if (!checked.known) return eventTypeUnknown()
    if (checked.problems !== null) return eventSchemaMismatch(undefined, { errors: checked.problems })
  }
  const { known, problems } = checked
  return { composed, picture, ...picture.pluginsFor(event, data, budget), known, schemaProblems: problems }
}

export function isProblem(value: object): value is Problem {
  return value instanceof Problem
}
