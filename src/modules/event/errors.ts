import { defineProblem } from '../../lib/problem.ts'

export const eventConflict = defineProblem(
  'event_conflict',
  409,
  'Another event has this id',
  'An id (or Idempotency-Key) stands for one event. Send the first event unchanged, or this one with its own id.',
)
export const eventTooLarge = defineProblem(
  'event_too_large',
  413,
  'The event is too large',
  'One event is at most 1 MiB of JSON; send a link to what is larger.',
)
export const eventTypeForbidden = defineProblem(
  'event_type_forbidden',
  403,
  'The plugin may not publish this event type',
  "A plugin's key publishes only the event types that its plugin has declared.",
)
export const eventTypeUnknown = defineProblem(
  'event_type_unknown',
  422,
  'The event type is not in the catalogue',
  'The tenant takes only known types. Declare it by PUT /api/event-types/{name}, or see GET /api/event-types.',
)
export const eventSchemaMismatch = defineProblem(
  'event_schema_mismatch',
  422,
  "The event's data does not match its type's schema",
  'See errors, and GET /api/event-types/{name} for the schema.',
)
