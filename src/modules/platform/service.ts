import type { Kysely } from 'kysely'
import type { Config } from '#config/config.ts'
import type { DB } from '#db/schema.ts'
import { audit, changesOf } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import type { Egress } from '#infra/egress/index.ts'
import { secretContext } from '#infra/secrets.ts'
import type { ActionCallResult } from '#lib/action-call.ts'
import { type SecretBox, SecretBoxError } from '#lib/secrets/secret-box.ts'
import {
  type PlatformCall,
  type PlatformConnector,
  type PlatformEndpoint,
  platformNotConfigured,
} from './connector.ts'
import { platformUrlRefused } from './errors.ts'
import type { PlatformSettings, PlatformSettingsInput } from './schemas.ts'
import { findOverride, lockOverride, updateOverride } from './repository.ts'

export interface PlatformContext {
  db: Kysely<DB>
  secretBox: SecretBox
  connector: PlatformConnector
  /** For addresses that tenants gave. */
  egress: Egress
  /** For the operator's own PLATFORM_URL. */
  ownEgress: Egress
  platform: Config['platform']
}

/** One look at the database for each call: an override that was changed holds at once, on every replica. */
export async function callPlatform(
  ctx: PlatformContext,
  tenantId: string,
  call: PlatformCall,
): Promise<ActionCallResult> {
  try {
    const endpoint = await endpointOf(ctx, tenantId)
    if (endpoint !== null) return await ctx.connector.call(tenantId, endpoint, call)
    return platformNotConfigured('Set PLATFORM_URL, or PUT /api/tenant/platform for this tenant.')
  } catch (error) {
    if (!(error instanceof SecretBoxError)) throw error
    return platformNotConfigured(
      "The tenant's platform token cannot be opened: PUT /api/tenant/platform again.",
    )
  }
}

export async function readPlatformSettings(
  ctx: PlatformContext,
  tenantId: string,
): Promise<PlatformSettings> {
  const row = await findOverride(ctx.db, tenantId)
  if (row !== undefined) {
    return { url: row.platform_url, has_token: row.platform_token_sealed !== null, source: 'tenant' }
  }
  // The address of the operator's own platform inside of a network is no tenant's business.
  return { url: null, has_token: false, source: ctx.platform.url === null ? 'none' : 'service' }
}

export async function changePlatformSettings(
  ctx: PlatformContext,
  actor: Actor,
  tenantId: string,
  input: PlatformSettingsInput,
): Promise<PlatformSettings> {
  const fault = input.url === null ? null : await urlFault(ctx, input.url)
  if (fault !== null) throw platformUrlRefused(fault, { errors: [{ pointer: '/url', detail: fault }] })
  const token = input.url === null ? null : (input.token ?? null)
  await ctx.db.transaction().execute(async (trx) => {
    const before = await lockOverride(trx, tenantId)
    const { platform_url: oldUrl = null, platform_token_sealed: oldToken = null } = before ?? {}
    await updateOverride(trx, tenantId, {
      platform_url: input.url,
      platform_token_sealed: token === null ? null : ctx.secretBox.seal(token, tokenContext(tenantId)),
    })
    await audit(trx, actor, {
      tenantId,
      action: 'tenant.platform_changed',
      targetKind: 'tenant',
      targetId: tenantId,
      detail: {
        url: input.url,
        has_token: token !== null,
        // The token is given anew or removed with each change: that it was, not whether it is another one.
        changed: [
          ...(oldUrl === input.url ? [] : ['url']),
          ...(token === null && oldToken === null ? [] : ['token']),
        ],
        ...changesOf(
          { url: oldUrl, has_token: oldToken !== null },
          { url: input.url, has_token: token !== null },
        ),
      },
    })
  })
  return readPlatformSettings(ctx, tenantId)
}

/** Returns the reason why actions cannot be sent below this URL; null if they can. */
async function urlFault(ctx: PlatformContext, url: string): Promise<string | null> {
  const refusal = await ctx.egress.check(url)
  if (refusal !== null) return refusal.detail
  const { search, hash } = new URL(url)
  return search + hash === '' ? null : 'The URL has a query or fragment, but paths are put after it'
}

async function endpointOf(ctx: PlatformContext, tenantId: string): Promise<PlatformEndpoint | null> {
  const row = await findOverride(ctx.db, tenantId)
  if (row !== undefined) {
    const { platform_url: url, platform_token_sealed: sealed } = row
    return {
      url,
      token: sealed === null ? null : ctx.secretBox.open(sealed, tokenContext(tenantId)),
      egress: ctx.egress,
    }
  }
  const { url, token } = ctx.platform
  return url === null ? null : { url, token, egress: ctx.ownEgress }
}

function tokenContext(tenantId: string): string {
  return secretContext(tenantId, tenantId, 'platform_token')
}
