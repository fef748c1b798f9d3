import { isPlainObject } from '#lib/schema/safe/shape.ts'
import type { EventMatch, StepBase } from '../elements.ts'
import { readDuration } from '../read/duration.ts'
import { readEventMatch, readEventMatches } from '../read/event-match.ts'
import type { Reader } from '../read/reader.ts'
import { at, has, report, take } from '../read/reader.ts'
import { NO_REFERENCES, type DefinitionOf, USUAL } from './definition.ts'
import { DURATION, EVENT_MEMBERS } from './member-schemas.ts'

interface WaitEventConfig {
  any: EventMatch[]
  timeout_ms: number
  /** Events that came up to so long before the wait count as well. */
  look_back_ms: number
}
export type WaitEventStep = StepBase<'wait_event', WaitEventConfig, 'received' | 'timeout'>

export const waitEventStep: DefinitionOf<WaitEventStep> = {
  ...USUAL,
  since: 1,
  schema: {
    description: 'Waits for an event.',
    properties: {
      ...EVENT_MEMBERS,
      any: {
        type: ['array', 'object'],
        description: 'One event or several, of which one ends the wait.',
        items: { type: 'object', properties: EVENT_MEMBERS, additionalProperties: false },
      },
      timeout: DURATION,
      look_back: DURATION,
    },
    required: ['timeout'],
    examples: [
      {
        type: 'wait_event',
        event: 'order.paid',
        match: 'trigger.order_id',
        filter: { field: 'event.data.total', operator: 'gte', value: 500 },
        timeout: '7 days',
      },
      {
        type: 'wait_event',
        any: [{ event: 'order.paid', match: 'trigger.order_id' }],
        timeout: '7 days',
        look_back: '5 min',
      },
    ],
  },
  read: readWait,
  output: () => ({
    type: 'object',
    properties: { event: { type: 'object' }, alternative: {} },
  }),
  ports: () => ['received', 'timeout'],
  goesOn: [],
  withoutOutput: ['timeout'],
  calls: false,
  causes: 'nothing',
  references: ({ event, any }) => {
    const alternatives = [any].flat().filter(isPlainObject)
    return { ...NO_REFERENCES, eventTypes: [event, ...alternatives.map((each) => each['event'])] }
  },
}

function readWait(reader: Reader): WaitEventConfig | null {
  const any = has(reader, 'any')
    ? readEventMatches(reader, take(reader, 'any'), at(reader, 'any'))
    : [readEventMatch(reader)].filter((match) => match !== null)
  if (!has(reader, 'timeout')) {
    const message = 'Add "timeout", such as "7 days": the event may never come.'
    report(reader, 'wait_without_timeout', at(reader, 'timeout'), message)
  }
  const timeoutMs = readDuration(reader, 'timeout')
  const lookBackMs = readDuration(reader, 'look_back') ?? 0
  if (timeoutMs === null || any.length === 0) return null
  return { any, timeout_ms: timeoutMs, look_back_ms: lookBackMs }
}
