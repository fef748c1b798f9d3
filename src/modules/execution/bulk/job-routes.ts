import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { invalidCursor } from '#infra/http/problems.ts'
import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { PageQuery, problems, ref } from '#lib/api/schema.ts'
import type { ExecutionContext } from '../context.ts'
import { bulkChangeFinished, bulkChangeNotFound } from '../errors.ts'
import { listBulkChanges, readBulkChange, stopBulkChange } from './job-service.ts'
import { BulkChange, BulkChangePage, BulkChangeParams } from './schemas.ts'

const tags = ['executions']

/** Bulk cancels and retries that go on behind their answers. */
export function bulkChangeRoutes(app: FastifyInstance, ctx: ExecutionContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.get(
    '/api/automation/bulk-changes',
    {
      schema: {
        operationId: 'listBulkChanges',
        tags,
        summary: 'List bulk cancels and retries that became jobs, newest first',
        description: 'Those that were done when they were answered are not among them.',
        querystring: Type.Object(PageQuery, { additionalProperties: false }),
        response: { 200: ref(BulkChangePage), ...problems(...READ_PROBLEMS, invalidCursor) },
      },
    },
    async (request) => listBulkChanges(ctx, request.tenantId, request.query),
  )

  api.get(
    '/api/automation/bulk-changes/:id',
    {
      schema: {
        operationId: 'getBulkChange',
        tags,
        summary: 'Read a bulk cancel or retry, and how far it is',
        description: 'Counts what is done so far; `status` says whether that is all.',
        params: BulkChangeParams,
        response: { 200: ref(BulkChange), ...problems(...READ_PROBLEMS, bulkChangeNotFound) },
      },
    },
    async (request) => readBulkChange(ctx, request.tenantId, request.params.id),
  )

  api.post(
    '/api/automation/bulk-changes/:id/cancel',
    {
      schema: {
        operationId: 'cancelBulkChange',
        tags,
        summary: 'Stop a bulk cancel or retry',
        description: 'What it has done stays done. Stopping it again changes nothing.',
        params: BulkChangeParams,
        response: {
          200: ref(BulkChange),
          ...problems(...WRITE_PROBLEMS, bulkChangeNotFound, bulkChangeFinished),
        },
      },
    },
    async (request) => stopBulkChange(ctx, request.actor, request.tenantId, request.params.id),
  )
}
