import type { Actor } from '#infra/auth/auth.ts'
import { secretContext } from '#infra/secrets.ts'
import { newId } from '#lib/ids.ts'
import { generateSecret, parseSecret } from '#lib/secrets/signature.ts'
import type { RotatedSecret } from '../answer-schemas.ts'
import { checkSecret } from '../settings/checks.ts'
import { announceChange, found, type PluginContext, transact } from '../context.ts'
import { refuseInvalid, tooManySecrets } from '../errors.ts'
import { auditPlugin } from '../plugin-audit.ts'
import { lockPlugin, updatePlugin } from '../repository.ts'
import type { SecretRotation } from '../schemas.ts'
import { deleteEndedSecrets, expireSecrets, insertSecret, listLiveSecrets } from './repository.ts'
import { openSecret } from './open-secret.ts'
import { isSlug } from '../slug.ts'
import { clearUnreadable } from '../lifecycle/lane-repository.ts'
import { viewSecret } from '../view.ts'

const DEFAULT_OVERLAP_SECONDS = 24 * 3600
/** Every delivery carries one signature a live secret. */
const MAX_LIVE_SECRETS = 10

/**
 * Adds a signing secret; the older ones go on signing beside it until the overlap is over. One that cannot be opened is no
 * obstacle: it signs nothing, and the new one takes its place.
 */
export async function rotateSecret(
  ctx: PluginContext,
  actor: Actor,
  tenantId: string,
  slug: string,
  { overlap_seconds: overlap = DEFAULT_OVERLAP_SECONDS, secret = generateSecret() }: SecretRotation,
): Promise<RotatedSecret> {
  const { pluginId, secrets } = await transact(ctx, async (trx) => {
    const row = found(isSlug(slug) ? await lockPlugin(trx, tenantId, slug) : undefined, actor)
    refuseInvalid(checkSecret(secret))
    const live = await listLiveSecrets(trx, tenantId, [row.id])
    const key = parseSecret(secret)
    const isKnown = live.some((row) => {
      const known = openSecret(ctx.secretBox, tenantId, row)
      return known !== null && parseSecret(known).equals(key)
    })
    if (isKnown) refuseInvalid([{ pointer: '/secret', detail: 'signs already: send another, or none' }])
    if (overlap > 0 && live.length >= MAX_LIVE_SECRETS) throw tooManySecrets()

    await expireSecrets(trx, tenantId, row.id, overlap)
    await deleteEndedSecrets(trx, tenantId, row.id)
    const id = newId()
    const sealed = ctx.secretBox.seal(secret, secretContext(tenantId, id, 'secret'))
    await insertSecret(trx, { id, tenant_id: tenantId, plugin_id: row.id, sealed })
    await updatePlugin(trx, tenantId, row.id, {})
    await clearUnreadable(trx, tenantId, row.id)
    await auditPlugin(trx, actor, 'plugin.secret_rotated', row, { overlap_seconds: overlap })
    return { pluginId: row.id, secrets: await listLiveSecrets(trx, tenantId, [row.id]) }
  })
  announceChange(ctx, tenantId, pluginId)
  return { secret, secrets: secrets.map(viewSecret) }
}
