import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { invalidCursor } from '#infra/http/problems.ts'
import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { quotaExceeded } from '#infra/quotas.ts'
import { problems, ref, withHeaders } from '#lib/api/schema.ts'
import { flowNotFound } from '#modules/flow/index.ts'
import { flowNewer, flowOutdated } from '#modules/flow-engine/index.ts'
import type { ExecutionContext } from '../context.ts'
import {
  automationsHalted,
  executionEnded,
  executionNotEnded,
  executionNotFound,
  flowVersionMissing,
  nothingToRetry,
  retryOutputsMissing,
  retryRefused,
  retryStepInside,
  retryStepUnknown,
  retryUnderWay,
} from '../errors.ts'
import { retryExecution } from '../retry-service.ts'
import {
  Execution,
  ExecutionDetail,
  ExecutionDetailQuery,
  ExecutionPage,
  ExecutionParams,
  ExecutionQuery,
  RetryInput,
} from './schemas.ts'
import { cancelExecution, listExecutions, readExecution } from './service.ts'
import { FlowStats, FlowStatsParams, FlowStatsQuery } from '../stats/schemas.ts'
import { readFlowStats } from '../stats/service.ts'

const tags = ['executions']

export function executionRoutes(app: FastifyInstance, ctx: ExecutionContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.get(
    '/api/automation/executions',
    {
      schema: {
        operationId: 'listExecutions',
        tags,
        summary: 'List executions of flows, newest first',
        description:
          'One page of the executions that the filters choose, without their steps: GET ' +
          '/api/automation/executions/{id} has those.',
        querystring: ExecutionQuery,
        response: { 200: ref(ExecutionPage), ...problems(...READ_PROBLEMS, invalidCursor) },
      },
    },
    async (request) => listExecutions(ctx, request.tenantId, request.query),
  )

  api.get(
    '/api/automation/executions/:id',
    {
      schema: {
        operationId: 'getExecution',
        tags,
        summary: 'Read an execution with its steps',
        description:
          'With what it waits for and until when. Steps come in the order in which they ended; with many or large ' +
          'ones `next_cursor` leads to the rest.',
        params: ExecutionParams,
        querystring: ExecutionDetailQuery,
        response: {
          200: ref(ExecutionDetail),
          ...problems(...READ_PROBLEMS, invalidCursor, executionNotFound),
        },
      },
    },
    async (request) => readExecution(ctx, request.tenantId, request.params.id, request.query),
  )

  api.post(
    '/api/automation/executions/:id/cancel',
    {
      schema: {
        operationId: 'cancelExecution',
        tags,
        summary: 'Cancel an execution',
        description:
          'What is queued or waits ends at once, what runs at its next step: `cancel_requested` says so. Cancelling it ' +
          'again changes nothing.',
        params: ExecutionParams,
        response: {
          200: ref(Execution),
          ...problems(...WRITE_PROBLEMS, executionNotFound, executionEnded),
        },
      },
    },
    async (request) => cancelExecution(ctx, request.actor, request.tenantId, request.params.id),
  )

  api.post(
    '/api/automation/executions/:id/retry',
    {
      config: { dataMembers: ['trigger'] },
      schema: {
        operationId: 'retryExecution',
        tags,
        summary: 'Do again what an execution has not come to',
        description:
          'A retry is an execution of its own. The steps that lead to the chosen one are carried over with what they ' +
          'gave and never run again; all that follows runs. It has the lifetime from now on, and Idempotency-Keys of ' +
          'its own: what did succeed beyond the chosen step is done once more.',
        params: ExecutionParams,
        body: ref(RetryInput),
        response: {
          201: withHeaders(ref(Execution), 'location'),
          ...problems(
            ...WRITE_PROBLEMS,
            executionNotFound,
            executionNotEnded,
            retryUnderWay,
            nothingToRetry,
            retryRefused,
            flowVersionMissing,
            automationsHalted,
            retryStepUnknown,
            retryStepInside,
            retryOutputsMissing,
            quotaExceeded,
            flowNewer,
            flowOutdated,
          ),
        },
      },
    },
    async (request, reply) => {
      const { actor, tenantId, params, body } = request
      const execution = await retryExecution(ctx, actor, tenantId, params.id, body)
      return reply.code(201).header('location', `/api/automation/executions/${execution.id}`).send(execution)
    },
  )

  api.get(
    '/api/automation/flows/:id/stats',
    {
      schema: {
        operationId: 'getFlowStats',
        tags,
        summary: "Count a flow's executions by day",
        description:
          'How many executions started on each day and how they ended, with how long they took. Days are ' +
          'those of UTC; without `since` and `until` they are the last 30.',
        params: FlowStatsParams,
        querystring: FlowStatsQuery,
        response: { 200: ref(FlowStats), ...problems(...READ_PROBLEMS, flowNotFound) },
      },
    },
    async (request) => readFlowStats(ctx, request.tenantId, request.params.id, request.query),
  )
}
