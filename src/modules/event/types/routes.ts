import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { invalidCursor } from '#infra/http/problems.ts'
import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { problems, ref } from '#lib/api/schema.ts'
import { eventTypeInvalid, eventTypeNotFound, eventTypeTaken, tooManyEventTypes } from '../errors.ts'
import { MAX_SEEN_TYPES } from '../intake/snapshot.ts'
import {
  EventType,
  EventTypeInput,
  EventTypePage,
  EventTypeParams,
  EventTypeQuery,
  EventTypeReadQuery,
} from './schemas.ts'
import { listTypes, putType, readVisibleType, removeType, type TypeContext } from './service.ts'

const tags = ['events']

export function typeRoutes(app: FastifyInstance, ctx: TypeContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.get(
    '/api/event-types',
    {
      schema: {
        operationId: 'listEventTypes',
        tags,
        summary: 'List event types, by name',
        description:
          "The platform's catalogue, the tenant's own types, those that its plugins declared, and as `seen` up to " +
          `${MAX_SEEN_TYPES} that nobody declared, but events came of. A plugin's own key sees its own types and those within its \`events:read\`.`,
        querystring: EventTypeQuery,
        response: { 200: ref(EventTypePage), ...problems(...READ_PROBLEMS, invalidCursor) },
      },
    },
    async (request) => listTypes(ctx, request.actor, request.tenantId, request.query),
  )

  api.get(
    '/api/event-types/:name',
    {
      schema: {
        operationId: 'getEventType',
        tags,
        summary: 'Read an event type',
        description: 'With a sample and the schema of its data, and who declared it.',
        params: EventTypeParams,
        querystring: EventTypeReadQuery,
        response: { 200: ref(EventType), ...problems(...READ_PROBLEMS, eventTypeNotFound) },
      },
    },
    async (request) =>
      readVisibleType(ctx, request.actor, request.tenantId, request.params.name, request.query),
  )

  api.put(
    '/api/event-types/:name',
    {
      config: { dataMembers: ['sample'] },
      schema: {
        operationId: 'putEventType',
        tags,
        summary: 'Declare an event type, or replace its declaration',
        description:
          'Events of types that nobody declared are taken too, unless the tenant is strict (PATCH /api/tenant). ' +
          "A schema marks events that do not match it; a strict tenant's are refused.",
        params: EventTypeParams,
        body: ref(EventTypeInput),
        response: {
          200: ref(EventType),
          201: ref(EventType),
          ...problems(...WRITE_PROBLEMS, eventTypeTaken, tooManyEventTypes, eventTypeInvalid),
        },
      },
    },
    async (request, reply) => {
      const { actor, tenantId, params, body } = request
      const { created, type } = await putType(ctx, actor, tenantId, params.name, body)
      return reply.code(created ? 201 : 200).send(type)
    },
  )

  api.delete(
    '/api/event-types/:name',
    {
      schema: {
        operationId: 'deleteEventType',
        tags,
        summary: "Delete an event type of the tenant's own, or one that was seen",
        description: 'Events of the type stay. More of them may come, and put it back as seen.',
        params: EventTypeParams,
        response: {
          204: Type.Null({ description: 'The declaration is gone' }),
          ...problems(...WRITE_PROBLEMS, eventTypeNotFound, eventTypeTaken),
        },
      },
    },
    async (request, reply) => {
      await removeType(ctx, request.actor, request.tenantId, request.params.name)
      return reply.code(204).send(null)
    },
  )
}
