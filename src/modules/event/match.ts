import { type FieldError, Problem } from '../../lib/problem.ts'
import { checkEventData } from './check-data.ts'
import type { ComposedEvent } from './compose.ts'
import { eventSchemaMismatch, eventTypeForbidden, eventTypeUnknown } from './errors.ts'
import type { TenantPicture } from './picture.ts'

/** An event with the plugins that get it, by one picture of its tenant. */
export interface MatchedEvent {
  readonly composed: ComposedEvent
  readonly picture: TenantPicture
  readonly plugins: readonly string[]
  readonly schemaProblems: readonly FieldError[] | null
}

/** Whom the event goes to, or why its tenant does not take it. */
export function matchEvent(composed: ComposedEvent, picture: TenantPicture): MatchedEvent | Problem {
  const { event, data, publisherPluginId } = composed
  if (publisherPluginId !== null && picture.types.get(event)?.pluginId !== publisherPluginId) {
    return eventTypeForbidden()
  }
  const checked = checkEventData(picture, event, data)
  if (picture.strict) {
    if (!checked.known) return eventTypeUnknown()
    if (checked.problems !== null) return eventSchemaMismatch(undefined, { errors: checked.problems })
  }
  return { composed, picture, plugins: picture.pluginsFor(event, data), schemaProblems: checked.problems }
}

export function isProblem(value: object): value is Problem {
  return value instanceof Problem
}
