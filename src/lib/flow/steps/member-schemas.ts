import type { SafeSchema } from '#lib/schema/safe/index.ts'
import { MAX_RETRIES } from '../retry.ts'

const CONDITION: SafeSchema = {
  type: 'object',
  description: 'A test of a field, or a group: `all`, `any` or `none` of several conditions.',
}
const CONDITIONS: SafeSchema = { type: 'array', items: CONDITION }

/** A condition, under `condition` or written straight into what has it. */
export const CONDITION_MEMBERS: Record<string, SafeSchema> = {
  condition: CONDITION,
  field: { type: 'string' },
  operator: { type: 'string' },
  value: {},
  all: CONDITIONS,
  any: CONDITIONS,
  none: CONDITIONS,
}

export const DURATION: SafeSchema = {
  type: ['string', 'integer'],
  description: '`3 days`, `90 min` or `PT72H`, or milliseconds.',
}
export const OFFSET: SafeSchema = { ...DURATION, description: 'A duration; with a minus, before the time.' }

/** An event to wait for. */
export const EVENT_MEMBERS: Record<string, SafeSchema> = {
  event: { type: 'string', description: 'An event type.' },
  match: {
    type: ['string', 'object'],
    description: 'A path such as `trigger.order_id`, or paths in the event’s data with templates.',
  },
  filter: { ...CONDITION, description: 'Tests the event that came as `event.data`.' },
}

export const ACTION_NAME: Record<string, SafeSchema> = {
  plugin_id: { type: 'string', description: 'A plugin’s slug or UUID, or `platform`.' },
  action_id: { type: 'string' },
  action_type: { type: 'string', description: 'The linear format’s name for `action_id`.' },
}

const RETRY_COUNT: SafeSchema = { type: 'integer', minimum: 0, maximum: MAX_RETRIES }

/** Members of all steps that call others. */
export const CALL_MEMBERS: Record<string, SafeSchema> = {
  timeout: { ...DURATION, description: 'Of one attempt: 100 ms to 5 minutes.' },
  retry: {
    type: 'object',
    properties: { max_retries: RETRY_COUNT, base_ms: DURATION, patience: DURATION },
    additionalProperties: false,
  },
  retry_count: RETRY_COUNT,
  retry_delay: DURATION,
  patience: DURATION,
}
