import { IN_WORDS } from './alert.ts'
import {
  type CatalogueType,
  count,
  ENTITIES,
  id,
  listOf,
  nullable,
  object,
  text,
  time,
} from './event-type.ts'

const ERROR = nullable(object({ step_id: nullable(text), code: text, message: text }))
const EXECUTIONS = listOf(
  object({ id: text, status: text, reason: nullable(text), event_id: nullable(text), error: ERROR }),
)
const NAMED = { flow: text, flow_id: id }

const CAUSE = { step_id: 'mail', code: 'http_4xx', message: 'No such template' }
const SAMPLE = {
  flow: 'Welcome New Customers',
  flow_id: '0196f1d2-7d10-7a52-8a3c-5b1f0c9d2e44',
}
const FAILED = {
  cause: CAUSE,
  executions: [
    {
      id: '0196f1d2-8e21-7b63-9b4d-6c2a1dae3f55',
      status: 'failed',
      reason: null,
      event_id: '0196f1d2-8e20-7c74-8c5e-7d3b2ebf4a66',
      error: CAUSE,
    },
  ],
}

/** Types of events in which this service tells about flows. */
export const FLOW_TYPES: readonly CatalogueType[] = [
  {
    name: 'flow.failing',
    description:
      "Five or more of a flow's last ten executions have failed. It goes on, and is paused after 20 in a row.",
    entity: ENTITIES.flow,
    sample: {
      ...SAMPLE,
      failed: 5,
      of: 8,
      ...FAILED,
      summary:
        '5 of the last 8 runs of Welcome New Customers have failed: No such template (http_4xx, step mail).',
      what_to_do:
        'GET /api/automation/executions/0196f1d2-8e21-7b63-9b4d-6c2a1dae3f55 shows the newest that failed. Mend the ' +
        'flow or what it calls, then retry what failed.',
    },
    schema: object(
      { ...NAMED, failed: count, of: count, cause: ERROR, executions: EXECUTIONS, ...IN_WORDS },
      ['flow', 'flow_id', 'failed', 'of'],
    ),
  },
  {
    name: 'flow.recovered',
    description: 'A flow that was failing is well: none of its last ten executions has failed.',
    entity: ENTITIES.flow,
    sample: {
      ...SAMPLE,
      failing_since: '2026-03-03T08:15:00.000Z',
      summary: 'The last 10 runs of Welcome New Customers went well.',
    },
    schema: object({ ...NAMED, failing_since: time, ...IN_WORDS }, ['flow', 'flow_id']),
  },
  {
    name: 'flow.paused',
    description:
      'The service has paused a flow: it failed 20 times in a row by what it is (`failing`), or triggered itself ' +
      '(`self_triggering`). What meets it meanwhile is kept, and taken up when it is activated.',
    entity: ENTITIES.flow,
    sample: {
      ...SAMPLE,
      reason: 'failing',
      ...FAILED,
      summary:
        'Welcome New Customers is paused, it failed too often: No such template (http_4xx, step mail).',
      what_to_do:
        'Mend the flow, then POST /api/automation/flows/0196f1d2-7d10-7a52-8a3c-5b1f0c9d2e44/activate: what it has ' +
        'missed since is taken up.',
    },
    schema: object({ ...NAMED, reason: text, cause: ERROR, executions: EXECUTIONS, ...IN_WORDS }, [
      'flow',
      'flow_id',
      'reason',
    ]),
  },
]
