import { type CatalogueType, ENTITIES, id, listOf, nullable, object, text } from './event-type.ts'

const ERROR = nullable(object({ step_id: nullable(text), code: text, message: text }))

/** What this service itself tells about flows. */
export const FLOW_TYPES: readonly CatalogueType[] = [
  {
    name: 'flow.paused',
    description:
      'The service has paused a flow: it failed 20 times in a row by what it is (`failing`), or triggered itself ' +
      '(`self_triggering`). What meets it meanwhile is kept, and taken up when it is activated.',
    entity: ENTITIES.flow,
    sample: {
      flow: 'Welcome New Customers',
      flow_id: '0196f1d2-7d10-7a52-8a3c-5b1f0c9d2e44',
      reason: 'failing',
      cause: { step_id: 'mail', code: 'http_4xx', message: 'No such template' },
      executions: [
        {
          id: '0196f1d2-8e21-7b63-9b4d-6c2a1dae3f55',
          status: 'failed',
          reason: null,
          event_id: '0196f1d2-8e20-7c74-8c5e-7d3b2ebf4a66',
          error: { step_id: 'mail', code: 'http_4xx', message: 'No such template' },
        },
      ],
    },
    schema: object(
      {
        flow: text,
        flow_id: id,
        reason: text,
        cause: ERROR,
        executions: listOf(
          object({ id: text, status: text, reason: nullable(text), event_id: nullable(text), error: ERROR }),
        ),
      },
      ['flow', 'flow_id', 'reason'],
    ),
  },
]
