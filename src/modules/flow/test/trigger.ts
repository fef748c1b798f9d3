import { Buffer } from 'node:buffer'
import type { FlowCatalogue } from '#lib/flow/index.ts'
import type { CanonicalFlow, Trigger, WebhookTrigger } from '#lib/flow/types.ts'
import { invalidRequest, unsupportedMediaType } from '#infra/http/problems.ts'
import { Problem } from '#lib/api/problem.ts'
import { newId } from '#lib/ids.ts'
import { sampleOf } from '#lib/schema/sample-schema.ts'
import type { SafeSchema } from '#lib/schema/safe/index.ts'
import type { SimulationRequest } from '#modules/flow-engine/index.ts'
import { hookRequest, readHookBody } from '#modules/flow-trigger/index.ts'
import type { FlowTestRequest } from './schemas.ts'

export type TestTrigger = SimulationRequest['trigger']

/** Makes up what starts a test, from the sample that was given. @throws `invalid_request` */
export async function sampleTrigger(
  flow: CanonicalFlow,
  given: Pick<FlowTestRequest, 'trigger' | 'event' | 'source' | 'data' | 'request'>,
  catalogue: Pick<FlowCatalogue, 'eventTypes'>,
  now: Date,
): Promise<TestTrigger> {
  const trigger = chosenTrigger(flow, given)
  if (given.request !== undefined && trigger?.type !== 'webhook') {
    throw unfit('/request', 'must be left out: the trigger is not a webhook')
  }
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
      // Another one has a URL of its own.
      return { ...without, kind: 'webhook', id: trigger.id, ...(await receivedBy(trigger, given)) }
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

/** Reads a sample request as the inlet of a trigger reads one that comes. Who sends it is not asked. */
async function receivedBy(
  trigger: WebhookTrigger,
  { data, request }: Pick<FlowTestRequest, 'data' | 'request'>,
): Promise<Pick<TestTrigger, 'data' | 'request'>> {
  const { query = {}, body } = request ?? {}
  const headers = Object.fromEntries(
    Object.entries(request?.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]),
  )
  const shown = hookRequest(headers, query, trigger.headers)
  if (body === undefined) return { data: data === undefined ? {} : data, request: shown }
  if (data !== undefined) throw unfit('/data', 'must not be given together with request.body')
  return { data: await bodyOf(headers['content-type'], body), request: shown }
}

/** @throws `invalid_request` with what the sender would be answered */
async function bodyOf(type: string | undefined, body: string): Promise<unknown> {
  try {
    return (await readHookBody(type, Buffer.from(body))) ?? null
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    if (error.code === unsupportedMediaType.code) throw unfit('/request/headers/content-type', error.message)
    const [first] = error.errors ?? []
    if (first === undefined) throw unfit('/request/body', error.message)
    throw unfit(`/request/body${first.pointer === '/' ? '' : first.pointer}`, first.detail)
  }
}

function chosenTrigger(
  { triggers }: CanonicalFlow,
  { trigger: id, event, request }: Pick<FlowTestRequest, 'trigger' | 'event' | 'request'>,
): Trigger | undefined {
  if (id !== undefined) {
    const chosen = triggers.find((trigger) => trigger.id === id)
    if (chosen !== undefined) return chosen
    const ids = triggers.map((trigger) => trigger.id).join(', ')
    throw unfit('/trigger', `must be the id of a trigger: ${ids}`)
  }
  if (request !== undefined) return triggers.find((trigger) => trigger.type === 'webhook')
  if (event === undefined) return triggers[0]
  const ofEvents = triggers.filter((trigger) => trigger.type === 'event')
  return ofEvents.find(({ event_types }) => event_types.includes(event)) ?? ofEvents[0]
}

function sampled(schema: SafeSchema | null): unknown {
  return schema === null ? {} : sampleOf(schema)
}

function unfit(pointer: string, detail: string): Error {
  return invalidRequest(undefined, { errors: [{ pointer, detail }] })
}
