import { type FieldError, Problem } from '#lib/api/problem.ts'
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
  /** Somebody has declared the type. */
  readonly known: boolean
  readonly schemaProblems: readonly FieldError[] | null
}

/** Whom the event goes to, or why its tenant does not take it. */
export function matchEvent(composed: ComposedEvent, picture: TenantPicture): MatchedEvent | Problem {
  const { event, data, publisherPluginId } = composed
  const refusal = publisherPluginId === null ? null : refusePublishing(picture, event, publisherPluginId)
  if (refusal !== null) return refusal
  const checked = checkEventData(picture, event, data)
  if (picture.strict) {
    if (!checked.known) return eventTypeUnknown()
    if (checked.problems !== null) return eventSchemaMismatch(undefined, { errors: checked.problems })
  }
  const { known, problems } = checked
  return { composed, picture, plugins: picture.pluginsFor(event, data), known, schemaProblems: problems }
}

export function isProblem(value: object): value is Problem {
  return value instanceof Problem
}
