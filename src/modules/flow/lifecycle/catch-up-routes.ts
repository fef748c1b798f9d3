import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { invalidRequest } from '#infra/http/problems.ts'
import { WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import type { FieldError } from '#lib/api/problem.ts'
import { problems, ref } from '#lib/api/schema.ts'
import { parseTime } from '#lib/time.ts'
import type { FlowContext } from '../context.ts'
import { flowNotActive, flowNotFound } from '../errors.ts'
import { CatchUpRequest, CatchUpResult } from './schemas.ts'
import { catchUpFlow } from './service.ts'
import { FLOW_TAGS as tags } from '../routes.ts'
import { FlowParams } from '../schemas.ts'

export function catchUpRoutes(app: FastifyInstance, ctx: FlowContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.post(
    '/api/automation/flows/:id/catch-up',
    {
      schema: {
        operationId: 'catchUpFlow',
        tags,
        summary: 'Start what a flow has missed',
        description:
          'Events and webhooks that met it while it was paused, switched off or halted are kept as `skipped` executions, and so is ' +
          'the last firing of a schedule with `catch_up: once`. ' +
          'Each starts once, under the id that it has, in the order in which it came and before anything newer; by what is ' +
          'published now, and by the enrolment as it is then. What was retried by hand is left alone. `dry_run` counts only.',
        params: FlowParams,
        body: ref(CatchUpRequest),
        response: {
          200: ref(CatchUpResult),
          ...problems(...WRITE_PROBLEMS, flowNotFound, flowNotActive),
        },
      },
    },
    async (request) => {
      const { since, until, dry_run: dryRun } = request.body
      const window = readWindow({ since, until })
      const flowRef = { tenantId: request.tenantId, id: request.params.id }
      return catchUpFlow(ctx, request.actor, flowRef, { ...window, dryRun })
    },
  )
}

/** @throws `invalid_request` */
function readWindow(given: { since: string | undefined; until: string | undefined }): {
  since: Date | null
  until: Date | null
} {
  const errors: FieldError[] = []
  const time = (name: 'since' | 'until'): Date | null => {
    const text = given[name]
    if (text === undefined) return null
    const ms = parseTime(text)
    if (ms !== null && ms >= 0) return new Date(ms)
    errors.push({ pointer: `/${name}`, detail: 'must be a time such as 2026-05-01T00:00:00Z' })
    return null
  }
  const since = time('since')
  const until = time('until')
  if (since !== null && until !== null && since >= until) {
    errors.push({ pointer: '/until', detail: 'must be later than since' })
  }
  if (errors.length > 0) throw invalidRequest(undefined, { errors })
  return { since, until }
}
