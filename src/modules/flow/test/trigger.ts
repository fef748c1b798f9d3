import type { FlowCatalogue } from '#lib/flow/index.ts'
import type { CanonicalFlow, Trigger } from '#lib/flow/types.ts'
import { invalidRequest } from '#infra/http/problems.ts'
import { newId } from '#lib/ids.ts'
import { sampleOf } from '#lib/schema/sample-schema.ts'
import type { SafeSchema } from '#lib/schema/safe/index.ts'
import type { SimulationRequest } from '#modules/flow-engine/index.ts'
import type { FlowTestRequest } from './schemas.ts'

export type TestTrigger = SimulationRequest['trigger']

/** What starts a test on sample data. @throws `invalid_request` */
export function sampleTrigger(
  flow: CanonicalFlow,
  given: Pick<FlowTestRequest, 'trigger' | 'event' | 'source' | 'data' | 'request'>,
  catalogue: Pick<FlowCatalogue, 'eventTypes'>,
  now: Date,
): TestTrigger {
  const trigger = chosenTrigger(flow, given)
  const without = { id: given.trigger ?? null, event: null, causationDepth: 0 }
  const data = (fallback: unknown): unknown => (given.data === undefined ? fallback : given.data)
  switch (trigger?.type) {
    case 'schedule': {
      const at = now.toISOString()
      return { ...without, kind: 'schedule', data: data({ scheduled_at: at, fired_at: at, missed: 0 }) }
    }
    case 'manual':
      return { ...without, kind: 'manual', data: data(sampled(trigger.input_schema)) }
    case 'webhook':
      return {
        ...without,
        kind: 'webhook',
        data: data({}),
        request: given.request ?? { headers: {}, query: {} },
      }
    default: {
      const type = given.event ?? trigger?.event_types[0] ?? ''
      const source = given.source ?? trigger?.plugin_id ?? 'platform'
      const { schema = null, sample: example = null } = catalogue.eventTypes.get(type) ?? {}
      const sample = data(schema === null ? (example ?? {}) : sampleOf(schema))
      const event = { id: newId(), type, timestamp: now.toISOString(), source, data: sample }
      return { ...without, kind: 'event', data: sample, event }
    }
  }
}

function chosenTrigger(
  { triggers }: CanonicalFlow,
  { trigger: id, event }: Pick<FlowTestRequest, 'trigger' | 'event'>,
): Trigger | undefined {
  if (id !== undefined) {
    const chosen = triggers.find((trigger) => trigger.id === id)
    if (chosen !== undefined) return chosen
    const ids = triggers.map((trigger) => trigger.id).join(', ')
    throw invalidRequest(undefined, {
      errors: [{ pointer: '/trigger', detail: `must be the id of a trigger: ${ids}` }],
    })
  }
  if (event === undefined) return triggers[0]
  const ofEvents = triggers.filter((trigger) => trigger.type === 'event')
  return ofEvents.find(({ event_types }) => event_types.includes(event)) ?? ofEvents[0]
}

function sampled(schema: SafeSchema | null): unknown {
  return schema === null ? {} : sampleOf(schema)
}
