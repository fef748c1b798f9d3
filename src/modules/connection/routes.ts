import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { invalidCursor } from '#infra/http/problems.ts'
import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { PageQuery, problems, ref, withHeaders } from '#lib/api/schema.ts'
import { connectionExists, connectionInUse, connectionNotFound } from './errors.ts'
import {
  Connection,
  ConnectionChange,
  ConnectionPage,
  ConnectionParams,
  DeleteQuery,
  NewConnection,
} from './schemas.ts'
import {
  changeConnection,
  type ConnectionContext,
  createConnection,
  deleteConnection,
  listConnections,
  readConnection,
} from './service.ts'

const tags = ['connections']

export function connectionRoutes(app: FastifyInstance, ctx: ConnectionContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.post(
    '/api/connections',
    {
      schema: {
        operationId: 'createConnection',
        tags,
        summary: 'Make a connection',
        description:
          'Credentials that `http` steps of flows name by `connection`, or, of the kind `webhook_secret`, what webhooks ' +
          'are verified by that their triggers take. `values` are sealed and never given back; what ' +
          'belongs into `settings` and `values` depends on `kind`.',
        body: ref(NewConnection),
        response: {
          201: withHeaders(ref(Connection), 'location'),
          ...problems(...WRITE_PROBLEMS, connectionExists),
        },
      },
    },
    async (request, reply) => {
      const connection = await createConnection(ctx, request.actor, request.tenantId, request.body)
      return reply.code(201).header('location', `/api/connections/${connection.name}`).send(connection)
    },
  )

  api.get(
    '/api/connections',
    {
      schema: {
        operationId: 'listConnections',
        tags,
        summary: 'List connections, by name',
        description: 'Without their values, which nobody sees again.',
        querystring: Type.Object(PageQuery, { additionalProperties: false }),
        response: { 200: ref(ConnectionPage), ...problems(...READ_PROBLEMS, invalidCursor) },
      },
    },
    async (request) => listConnections(ctx, request.tenantId, request.query),
  )

  api.get(
    '/api/connections/:name',
    {
      schema: {
        operationId: 'getConnection',
        tags,
        summary: 'Read a connection',
        description: 'Without its values, which nobody sees again.',
        params: ConnectionParams,
        response: { 200: ref(Connection), ...problems(...READ_PROBLEMS, connectionNotFound) },
      },
    },
    async (request) => readConnection(ctx, request.tenantId, request.params.name),
  )

  api.patch(
    '/api/connections/:name',
    {
      schema: {
        operationId: 'changeConnection',
        tags,
        summary: 'Change a connection',
        description:
          'What is left out stays as it is; `settings` and `values` are replaced as a whole. Holds for the next request ' +
          'of every flow. Where hosts are added or `token_url` changes, `values` have to be given again.',
        params: ConnectionParams,
        body: ref(ConnectionChange),
        response: { 200: ref(Connection), ...problems(...WRITE_PROBLEMS, connectionNotFound) },
      },
    },
    async (request) =>
      changeConnection(ctx, request.actor, request.tenantId, request.params.name, request.body),
  )

  api.delete(
    '/api/connections/:name',
    {
      schema: {
        operationId: 'deleteConnection',
        tags,
        summary: 'Delete a connection',
        description:
          'Refused while flows name it, as drafts or as published: the problem has them in `flows`. With `force` it goes ' +
          'nevertheless, and their steps that name it fail.',
        params: ConnectionParams,
        querystring: DeleteQuery,
        response: {
          204: Type.Null({ description: 'The connection is gone' }),
          ...problems(...WRITE_PROBLEMS, connectionNotFound, connectionInUse),
        },
      },
    },
    async (request, reply) => {
      await deleteConnection(ctx, request.actor, request.tenantId, request.params.name, request.query)
      return reply.code(204).send(null)
    },
  )
}
