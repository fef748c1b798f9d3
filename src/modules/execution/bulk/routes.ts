import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { invalidCursor } from '#infra/http/problems.ts'
import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { problems, ref } from '#lib/api/schema.ts'
import { flowNewer } from '#modules/flow-engine/index.ts'
import { BulkCancelInput, BulkCancelResult, BulkRetryInput, BulkRetryResult } from './schemas.ts'
import { cancelMany, retryMany } from './service.ts'
import type { ExecutionContext } from '../context.ts'
import { HaltResult, HaltState, ResumeInput, ResumeResult } from '../halt/schemas.ts'
import { halt, readHalt, resume } from '../halt/service.ts'

const tags = ['executions']

/** The routes that concern many executions of a tenant, or all. */
export function bulkRoutes(app: FastifyInstance, ctx: ExecutionContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.post(
    '/api/automation/executions/cancel',
    {
      schema: {
        operationId: 'cancelExecutions',
        tags,
        summary: 'Cancel all executions that a filter chooses',
        description:
          'Works for some seconds, in small transactions, and answers with how many are left: the job `job_id` does those, ' +
          'whatever happens meanwhile. Without one, as 10 are open, call again. `dry_run` counts only.',
        body: ref(BulkCancelInput),
        response: {
          200: ref(BulkCancelResult),
          ...problems(...WRITE_PROBLEMS),
        },
      },
    },
    async (request) => cancelMany(ctx, request.actor, request.tenantId, request.body),
  )

  api.post(
    '/api/automation/executions/retry',
    {
      schema: {
        operationId: 'retryExecutions',
        tags,
        summary: 'Retry all executions that a filter chooses',
        description:
          'Each at most once: what was retried before, whatever became of it, is left alone, so that calling again is ' +
          'safe. Works for some seconds and answers with how many are left: the job `job_id` does those, whatever happens ' +
          'meanwhile. Without one, as 10 are open, call again with `next_cursor`. `dry_run` counts only.',
        body: ref(BulkRetryInput),
        response: {
          200: ref(BulkRetryResult),
          ...problems(...WRITE_PROBLEMS, invalidCursor, flowNewer),
        },
      },
    },
    async (request) => retryMany(ctx, request.actor, request.tenantId, request.body),
  )

  api.get(
    '/api/automation/halt',
    {
      schema: {
        operationId: 'getHaltState',
        tags,
        summary: 'Whether all automations are halted',
        description: 'With the time of the halt, if there is one.',
        response: { 200: ref(HaltState), ...problems(...READ_PROBLEMS) },
      },
    },
    async (request) => readHalt(ctx.db, request.tenantId),
  )

  api.post(
    '/api/automation/halt',
    {
      schema: {
        operationId: 'haltAutomations',
        tags,
        summary: 'Stop all automations',
        description:
          'Nothing starts any more, what is queued is cancelled, what runs is held at its next step, and what waits ' +
          'goes on waiting, for events too, until automations are resumed. What meets flows meanwhile is kept as `skipped`.',
        response: { 200: ref(HaltResult), ...problems(...WRITE_PROBLEMS) },
      },
    },
    async (request) => halt(ctx, request.actor, request.tenantId),
  )

  api.post(
    '/api/automation/resume',
    {
      // Every member of the body is optional, so the body is, too.
      preValidation: async (request: { body: unknown }) => {
        request.body ??= {}
      },
      schema: {
        operationId: 'resumeAutomations',
        tags,
        summary: 'Let automations go on',
        description:
          'Ends a halt: what was held or waiting goes on where it stood. What met active flows meanwhile, and what the ' +
          'halt cancelled before it had begun, starts now, each once and in the order in which it came, before anything ' +
          'newer; unless `catch_up` is false.',
        body: ref(ResumeInput),
        response: { 200: ref(ResumeResult), ...problems(...WRITE_PROBLEMS) },
      },
    },
    async (request) => resume(ctx, request.actor, request.tenantId, { catchUp: request.body.catch_up }),
  )
}
