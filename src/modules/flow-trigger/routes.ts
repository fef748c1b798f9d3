import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { rateLimited } from '#infra/http/problems.ts'
import { BODY_PROBLEMS, OPEN_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { Problem } from '#lib/api/problem.ts'
import { RateWindow } from '#lib/async/rate-window.ts'
import { problems, ref } from '#lib/api/schema.ts'
import { flowNewer, flowOutdated } from '#modules/flow-engine/index.ts'
import { inletConflict, inletNotFound } from './errors.ts'
import { type InletContext, type OpenInlet, openInlet, receive } from './inlet-service.ts'
import { HookBody, HookHeaders, HookParams, HookReceipt, Inlet, InletParams } from './schemas.ts'
import { type FlowTriggerContext, rotateInlet } from './service.ts'

declare module 'fastify' {
  interface FastifyRequest {
    inlet: OpenInlet
  }
}

const tags = ['flows']
const MINUTE_MS = 60_000
/** What one inlet takes in a minute, in one process: more than a busy shop's webhooks, less than what hurts. */
const REQUESTS_PER_INLET = 600
/** URLs that never were, from one address: each costs a look-up. */
const MISSES_PER_ADDRESS = 60
const MAX_KEYS = 10_000

export interface FlowTriggerRoutesContext extends FlowTriggerContext, InletContext {}

export function flowTriggerRoutes(app: FastifyInstance, ctx: FlowTriggerRoutesContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()
  const opened = openedBy(ctx)
  app.decorateRequest('inlet', null as unknown as OpenInlet)

  api.post(
    '/hooks/:token',
    {
      config: { access: { role: 'public' }, rateLimit: false, dataMembers: 'all' },
      // Before the body is read: who does not know a URL does not get to send us a megabyte.
      onRequest: async (request) => {
        request.inlet = await opened(request)
      },
      schema: {
        operationId: 'receiveHook',
        tags,
        summary: 'Start a flow by its webhook trigger',
        description:
          'The URL of an inlet, which the flow shows, is all that a sender needs. The body is any JSON of up to ' +
          "1 MiB; it is the execution's `trigger` once the trigger's filter lets it pass. The answer comes after the " +
          'execution is stored. With an `Idempotency-Key` a request can be sent again safely. At most ' +
          `${REQUESTS_PER_INLET} requests a minute.`,
        security: [],
        params: HookParams,
        headers: HookHeaders,
        body: HookBody,
        response: {
          202: ref(HookReceipt),
          ...problems(...OPEN_PROBLEMS, ...BODY_PROBLEMS, inletNotFound, rateLimited, flowNewer),
          ...problems(inletConflict, flowOutdated),
        },
      },
    },
    async ({ inlet, headers, body }, reply) => {
      const key = headers['idempotency-key'] ?? headers['webhook-id'] ?? null
      return reply.code(202).send(await receive(ctx, inlet, body ?? null, key))
    },
  )

  api.post(
    '/api/automation/flows/:id/inlets/:trigger_id/rotate',
    {
      config: { access: { role: 'editor' } },
      schema: {
        operationId: 'rotateInlet',
        tags,
        summary: "Replace a webhook trigger's URL",
        description: 'The old URL is unknown from then on: enter the new one wherever it stands.',
        params: InletParams,
        response: {
          200: ref(Inlet),
          ...problems(...WRITE_PROBLEMS, inletNotFound),
        },
      },
    },
    async ({ actor, tenantId, params }) =>
      rotateInlet(ctx, actor, { tenantId, flowId: params.id, triggerId: params.trigger_id }),
  )
}

/** Finds the inlet of a request, within the limits. An address that only guesses stops costing look-ups. */
function openedBy(ctx: InletContext): (request: FastifyRequest) => Promise<OpenInlet> {
  const hits = new RateWindow({ limit: REQUESTS_PER_INLET, windowMs: MINUTE_MS, maxKeys: MAX_KEYS })
  const misses = new RateWindow({ limit: MISSES_PER_ADDRESS, windowMs: MINUTE_MS, maxKeys: MAX_KEYS })
  return async ({ params, ip }) => {
    const { token } = params as { token: string }
    const waitSeconds = hits.counted(token) > 0 ? hits.exhausted(token) : misses.exhausted(ip)
    if (waitSeconds !== null) throw tooMany(waitSeconds)
    const inlet = await openInlet(ctx, token).catch((error: unknown) => {
      if (error instanceof Problem && error.code === inletNotFound.code) misses.take(ip)
      throw error
    })
    const late = hits.take(token)
    if (late !== null) throw tooMany(late)
    return inlet
  }
}

function tooMany(waitSeconds: number): Error {
  return rateLimited(undefined, { headers: { 'retry-after': String(waitSeconds) } })
}
