import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { problems, ref, withHeaders } from '#lib/api/schema.ts'
import { eventNotFound } from '#modules/event/index.ts'
import { flowNewer, flowOutdated } from '#modules/flow-engine/index.ts'
import {
  flowInputInvalid,
  flowInvalid,
  flowNotActive,
  flowNotManual,
  flowRunConflict,
  RunHeaders,
  StartedRunSchema,
  tooManyFlows,
} from '#modules/flow/index.ts'
import { continueAsFlow } from './continue-service.ts'
import { toggleAutomation } from './change-service.ts'
import type { AutomationContext } from './context.ts'
import { installDefaults } from './defaults.ts'
import type { DueWork } from './due-work.ts'
import {
  automationBusy,
  automationInvalid,
  automationNotFound,
  automationPlatformFailed,
  automationRecordNotFound,
  automationRecordUnfit,
  automationRecordUnknown,
} from './errors.ts'
import { WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import {
  AutomationDefaults,
  AutomationRun,
  AutomationTestResult,
  ContinuedAutomation,
  DefaultsRequest,
  TestRequest,
  ToggleRequest,
  TriggerRequest,
} from './operation-schemas.ts'
import { AUTOMATION_TAGS as tags } from './routes.ts'
import { Automation, AutomationParams } from './schemas.ts'
import { auditDueWork, testAutomation, triggerAutomation } from './try-service.ts'

const RECORD_PROBLEMS = [
  automationRecordUnfit,
  automationRecordUnknown,
  automationRecordNotFound,
  automationPlatformFailed,
]

export function operationRoutes(app: FastifyInstance, ctx: AutomationContext, dueWork: DueWork): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.post(
    '/api/automations/:id/toggle',
    {
      schema: {
        operationId: 'toggleAutomation',
        tags,
        summary: 'Switch an automation on or off',
        description: 'Switched off, nothing starts it; what waits finishes unless it is to be cancelled.',
        params: AutomationParams,
        body: ref(ToggleRequest),
        response: {
          200: ref(Automation),
          ...problems(...WRITE_PROBLEMS, automationNotFound, automationBusy, flowInvalid),
        },
      },
    },
    async ({ actor, tenantId, params, body }) =>
      toggleAutomation(ctx, { actor, tenantId, id: params.id }, body),
  )

  api.post(
    '/api/automations/:id/continue',
    {
      schema: {
        operationId: 'continueAutomation',
        tags,
        summary: 'Go on with an automation as a flow',
        description:
          'For one that outgrows its fields: from then on it is a flow like any other, under the same id, that does the same. ' +
          'What is under way or waits goes on in it, and who was in it stays so: nothing is sent twice, and nothing is lost. ' +
          'The fields stay as an automation under an id of its own, switched off in the same transaction: switched on ' +
          'again, it runs beside the flow.',
        params: AutomationParams,
        response: {
          201: withHeaders(ref(ContinuedAutomation), 'location'),
          ...problems(...WRITE_PROBLEMS, automationNotFound, automationBusy, tooManyFlows),
        },
      },
    },
    async ({ actor, tenantId, params }, reply) => {
      const continued = await continueAsFlow(ctx, { actor, tenantId, id: params.id })
      void reply.header('location', `/api/automation/flows/${continued.flow_id}`)
      return reply.code(201).send(continued)
    },
  )

  api.post(
    '/api/automations/:id/test',
    {
      config: { dataMembers: ['data'] },
      schema: {
        operationId: 'testAutomation',
        tags,
        summary: 'See what an automation would do',
        description:
          'For a lead, booking or customer of the platform by its id, a made-up one, or a past event. Nothing is sent and ' +
          'nothing is counted: every step says what it would do, and `message` is what would be written.',
        params: AutomationParams,
        body: ref(TestRequest),
        response: {
          200: ref(AutomationTestResult),
          ...problems(...WRITE_PROBLEMS, automationNotFound, eventNotFound, flowInvalid, ...RECORD_PROBLEMS),
          ...problems(flowNewer, flowOutdated),
        },
      },
    },
    async ({ actor, tenantId, params, body }) =>
      testAutomation(ctx, actor, { tenantId, id: params.id }, body),
  )

  api.post(
    '/api/automations/:id/trigger',
    {
      config: { dataMembers: ['data'] },
      schema: {
        operationId: 'triggerAutomation',
        tags,
        summary: 'Start an automation by hand',
        description:
          'For one lead, message or booking, by its id or with its data: at once, without its delay, and whether or not the ' +
          'conditions hold or it ' +
          'started for it before. An Idempotency-Key makes sending it again safe.',
        params: AutomationParams,
        headers: RunHeaders,
        body: ref(TriggerRequest),
        response: {
          202: ref(StartedRunSchema),
          ...problems(
            ...WRITE_PROBLEMS,
            automationNotFound,
            flowNotActive,
            flowNotManual,
            flowRunConflict,
            flowInputInvalid,
            ...RECORD_PROBLEMS,
            flowNewer,
            flowOutdated,
          ),
        },
      },
    },
    async ({ actor, tenantId, params, body, headers }, reply) => {
      const start = { request: body, key: headers['idempotency-key'] ?? null }
      return reply.code(202).send(await triggerAutomation(ctx, actor, { tenantId, id: params.id }, start))
    },
  )

  api.post(
    '/api/automations/run',
    {
      config: { ownShare: true },
      schema: {
        operationId: 'runAutomations',
        tags,
        summary: 'Do what is due now',
        description:
          "Looks at the shop's new events and goes on with what is due, of automations and of other flows, within " +
          '10 seconds. Workers do this by themselves; beside them it does no harm.',
        response: { 200: ref(AutomationRun), ...problems(...WRITE_PROBLEMS) },
      },
    },
    async ({ actor, tenantId }) => {
      await auditDueWork(ctx, actor, tenantId)
      return dueWork.run(tenantId)
    },
  )

  api.post(
    '/api/automations/defaults',
    {
      schema: {
        operationId: 'installDefaultAutomations',
        tags,
        summary: 'Install the automations that every shop starts with',
        description:
          'Welcomes new leads, follows up after 3 and 7 days without contact, and reminds of bookings 24 hours before. ' +
          'Each is installed once: ' +
          'what is there is left as it is.',
        body: ref(DefaultsRequest),
        response: {
          200: ref(AutomationDefaults),
          ...problems(...WRITE_PROBLEMS, automationInvalid, tooManyFlows),
        },
      },
    },
    async ({ actor, tenantId, body }) => installDefaults(ctx, actor, tenantId, body),
  )
}
