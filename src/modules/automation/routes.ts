import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance } from 'fastify'
import { invalidCursor } from '#infra/http/problems.ts'
import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { problems, ref, withHeaders } from '#lib/api/schema.ts'
import { flowInvalid, tooManyFlows } from '#modules/flow/index.ts'
import { patchAutomation, replaceAutomation, resetAutomation } from './change-service.ts'
import type { AutomationContext } from './context.ts'
import { automationBusy, automationCustomised, automationInvalid, automationNotFound } from './errors.ts'
import {
  Automation,
  AutomationInput,
  AutomationPage,
  AutomationParams,
  AutomationPatch,
  AutomationQuery,
} from './schemas.ts'
import { createAutomation, deleteAutomation, listAutomations, readAutomation } from './service.ts'

export const AUTOMATION_TAGS = ['automations']
const tags = AUTOMATION_TAGS
const CHANGE_PROBLEMS = [
  ...WRITE_PROBLEMS,
  automationNotFound,
  automationCustomised,
  automationBusy,
  automationInvalid,
  flowInvalid,
]

export function automationRoutes(app: FastifyInstance, ctx: AutomationContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.post(
    '/api/automations',
    {
      schema: {
        operationId: 'createAutomation',
        tags,
        summary: 'Create an automation',
        description:
          'A few fields, of which a flow is made: GET /api/automation/flows/{id} shows it, under the same id. What is ' +
          'left out is ready-made. Nothing is stored of one that would not work.',
        body: ref(AutomationInput),
        response: {
          201: withHeaders(ref(Automation), 'location'),
          ...problems(...WRITE_PROBLEMS, automationInvalid, tooManyFlows),
        },
      },
    },
    async (request, reply) => {
      const automation = await createAutomation(ctx, request.actor, request.tenantId, request.body)
      void reply.header('location', `/api/automations/${automation.id}`)
      return reply.code(201).send(automation)
    },
  )

  api.get(
    '/api/automations',
    {
      schema: {
        operationId: 'listAutomations',
        tags,
        summary: 'List automations, newest first',
        description:
          'One page of the automations that the filters choose, with all their fields and how often each ' +
          'has started.',
        querystring: AutomationQuery,
        response: { 200: ref(AutomationPage), ...problems(...READ_PROBLEMS, invalidCursor) },
      },
    },
    async (request) => listAutomations(ctx, request.tenantId, request.query),
  )

  api.get(
    '/api/automations/:id',
    {
      schema: {
        operationId: 'getAutomation',
        tags,
        summary: 'Read an automation',
        description:
          'All its fields, how often it has started, and the status of the flow that was made of it.',
        params: AutomationParams,
        response: { 200: ref(Automation), ...problems(...READ_PROBLEMS, automationNotFound) },
      },
    },
    async (request) => readAutomation(ctx, request.tenantId, request.params.id),
  )

  api.put(
    '/api/automations/:id',
    {
      schema: {
        operationId: 'replaceAutomation',
        tags,
        summary: 'Replace an automation',
        description:
          'What is left out is ready-made again; `enabled` stays as it is. What has started before goes on ' +
          'as it was.',
        params: AutomationParams,
        body: ref(AutomationInput),
        response: { 200: ref(Automation), ...problems(...CHANGE_PROBLEMS) },
      },
    },
    async ({ actor, tenantId, params, body }) =>
      replaceAutomation(ctx, { actor, tenantId, id: params.id }, body),
  )

  api.patch(
    '/api/automations/:id',
    {
      schema: {
        operationId: 'changeAutomation',
        tags,
        summary: 'Change an automation',
        description:
          'What is left out stays as it is, null makes it ready-made again. What has started before goes on as it was. ' +
          'Of one whose flow was edited by hand only `enabled` can be changed.',
        params: AutomationParams,
        body: ref(AutomationPatch),
        response: { 200: ref(Automation), ...problems(...CHANGE_PROBLEMS) },
      },
    },
    async ({ actor, tenantId, params, body }) =>
      patchAutomation(ctx, { actor, tenantId, id: params.id }, body),
  )

  api.post(
    '/api/automations/:id/reset',
    {
      schema: {
        operationId: 'resetAutomation',
        tags,
        summary: 'Make the flow of an automation anew',
        description:
          'Of its fields, in place of what was edited by hand. The versions before can still be read.',
        params: AutomationParams,
        response: {
          200: ref(Automation),
          ...problems(...WRITE_PROBLEMS, automationNotFound, automationBusy, automationInvalid, flowInvalid),
        },
      },
    },
    async ({ actor, tenantId, params }) => resetAutomation(ctx, { actor, tenantId, id: params.id }),
  )

  api.delete(
    '/api/automations/:id',
    {
      schema: {
        operationId: 'deleteAutomation',
        tags,
        summary: 'Delete an automation',
        description: 'With its flow: nothing starts it any more, and what it has under way is cancelled.',
        params: AutomationParams,
        response: {
          204: Type.Null({ description: 'The automation is deleted' }),
          ...problems(...WRITE_PROBLEMS, automationNotFound, automationBusy),
        },
      },
    },
    async ({ actor, tenantId, params }, reply) => {
      await deleteAutomation(ctx, actor, tenantId, params.id)
      return reply.code(204).send(null)
    },
  )
}
