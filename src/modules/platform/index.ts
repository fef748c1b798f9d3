/**
 * The connector to the platform's own API: PLATFORM_URL with PLATFORM_TOKEN, or a tenant's own settings instead.
 *
 * What always holds: the token is in no result, log or error; a platform that is down is asked again only after a
 * pause (a breaker for each origin and process); every call carries an Idempotency-Key.
 */
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '#config/config.ts'
import { allowOrigin, createEgress } from '#infra/egress/index.ts'
import type { ActionCallResult } from '#lib/action-call.ts'
import { type PlatformCall, PlatformConnector } from './connector.ts'
import { platformRoutes } from './routes.ts'
import { PlatformSettings, PlatformSettingsInput } from './schemas.ts'
import { callPlatform, type PlatformContext, readPlatformSettings } from './service.ts'

export interface PlatformService {
  call(tenantId: string, call: PlatformCall): Promise<ActionCallResult>
  /** Tells whether it is known where the tenant's platform actions go. */
  isConfigured(tenantId: string): Promise<boolean>
}

declare module 'fastify' {
  interface FastifyInstance {
    platform: PlatformService
  }
}

export default fp(
  async (app: FastifyInstance, { config }: { config: Config }) => {
    const ownEgress = createEgress({
      allow: config.platform.url === null ? [] : allowOrigin(config.platform.url),
      dnsServers: config.egress.dns,
      httpsOnly: false,
    })
    app.addHook('onClose', () => ownEgress.close())
    const ctx: PlatformContext = {
      db: app.db,
      secretBox: app.secretBox,
      connector: new PlatformConnector(),
      egress: app.egress,
      ownEgress,
      platform: config.platform,
    }
    app.decorate('platform', {
      call: (tenantId, call) => callPlatform(ctx, tenantId, call),
      isConfigured: async (tenantId) => (await readPlatformSettings(ctx, tenantId)).source !== 'none',
    } satisfies PlatformService)
    for (const schema of [PlatformSettings, PlatformSettingsInput]) app.addSchema(schema)
    await app.register(async (routes) => platformRoutes(routes, ctx))
  },
  { name: 'platform', dependencies: ['db', 'secrets', 'egress'] },
)
