import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { AUTH_PROBLEMS } from '../../infra/auth.ts'
import {
  databaseUnavailable,
  invalidCursor,
  invalidJson,
  invalidRequest,
  payloadTooLarge,
  unsupportedMediaType,
} from '../../infra/problems.ts'
import { problems, ref } from '../../lib/schema.ts'
import { BulkCancelInput, BulkCancelResult, BulkRetryInput, BulkRetryResult } from './bulk-schemas.ts'
import { cancelMany, retryMany } from './bulk-service.ts'
import type { ExecutionContext } from './context.ts'
import { HaltResult, HaltState } from './halt-schemas.ts'
import { halt, readHalt, resume } from './halt-service.ts'

const tags = ['executions']
const BODY_PROBLEMS = [invalidJson, payloadTooLarge, unsupportedMediaType]

/** What concerns many executions of a tenant, or all. */
export function bulkRoutes(app: FastifyInstance, ctx: ExecutionContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.post(
    '/api/automation/executions/cancel',
    {
      config: { access: { role: 'editor' } },
      schema: {
        operationId: 'cancelExecutions',
        tags,
        summary: 'Cancel all executions that a filter chooses',
        description:
          'Works for some seconds, in small transactions, and answers with how many are left: call again until ' +
          '`remaining` is 0. `dry_run` counts only.',
        body: ref(BulkCancelInput),
        response: {
          200: ref(BulkCancelResult),
          ...problems(...AUTH_PROBLEMS, invalidRequest, ...BODY_PROBLEMS, databaseUnavailable),
        },
      },
    },
    async (request) => cancelMany(ctx, request.actor, request.tenantId, request.body),
  )

  api.post(
    '/api/automation/executions/retry',
    {
      config: { access: { role: 'editor' } },
      schema: {
        operationId: 'retryExecutions',
        tags,
        summary: 'Retry all executions that a filter chooses',
        description:
          'Each at most once: what was retried before, whatever became of it, is left alone, so that calling again is ' +
          'safe. Works for some seconds and answers with how many are left: call again with `next_cursor` until it is ' +
          'null. `dry_run` counts only.',
        body: ref(BulkRetryInput),
        response: {
          200: ref(BulkRetryResult),
          ...problems(...AUTH_PROBLEMS, invalidRequest, invalidCursor, ...BODY_PROBLEMS, databaseUnavailable),
        },
      },
    },
    async (request) => retryMany(ctx, request.actor, request.tenantId, request.body),
  )

  api.get(
    '/api/automation/halt',
    {
      config: { access: { role: 'viewer' } },
      schema: {
        operationId: 'getHaltState',
        tags,
        summary: 'Whether all automations are halted',
        response: { 200: ref(HaltState), ...problems(...AUTH_PROBLEMS, databaseUnavailable) },
      },
    },
    async (request) => readHalt(ctx.db, request.tenantId),
  )

  api.post(
    '/api/automation/halt',
    {
      config: { access: { role: 'admin' } },
      schema: {
        operationId: 'haltAutomations',
        tags,
        summary: 'Stop all automations',
        description:
          'Nothing starts any more, what is queued is cancelled, what runs is held at its next step, and what waits ' +
          'goes on waiting, for events too, until automations are resumed.',
        response: { 200: ref(HaltResult), ...problems(...AUTH_PROBLEMS, databaseUnavailable) },
      },
    },
    async (request) => halt(ctx, request.actor, request.tenantId),
  )

  api.post(
    '/api/automation/resume',
    {
      config: { access: { role: 'admin' } },
      schema: {
        operationId: 'resumeAutomations',
        tags,
        summary: 'Let automations go on',
        response: { 200: ref(HaltState), ...problems(...AUTH_PROBLEMS, databaseUnavailable) },
      },
    },
    async (request) => resume(ctx, request.actor, request.tenantId),
  )
}
