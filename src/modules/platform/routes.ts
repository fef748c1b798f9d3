import { READ_PROBLEMS, WRITE_PROBLEMS } from '#infra/http/route-problems.ts'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { problems, ref } from '#lib/api/schema.ts'
import { platformUrlRefused } from './errors.ts'
import { PlatformSettings, PlatformSettingsInput } from './schemas.ts'
import { changePlatformSettings, type PlatformContext, readPlatformSettings } from './service.ts'

export function platformRoutes(app: FastifyInstance, ctx: PlatformContext): void {
  const api = app.withTypeProvider<TypeBoxTypeProvider>()

  api.get(
    '/api/tenant/platform',
    {
      schema: {
        operationId: 'getPlatformSettings',
        tags: ['tenant'],
        summary: "Where this tenant's platform actions are sent",
        description:
          'Where to, whether a token goes with it, and whether the tenant or the service has set it. The ' +
          'token itself is never shown.',
        response: { 200: ref(PlatformSettings), ...problems(...READ_PROBLEMS) },
      },
    },
    async (request) => readPlatformSettings(ctx, request.tenantId),
  )

  api.put(
    '/api/tenant/platform',
    {
      schema: {
        operationId: 'setPlatformSettings',
        tags: ['tenant'],
        summary: "Send this tenant's platform actions elsewhere",
        description: 'The token is sealed at rest and never given back.',
        body: ref(PlatformSettingsInput),
        response: {
          200: ref(PlatformSettings),
          ...problems(...WRITE_PROBLEMS, platformUrlRefused),
        },
      },
    },
    async (request) => changePlatformSettings(ctx, request.actor, request.tenantId, request.body),
  )
}
