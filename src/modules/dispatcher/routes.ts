import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Actor } from '#infra/auth/auth.ts'
import { invalidCursor } from '#infra/http/problems.ts'
import { BODY_PROBLEMS, OPEN_PROBLEMS, READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { hasUnreadBody } from '#infra/http/unread-body.ts'
import { isUuid } from '#lib/ids.ts'
import { problems, ref } from '#lib/api/schema.ts'
import { complete, completionClaim } from './completion/completion.ts'
import type { DispatchAdmission } from './dispatch/admission.ts'
import type { CompletionClaim } from './completion/token.ts'
import {
  callNotFound,
  completionRefused,
  invocationCompleted,
  invocationExpired,
  invocationNotFound,
} from './errors.ts'
import {
  Completion,
  CompletionHeaders,
  CompletionInput,
  CompletionParams,
  DispatchInput,
  DispatchResult,
  EventLogDetail,
  EventLogPage,
  EventLogParams,
  EventLogQuery,
} from './schemas.ts'
import { forbidden } from '#infra/auth/auth.ts'
import { mayCall } from '#infra/auth/scopes.ts'
import { believedCausation, readCausationHeaders } from '#modules/event/index.ts'
import { type DispatchedBy, getEventLog, readLogEntry } from './service.ts'
import type { DispatcherContext } from './context.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Returns the invocation that the request's token may complete. */
    claim: CompletionClaim
  }
}

export interface DispatcherRoutesContext extends DispatcherContext {
  admission: DispatchAdmission
  dispatch: (
    actor: Actor,
    tenantId: string,
    input: DispatchInput,
    by?: DispatchedBy,
  ) => Promise<DispatchResult>
}

/** @throws `forbidden` */
function refuseUncallable(scopes: readonly string[], { events }: DispatchInput): void {
  const others = events.map(({ action_type }) => action_type).filter((name) => !mayCall(scopes, name))
  if (others.length === 0) return
  throw forbidden(
    `The plugin's scopes have no ${[...new Set(others)].map((name) => `"actions:call:${name}"`).join(', ')}.`,
  )
}

export function dispatcherRoutes(app: FastifyInstance, ctx: DispatcherRoutesContext): void {
  app.decorateRequest('claim', null as unknown as CompletionClaim)
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  const config = {
    ownShare: true,
    dataMembers: ['events'],
    writtenMembers: { list: 'events', members: ['payload'] },
  }
  const dispatchSchema = {
    tags: ['actions'],
    description:
      'Every action is checked before anything runs; what is wrong with one is its own result, and the others still ' +
      'run. The same request again (flow_execution_id and event_key or position) returns what succeeded as recorded ' +
      'and does only the rest. What was accepted goes on if the caller disconnects. ' +
      "A plugin's key dispatches what its scopes have as `actions:call:…`; its flow_execution_ids are its own, and it hands " +
      'back the causation headers that led it to dispatch.',
    body: ref(DispatchInput),
    response: {
      200: ref(DispatchResult),
      ...problems(...WRITE_PROBLEMS),
    },
  }
  const admitted = async (
    request: FastifyRequest,
    tenantId: string,
    input: DispatchInput,
    by?: DispatchedBy,
  ): Promise<DispatchResult> => {
    const actions = input.events.length
    const leave = ctx.admission.enter(tenantId, { actions, bytes: request.bodyBytes })
    try {
      return await ctx.dispatch(request.actor, tenantId, input, by)
    } finally {
      leave()
    }
  }
  const handle = async (request: FastifyRequest): Promise<DispatchResult> => {
    const input = request.body as DispatchInput
    const tenantId = request.tenantFor(input.tenant_id)
    const { pluginId, scopes } = request.actor
    if (pluginId === null) return admitted(request, tenantId, input)
    refuseUncallable(scopes ?? [], input)
    const told = readCausationHeaders(request.headers)
    const causation = told && believedCausation(ctx.secretBox, { tenantId, pluginId }, told)
    return admitted(request, tenantId, input, { pluginId, causation })
  }
  api.post(
    '/api/plugins/events/automation',
    {
      config,
      schema: {
        ...dispatchSchema,
        operationId: 'dispatchActions',
        summary: 'Do a list of platform and plugin actions',
      },
    },
    handle,
  )
  api.post(
    '/api/events/automation',
    {
      config,
      schema: {
        ...dispatchSchema,
        operationId: 'dispatchActionsAlias',
        summary: 'Do a list of platform and plugin actions (alias)',
      },
    },
    handle,
  )

  api.get(
    '/api/automation/event-log',
    {
      schema: {
        operationId: 'listEventLog',
        tags: ['actions'],
        summary: 'Every action that was asked for and what became of it, newest first',
        description:
          'One entry for each action of a dispatch or an automation, with how it ended. `execution` finds ' +
          'those of one `flow_execution_id`.',
        querystring: EventLogQuery,
        response: {
          200: ref(EventLogPage),
          ...problems(...READ_PROBLEMS, invalidCursor),
        },
      },
    },
    async (request) => getEventLog(ctx, request.tenantId, request.query),
  )

  api.get(
    '/api/automation/event-log/:id',
    {
      schema: {
        operationId: 'getEventLogEntry',
        tags: ['actions'],
        summary: 'One action that was asked for, and what became of it',
        description: 'As in the list, with who asked for it and how what the plugin has accepted stands now.',
        params: EventLogParams,
        response: { 200: ref(EventLogDetail), ...problems(...READ_PROBLEMS, callNotFound) },
      },
    },
    async (request) => readLogEntry(ctx, request.tenantId, request.params.id),
  )

  api.post(
    '/api/actions/:invocation_id/complete',
    {
      config: { dataMembers: ['data'] },
      // Before the body is read: who has no token does not get to send us a megabyte.
      onRequest: (request, _reply, done) => {
        const { invocation_id } = request.params
        // What is no id, or too long, the schema tells about.
        if (isUuid(invocation_id) || hasUnreadBody(request.raw)) {
          request.claim = completionClaim(ctx, invocation_id, request.headers['x-completion-token'])
        }
        done()
      },
      schema: {
        operationId: 'completeAction',
        tags: ['actions'],
        summary: 'Complete an action that was answered with 202',
        description:
          'No key is needed: any X-Completion-Token that came with the action is enough, also one of an earlier ' +
          'attempt. The same result again is answered with 200 and changes nothing, so send it until it is answered; ' +
          'another one is refused with invocation_completed. What the plugin reports counts more than how the call ended. ' +
          'A plugin that is paused or removed completes nothing, and a token ends with the signing secret that was ' +
          'current when it was given.',
        security: [],
        params: CompletionParams,
        headers: CompletionHeaders,
        body: ref(CompletionInput),
        response: {
          200: ref(Completion),
          ...problems(
            ...OPEN_PROBLEMS,
            ...BODY_PROBLEMS,
            completionRefused,
            invocationNotFound,
            invocationCompleted,
            invocationExpired,
          ),
        },
      },
    },
    async (request) => complete(ctx, request.claim, request.body),
  )
}
