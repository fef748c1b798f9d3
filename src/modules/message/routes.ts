import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { invalidCursor } from '#infra/http/problems.ts'
import { READ_PROBLEMS } from '#infra/http/route-problems.ts'
import { problems, ref } from '#lib/api/schema.ts'
import { messageNotFound } from './errors.ts'
import { Message, MessagePage, MessageParams, MessageQuery } from './schemas.ts'
import { getMessage, getMessages, type MessageContext } from './service.ts'

export function messageRoutes(app: FastifyInstance, ctx: MessageContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()
  api.get(
    '/api/automation/messages',
    {
      schema: {
        operationId: 'listMessages',
        tags: ['messages'],
        summary: 'The messages that automations wrote, newest first',
        description:
          'Emails, text messages and notifications, with what became of each. `execution` finds those of ' +
          'one execution.',
        querystring: MessageQuery,
        response: {
          200: ref(MessagePage),
          ...problems(...READ_PROBLEMS, invalidCursor),
        },
      },
    },
    async (request) => getMessages(ctx, request.tenantId, request.query),
  )
  api.get(
    '/api/automation/messages/:id',
    {
      schema: {
        operationId: 'getMessage',
        tags: ['messages'],
        summary: 'One message',
        description:
          'The text as it is sent, where to, whether a template or an AI wrote it, and what became of it.',
        params: MessageParams,
        response: {
          200: ref(Message),
          ...problems(...READ_PROBLEMS, messageNotFound),
        },
      },
    },
    async (request) => getMessage(ctx, request.tenantId, request.params.id),
  )
}
