import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import { problems, ref } from '#lib/api/schema.ts'
import { inletNotFound } from './errors.ts'
import { Inlet, InletParams } from './schemas.ts'
import { type FlowTriggerContext, rotateInlet } from './service.ts'

const tags = ['flows']

export function flowTriggerRoutes(app: FastifyInstance, ctx: FlowTriggerContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.post(
    '/api/automation/flows/:id/inlets/:trigger_id/rotate',
    {
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
