import { defineProblem } from '#lib/api/problem.ts'

export const eventConflict = defineProblem(
  'event_conflict',
  409,
  'Another event has this id',
  'An id (or Idempotency-Key) stands for one event of whoever publishes it. Send the first event unchanged, or this one with its own id.',
)
export const eventTooLarge = defineProblem(
  'event_too_large',
  413,
  'The event is too large',
  'One event is at most 1 MiB of JSON; send a link to what is larger.',
)
export const tooManyDeliveries = defineProblem(
  'too_many_deliveries',
  413,
  'The request would make too many deliveries',
  'Each event makes one for every plugin that is subscribed to it. Send the events in halves.',
)
export const eventTypeForbidden = defineProblem(
  'event_type_forbidden',
  403,
  'The plugin may not publish this event type',
  "A plugin's key publishes what its plugin has declared and, unless the shop is strict, types that nobody owns.",
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
export const eventNotFound = defineProblem(
  'event_not_found',
  404,
  'There is no such event',
  'Check the id: it is the one that intake answered, or your own. Events are kept for RETENTION_DAYS.',
)
export const eventBodyGone = defineProblem(
  'event_body_gone',
  409,
  "The event's body is gone",
  'It was aged out or erased, so it cannot be delivered again.',
)
export const pluginNotSubscribed = defineProblem(
  'plugin_not_subscribed',
  409,
  'No such plugin is subscribed to the event',
  "Check the slug, and that one of the plugin's subscriptions matches the event.",
)
export const eventTypeNotFound = defineProblem(
  'event_type_not_found',
  404,
  'There is no such event type',
  'See GET /api/event-types.',
)
export const eventTypeTaken = defineProblem(
  'event_type_taken',
  409,
  'The event type is not yours to change',
  'It belongs to the platform or to a plugin. Choose another name.',
)
export const tooManyEventTypes = defineProblem(
  'too_many_event_types',
  409,
  'There are too many event types',
  'A tenant declares at most 1,000. Delete one first.',
)
export const eventTypeInvalid = defineProblem(
  'event_type_invalid',
  422,
  'The schema or the sample cannot be used',
  'See errors. Schemas use a subset of JSON Schema, and the sample has to match.',
)
