import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { invalidCursor } from '#infra/http/problems.ts'
import { IfMatch } from '#infra/http/request-headers.ts'
import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { problems, ref, withHeaders } from '#lib/api/schema.ts'
import { flowNewer, flowOutdated } from '#modules/flow-engine/index.ts'
import { sendWithDefinition } from '../answer.ts'
import type { FlowContext } from '../context.ts'
import {
  flowChanged,
  flowInputInvalid,
  flowInvalid,
  flowNotActive,
  flowNotFound,
  flowNotManual,
  flowRunConflict,
  flowVersionNotFound,
} from '../errors.ts'
import {
  ActivatedFlow,
  ActivateRequest,
  DeactivatedFlow,
  DeactivateRequest,
  FlowVersion,
  FlowVersionPage,
  FlowVersionParams,
  PublishedFlow,
  PublishRequest,
  RunHeaders,
  RunRequest,
  StartedRun,
  VersionQuery,
} from './schemas.ts'
import { activateFlow, deactivateFlow, publishFlow } from './service.ts'
import { etagOf } from './revision.ts'
import { FLOW_TAGS as tags, flowRefOf } from '../routes.ts'
import { runFlow } from './run.ts'
import { FlowParams } from '../schemas.ts'
import { listVersions, readVersion } from '../versions/service.ts'

export function lifecycleRoutes(app: FastifyInstance, ctx: FlowContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.post(
    '/api/automation/flows/:id/publish',
    {
      schema: {
        operationId: 'publishFlow',
        tags,
        summary: 'Make the draft what runs',
        description:
          'As a new version, unless it would run just as the published one. Executions stay with the version that ' +
          'they started with: `running_on_older_versions` says how many there are, `cancel_running` ends them.',
        params: FlowParams,
        headers: IfMatch,
        body: ref(PublishRequest),
        response: {
          200: withHeaders(ref(PublishedFlow), 'etag'),
          ...problems(...WRITE_PROBLEMS, flowNotFound, flowChanged, flowInvalid),
        },
      },
    },
    async (request, reply) => {
      const { activate, cancel_running: cancelRunning, catch_up: catchUp, note = null } = request.body
      const options = { activate, cancelRunning, catchUp, note }
      const flow = await publishFlow(ctx, request.actor, flowRefOf(request), options)
      return sendWithDefinition(reply.header('etag', etagOf(flow.revision)), 200, flow)
    },
  )

  api.post(
    '/api/automation/flows/:id/activate',
    {
      schema: {
        operationId: 'activateFlow',
        tags,
        summary: 'Switch a flow on',
        description:
          'With what is published; a flow that was never published is published by this. It also lets a flow go on ' +
          'that the service has paused, and takes up what that has missed, each once and in order. Of a flow that was ' +
          'switched off `catch_up` does so.',
        params: FlowParams,
        headers: IfMatch,
        body: ref(ActivateRequest),
        response: {
          200: withHeaders(ref(ActivatedFlow), 'etag'),
          ...problems(...WRITE_PROBLEMS, flowNotFound, flowChanged, flowInvalid),
        },
      },
    },
    async (request, reply) => {
      const { catch_up: catchUp } = request.body
      const flow = await activateFlow(ctx, request.actor, flowRefOf(request), { catchUp })
      return sendWithDefinition(reply.header('etag', etagOf(flow.revision)), 200, flow)
    },
  )

  api.post(
    '/api/automation/flows/:id/deactivate',
    {
      schema: {
        operationId: 'deactivateFlow',
        tags,
        summary: 'Switch a flow off',
        description: 'Nothing new starts. What is under way finishes, unless `cancel_running`.',
        params: FlowParams,
        headers: IfMatch,
        body: ref(DeactivateRequest),
        response: {
          200: withHeaders(ref(DeactivatedFlow), 'etag'),
          ...problems(...WRITE_PROBLEMS, flowNotFound, flowChanged),
        },
      },
    },
    async (request, reply) => {
      const { cancel_running: cancelRunning } = request.body
      const flow = await deactivateFlow(ctx, request.actor, flowRefOf(request), { cancelRunning })
      return sendWithDefinition(reply.header('etag', etagOf(flow.revision)), 200, flow)
    },
  )

  api.get(
    '/api/automation/flows/:id/versions',
    {
      schema: {
        operationId: 'listFlowVersions',
        tags,
        summary: 'List what was published, newest first',
        description:
          'Every version that was published, with how many executions still run on it. GET ' +
          '…/versions/{version} has its definition.',
        params: FlowParams,
        querystring: VersionQuery,
        response: { 200: ref(FlowVersionPage), ...problems(...READ_PROBLEMS, flowNotFound, invalidCursor) },
      },
    },
    async (request) => listVersions(ctx, flowRefOf(request), request.query),
  )

  api.get(
    '/api/automation/flows/:id/versions/:version',
    {
      schema: {
        operationId: 'getFlowVersion',
        tags,
        summary: 'Read a version as it was sent',
        description: 'Keys of the role viewer see it without the credentials that headers and inputs hold.',
        params: FlowVersionParams,
        response: {
          200: ref(FlowVersion),
          ...problems(...READ_PROBLEMS, flowNotFound, flowVersionNotFound),
        },
      },
    },
    async (request, reply) => {
      const version = await readVersion(ctx, request.actor, flowRefOf(request), request.params.version)
      return sendWithDefinition(reply, 200, version)
    },
  )

  api.post(
    '/api/automation/flows/:id/run',
    {
      config: { dataMembers: ['input'] },
      schema: {
        operationId: 'runFlow',
        tags,
        summary: 'Start a flow by hand',
        description:
          'Starts the published version, which has to have a `manual` trigger; `input` is `trigger` in the flow. An ' +
          'Idempotency-Key makes sending it again safe: the answer is then `duplicate`, with the same execution.',
        params: FlowParams,
        headers: RunHeaders,
        body: ref(RunRequest),
        response: {
          202: ref(StartedRun),
          ...problems(...WRITE_PROBLEMS, flowNotFound, flowNewer),
          ...problems(flowNotActive, flowNotManual, flowRunConflict, flowOutdated),
          ...problems(flowInputInvalid),
        },
      },
    },
    async (request, reply) => {
      const { body, headers } = request
      const key = headers['idempotency-key'] ?? null
      const run = await runFlow(ctx, request.actor, flowRefOf(request), { input: body.input, key })
      return reply.code(202).send(run)
    },
  )
}
