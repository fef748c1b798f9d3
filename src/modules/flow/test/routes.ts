import { WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { problems, ref } from '#lib/api/schema.ts'
import { flowNewer, flowOutdated } from '#modules/flow-engine/index.ts'
import { eventNotFound } from '#modules/event/index.ts'
import type { FlowContext } from '../context.ts'
import { flowInvalid, flowNotFound, flowVersionNotFound } from '../errors.ts'
import { flowRefOf } from '../routes.ts'
import { FlowParams } from '../schemas.ts'
import { testFlowOnEvents } from './events-service.ts'
import { DefinitionTestRequest, EventsTest, EventsTestRequest, FlowTest, FlowTestRequest } from './schemas.ts'
import { testDefinition, testFlow } from './service.ts'

const DESCRIPTION =
  'Runs it with the engine’s own steps, and nothing leaves the house: no request is sent, no AI is asked, nothing is ' +
  'waited for, and no row is written but one of the audit log. Every step says what it would do and by which port it would leave; times are those of ' +
  'a clock that starts at `now` and is moved on by delays and waits.'

/** Test mode: what a flow would do. */
export function testRoutes(app: FastifyInstance, ctx: FlowContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.post(
    '/api/automation/flows/:id/test',
    {
      config: { dataMembers: ['data', 'mocks'] },
      schema: {
        operationId: 'testFlow',
        tags: ['flows'],
        summary: 'See what a flow would do',
        description: `Tests the draft, a version, or a definition sent along. ${DESCRIPTION}`,
        params: FlowParams,
        body: ref(FlowTestRequest),
        response: {
          200: ref(FlowTest),
          ...problems(
            ...WRITE_PROBLEMS,
            flowNotFound,
            flowVersionNotFound,
            eventNotFound,
            flowInvalid,
            flowNewer,
          ),
          ...problems(flowOutdated),
        },
      },
    },
    async (request) => testFlow(ctx, request.actor, flowRefOf(request), request.body),
  )

  api.post(
    '/api/automation/flows/:id/test/events',
    {
      config: { dataMembers: ['mocks'] },
      schema: {
        operationId: 'testFlowOnEvents',
        tags: ['flows'],
        summary: 'See what a flow would have done with past events',
        description:
          'Tests the draft, a version, or a definition sent along on up to 100 events, each at the time when it came, and tells ' +
          'in short what would have come of each; the details of one are those of a test with its `event_id`. Nothing leaves ' +
          'the house, and the audit log gets one entry.',
        params: FlowParams,
        body: ref(EventsTestRequest),
        response: {
          200: ref(EventsTest),
          ...problems(...WRITE_PROBLEMS, flowNotFound, flowVersionNotFound, flowInvalid, flowNewer),
          ...problems(flowOutdated),
        },
      },
    },
    async (request) => testFlowOnEvents(ctx, request.actor, flowRefOf(request), request.body),
  )

  api.post(
    '/api/automation/flows/test',
    {
      config: { dataMembers: ['data', 'mocks'] },
      schema: {
        operationId: 'testDefinition',
        tags: ['flows'],
        summary: 'See what a definition would do',
        description: `Before it is stored. ${DESCRIPTION}`,
        body: ref(DefinitionTestRequest),
        response: { 200: ref(FlowTest), ...problems(...WRITE_PROBLEMS, eventNotFound, flowInvalid) },
      },
    },
    async (request) => testDefinition(ctx, request.actor, request.tenantId, request.body),
  )
}
