import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { invalidCursor } from '#infra/http/problems.ts'
import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { PageQuery, problems, ref, withHeaders } from '#lib/api/schema.ts'
import { variableInUse, variableNotFound } from './errors.ts'
import { DeleteQuery, Variable, VariableInput, VariablePage, VariableParams } from './schemas.ts'
import { deleteVariable, listVariables, readVariable, setVariable, type VariableContext } from './service.ts'

const tags = ['variables']

export function variableRoutes(app: FastifyInstance, ctx: VariableContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.get(
    '/api/variables',
    {
      schema: {
        operationId: 'listVariables',
        tags,
        summary: "List the shop's variables, by name",
        description: 'With their values, which all flows of the shop may read.',
        querystring: Type.Object(PageQuery, { additionalProperties: false }),
        response: { 200: ref(VariablePage), ...problems(...READ_PROBLEMS, invalidCursor) },
      },
    },
    async (request) => listVariables(ctx, request.tenantId, request.query),
  )

  api.get(
    '/api/variables/:name',
    {
      schema: {
        operationId: 'getVariable',
        tags,
        summary: 'Read a variable of the shop',
        description: 'With its value.',
        params: VariableParams,
        response: { 200: ref(Variable), ...problems(...READ_PROBLEMS, variableNotFound) },
      },
    },
    async (request) => readVariable(ctx, request.tenantId, request.params.name),
  )

  api.put(
    '/api/variables/:name',
    {
      config: { dataMembers: ['value'] },
      schema: {
        operationId: 'setVariable',
        tags,
        summary: 'Set a variable of the shop',
        description:
          'Makes it, or gives it another value. What flows start from then on has that value; what is under way keeps ' +
          'the one that it started with. Without `description` the one that is there stays.',
        params: VariableParams,
        body: ref(VariableInput),
        response: {
          200: ref(Variable),
          201: withHeaders(ref(Variable), 'location'),
          ...problems(...WRITE_PROBLEMS),
        },
      },
    },
    async (request, reply) => {
      const { name } = request.params
      const { variable, isNew } = await setVariable(ctx, request.actor, request.tenantId, name, request.body)
      if (isNew) void reply.code(201).header('location', `/api/variables/${name}`)
      return reply.send(variable)
    },
  )

  api.delete(
    '/api/variables/:name',
    {
      schema: {
        operationId: 'deleteVariable',
        tags,
        summary: 'Delete a variable of the shop',
        description:
          'Refused while flows read it, as drafts or as published: the problem has them in `flows`. With `force` it goes ' +
          'nevertheless.',
        params: VariableParams,
        querystring: DeleteQuery,
        response: {
          204: Type.Null({ description: 'The variable is gone' }),
          ...problems(...WRITE_PROBLEMS, variableNotFound, variableInUse),
        },
      },
    },
    async (request, reply) => {
      await deleteVariable(ctx, request.actor, request.tenantId, request.params.name, request.query)
      return reply.code(204).send(null)
    },
  )
}
