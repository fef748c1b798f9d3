import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { callerOf } from '#infra/http/caller.ts'
import { JSON_TYPE, readJsonBatch } from '#infra/http/edge.ts'
import { invalidRequest } from '#infra/http/problems.ts'
import { WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { answerSender } from '#infra/http/sender-handshake.ts'
import { JsonInputError } from '#lib/json/index.ts'
import { problems, ref } from '#lib/api/schema.ts'
import { BATCHED, isBinaryCloudEvent, JSON_LIKE, STRUCTURED } from './cloudevents.ts'
import {
  eventConflict,
  eventSchemaMismatch,
  eventTooLarge,
  eventTypeForbidden,
  eventTypeUnknown,
  tooManyDeliveries,
} from '../errors.ts'
import type { SecretBox } from '#lib/secrets/secret-box.ts'
import { believedCausation } from './causation.ts'
import { readAutomationEvent, readEvents, withCausation, withKey } from './request.ts'
import {
  AcceptedEvent,
  AutomationWebhook,
  CloudEvent,
  EventBatchInput,
  EventBatchResult,
  EventInput,
  IntakeHeaders,
  MAX_BATCH_EVENTS,
} from './schemas.ts'
import { submitBatch, submitOne, type Submitter } from './submit.ts'
import type { EventService } from '../context.ts'

/** 1,000 events of 8 KiB. */
const BATCH_BODY_LIMIT = 8 * 1024 * 1024
const INTAKE_PROBLEMS = [
  ...WRITE_PROBLEMS,
  eventTypeForbidden,
  eventConflict,
  eventTooLarge,
  tooManyDeliveries,
  eventTypeUnknown,
  eventSchemaMismatch,
]
const BODY_SHAPE = { list: 'events', maxItems: MAX_BATCH_EVENTS, members: ['data', 'payload'] }
/** The body itself is data: there is no list in it. */
const DATA_SHAPE = { ...BODY_SHAPE, list: null }
/** An event as it was sent, without the line breaks that are not kept: what is longer has more data than an event may. */
const MAX_ITEM_BYTES = 1.5 * 1024 * 1024
/** The schemas are for the document: parse.ts checks the bodies, event by event. */
const validatorCompiler = () => () => true
/** Answers are made member by member in submit.ts; telling one shape from the other by schema costs more than both. */
const serializerCompiler = () => (answer: unknown) => JSON.stringify(answer)

export function intakeRoutes(
  app: FastifyInstance,
  { events, secretBox }: { events: EventService; secretBox: SecretBox },
): void {
  app.removeContentTypeParser(JSON_TYPE)
  for (const type of [JSON_TYPE, STRUCTURED, BATCHED, JSON_LIKE]) {
    app.addContentTypeParser(type, { parseAs: 'buffer' }, async (request: FastifyRequest, bytes: Buffer) =>
      readBody(request, bytes),
    )
  }

  app.post(
    '/api/events',
    {
      bodyLimit: BATCH_BODY_LIMIT,
      // A batch may name the tenant of each event.
      validatorCompiler,
      serializerCompiler,
      config: { ownShare: true },
      schema: {
        operationId: 'createEvents',
        tags: ['events'],
        summary: 'Send one event, or up to 1,000',
        description:
          'Answered once the event and its deliveries are stored. One event of a batch that is refused does not ' +
          'affect the others, which are stored together. An `id` (or, for a single event, the header ' +
          'Idempotency-Key) makes sending again safe. CloudEvents 1.0 are taken in structured, batch and binary mode. ' +
          'For events that an action caused, echo the `x-causation-id` and `x-causation-depth` that it was called ' +
          'with, as headers, as `causation` of an event or as the CloudEvents attributes `causationid` and ' +
          '`causationdepth`: automations that trigger each other end by it. A plugin echoes the ' +
          '`x-causation-token` (`token`, `causationtoken`) beside them; without it its event has no known cause.',
        headers: IntakeHeaders,
        body: {
          content: {
            'application/json': { schema: { anyOf: [ref(EventInput), ref(EventBatchInput)] } },
            'application/cloudevents+json': { schema: ref(CloudEvent) },
            'application/cloudevents-batch+json': { schema: { type: 'array', items: ref(CloudEvent) } },
          },
        },
        response: {
          202: { anyOf: [ref(AcceptedEvent), ref(EventBatchResult)] },
          ...problems(...INTAKE_PROBLEMS),
        },
      },
    },
    async (request, reply) => {
      const { format, single, events: given } = readEvents(request.headers, request.body)
      const submitter = submitterOf(request, secretBox, format === 'cloudevents' ? 'cloudevents' : 'api')
      reply.code(202)
      return single ? submitOne(events, submitter, given[0] ?? []) : submitBatch(events, submitter, given)
    },
  )

  app.options(
    '/api/events',
    {
      config: { cors: { preflightContinue: true } },
      schema: {
        operationId: 'allowEvents',
        tags: ['events'],
        summary: 'Answer the handshake of CloudEvents senders',
        description:
          'HTTP 1.1 Web Hooks for Event Delivery, 4: any origin may send, at any rate, with a key. A ' +
          'WebHook-Request-Callback is not called: the answer is given here.',
        response: { 200: Type.Null({ description: 'Events are taken here' }), ...problems(invalidRequest) },
      },
    },
    async (request, reply) => answerSender(request, reply, { allow: 'POST, GET, OPTIONS', rate: '*' }),
  )

  app.post(
    '/plugins/automation/webhook',
    {
      validatorCompiler,
      serializerCompiler,
      config: { ownShare: true },
      schema: {
        operationId: 'receiveAutomationWebhook',
        tags: ['events'],
        summary: "Take an event in the form of the platform's webhook",
        description:
          "The same intake as POST /api/events, for callers that speak the older form. A plugin's key publishes for " +
          'its own tenant. Members that are not described here are ignored.',
        headers: IntakeHeaders,
        body: ref(AutomationWebhook),
        response: { 202: ref(AcceptedEvent), ...problems(...INTAKE_PROBLEMS) },
      },
    },
    async (request, reply) => {
      const { headers, body, actor } = request
      const event = readAutomationEvent(body, { isOpen: actor.kind === 'open' })
      const [given] = withCausation(headers, [withKey(headers, event)])
      reply.code(202)
      return submitOne(events, submitterOf(request, secretBox, 'platform'), given ?? [])
    },
  )
}

async function readBody(request: FastifyRequest, bytes: Buffer): Promise<unknown> {
  const shape = isBinaryCloudEvent(request.headers) ? DATA_SHAPE : BODY_SHAPE
  try {
    return await readJsonBatch(callerOf(request), bytes, { shape, maxItemBytes: MAX_ITEM_BYTES })
  } catch (error) {
    throw error instanceof JsonInputError ? eventTooLarge() : error
  }
}

function submitterOf(request: FastifyRequest, secretBox: SecretBox, source: Submitter['source']): Submitter {
  const { actor, id: requestId, log } = request
  const { pluginId } = actor
  return {
    source: pluginId === null ? source : 'plugin',
    pluginId,
    sender: actor,
    requestId,
    log,
    tenantFor: (tenantId) => request.tenantFor(tenantId),
    believed: ({ token, ...causation }, tenantId) =>
      pluginId === null
        ? causation
        : believedCausation(secretBox, { tenantId, pluginId }, { token, ...causation }),
  }
}
