import type { Kysely, Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { audit } from '#infra/audit.ts'
import { type Actor, forbidden } from '#infra/auth/auth.ts'
import type { SessionGround } from '#infra/auth/session-repository.ts'
import { invalidCursor, invalidRequest } from '#infra/http/problems.ts'
import type { Signals } from '#infra/signals.ts'
import { decodeCursor, page } from '#lib/api/cursor.ts'
import { newId } from '#lib/ids.ts'
import { generateToken, hashToken, isToken } from '#lib/secrets/session-token.ts'
import { lockPlugin } from '#modules/key/index.ts'
import { portalLinkInvalid } from './errors.ts'
import { endByLabel, insertLink, type RedeemedLink, redeemLink, selectLinks } from './repository.ts'
import type { NewPortalSession, PortalSession, PortalSessionLink } from './schemas.ts'

export interface PortalContext {
  db: Kysely<DB>
  signals: Pick<Signals, 'publish'>
  ground: SessionGround
}

/** The page of the console that exchanges links. */
const PORTAL_PATH = '/console/portal'

/**
 * Makes a link to the console. Its token stands in the fragment, which no server and no referrer gets to see.
 *
 * @param origin where the console is reached
 */
export async function createPortalLink(
  ctx: PortalContext,
  actor: Actor,
  tenantId: string,
  origin: string,
  input: NewPortalSession,
): Promise<PortalSessionLink> {
  // It would outlive the one that it came by.
  if (actor.kind === 'portal') throw forbidden('Who came by a portal link makes none: that takes a key.')
  checkInput(input)
  const { scope, role = 'editor', label, expires_in, return_url, theme, locale } = input
  const token = generateToken()
  const id = newId()
  const expires_at = await ctx.db.transaction().execute(async (trx) => {
    const plugin = await pluginOf(trx, tenantId, input.plugin)
    const until = await insertLink(trx, {
      id,
      tenant_id: tenantId,
      hash: hashToken(token),
      scope,
      role,
      plugin_id: plugin?.id ?? null,
      label,
      key_id: actor.id,
      platform_key_hash: actor.kind === 'platform' && actor.id === null ? ctx.ground.platformKeyHash : null,
      session_seconds: expires_in,
      link_seconds: input.link_expires_in,
      return_url: return_url ?? null,
      theme: theme ?? null,
      locale: locale ?? null,
    })
    await audit(trx, actor, {
      tenantId,
      action: 'portal_link.created',
      targetKind: 'portal_link',
      targetId: id,
      detail: { scope, plugin: plugin?.slug ?? null, role, label, expires_in },
    })
    return until
  })
  return { id, url: `${origin}${PORTAL_PATH}#${token}`, expires_at }
}

/** Uses a link up. @throws `portal_link_invalid`, whether it was used, has ended or never was */
export async function redeemPortalLink(
  trx: Transaction<DB>,
  ground: SessionGround,
  token: string,
): Promise<RedeemedLink> {
  const link = isToken(token) ? await redeemLink(trx, hashToken(token), ground) : undefined
  if (link === undefined) throw portalLinkInvalid()
  return link
}

export async function listPortalLinks(
  ctx: PortalContext,
  tenantId: string,
  query: { limit: number; cursor?: string | undefined },
): Promise<{ data: PortalSession[]; next_cursor: string | null }> {
  const before = query.cursor === undefined ? null : decodeCursor(query.cursor, ['uuid'])?.[0]
  if (before === undefined) throw invalidCursor()
  const rows = await selectLinks(ctx.db, tenantId, ctx.ground, {
    before: before as string | null,
    limit: query.limit + 1,
  })
  return page(rows, query.limit, (row) => [row.id])
}

/** Ends all links with this label, and the sessions that they were exchanged for, on every replica at once. */
export async function endPortalSessions(
  ctx: PortalContext,
  actor: Actor,
  tenantId: string,
  label: string,
): Promise<void> {
  const isNew = await ctx.db.transaction().execute(async (trx) => {
    const ended = await endByLabel(trx, tenantId, label)
    if (ended.links === 0 && ended.sessions === 0) return false
    await audit(trx, actor, {
      tenantId,
      action: 'portal_links.ended',
      targetKind: 'portal_link',
      targetId: label,
      detail: ended,
    })
    return true
  })
  if (isNew) ctx.signals.publish('session_changed', [])
}

/** Checks the rules that the schema cannot state. */
function checkInput({ scope, plugin, role, return_url }: NewPortalSession): void {
  if ((scope === 'plugin') !== (plugin !== undefined)) {
    const detail = scope === 'plugin' ? 'is required with the scope plugin' : 'is of the scope plugin only'
    throw invalidField('/plugin', detail)
  }
  if (scope === 'tenant' && role === undefined) {
    throw invalidField('/role', 'is required with the scope tenant')
  }
  if (return_url !== undefined && !isWebUrl(return_url)) {
    throw invalidField('/return_url', 'must be an absolute http or https URL without credentials')
  }
}

function isWebUrl(text: string): boolean {
  const url = URL.parse(text)
  if (url === null || url.username !== '' || url.password !== '') return false
  return url.protocol === 'https:' || url.protocol === 'http:'
}

async function pluginOf(trx: Transaction<DB>, tenantId: string, slugOrId: string | undefined) {
  if (slugOrId === undefined) return null
  const plugin = await lockPlugin(trx, tenantId, slugOrId)
  if (plugin === undefined) throw invalidField('/plugin', 'names no plugin of this tenant')
  return plugin
}

function invalidField(pointer: string, detail: string) {
  return invalidRequest(undefined, { errors: [{ pointer, detail }] })
}
