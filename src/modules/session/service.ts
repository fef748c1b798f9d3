import type { Kysely, Transaction } from 'kysely'
import type { DB, SessionKind, SessionTransport } from '#db/schema.ts'
import { audit } from '#infra/audit.ts'
import { type Actor, type Identity, tenantMismatch, unauthenticated } from '#infra/auth/auth.ts'
import { readSession } from '#infra/auth/session-repository.ts'
import { invalidCursor, invalidRequest } from '#infra/http/problems.ts'
import type { Signals } from '#infra/signals.ts'
import { version } from '#infra/version.ts'
import { decodeCursor, page } from '#lib/api/cursor.ts'
import { newId } from '#lib/ids.ts'
import { generateBearerToken, generateToken, hashToken } from '#lib/secrets/session-token.ts'
import { redeemPortalLink } from '#modules/portal/index.ts'
import { sessionNotFound } from './errors.ts'
import {
  findKeyLabel,
  findPluginName,
  findSessionLabel,
  hasSession,
  insertSession,
  type NewSessionRow,
  revokeSessionRow,
  selectSessionPage,
  type SessionScope,
} from './repository.ts'
import type { NewSession, Session, SessionRecord, StartedSession } from './schemas.ts'

export interface SessionContext {
  db: Kysely<DB>
  signals: Pick<Signals, 'publish'>
  identity: Pick<Identity, 'key' | 'mayChooseTenant' | 'ground'>
}

/** Of one that a key was exchanged for; a portal link says it itself. */
const SESSION_SECONDS = 12 * 3_600
/** The name of the environment's platform key. */
const ENVIRONMENT_KEY = 'PLATFORM_KEY'

export interface Login {
  transport: SessionTransport
  requestId: string
  /** The session that the browser had until now: the new one takes its place. */
  replaces: Actor | null
}

type Ownership = Omit<NewSessionRow, 'id' | 'hash' | 'transport'>
type PortalMembers = Pick<StartedSession, 'return_url' | 'theme' | 'locale'>

/**
 * Exchanges a key or a portal link for a session.
 *
 * @returns the token, which is stored as a hash only, and the answer, without it
 * @throws `unauthenticated`, `portal_link_invalid`
 */
export async function startSession(
  ctx: SessionContext,
  input: NewSession,
  { transport, requestId, replaces }: Login,
): Promise<{ token: string; session: StartedSession }> {
  checkInput(input)
  const token = transport === 'bearer' ? generateBearerToken() : generateToken()
  const id = newId()
  const owner = input.key === undefined ? null : await ownerByKey(ctx, input.key, input.tenant_id)
  const started = await ctx.db.transaction().execute(async (trx) => {
    const { row, portal } = owner ?? (await ownerByLink(ctx, trx, input.portal_token ?? ''))
    await insertSession(trx, { ...row, id, hash: hashToken(token), transport })
    const known = await readSession(trx, hashToken(token), ctx.identity.ground)
    // The key was revoked, or the plugin deleted, in this moment.
    if (known === null) throw keyIsNotLive()
    const actor = { ...known.actor, requestId }
    await audit(trx, actor, {
      tenantId: row.tenant_id,
      action: 'session.started',
      targetKind: 'session',
      targetId: id,
      detail: { kind: row.kind, transport, label: row.label },
    })
    if (replaces !== null) await end(trx, replaces)
    return { actor, portal }
  })
  if (replaces !== null) ctx.signals.publish('session_changed', [])
  const described = await describeCaller(ctx, started.actor, tenantOf(started.actor))
  return { token, session: { ...described, ...started.portal } }
}

/** Describes the caller, whichever way it came by. */
export async function describeCaller(
  ctx: SessionContext,
  actor: Actor,
  tenantId: string | null,
): Promise<Session> {
  const { kind, role, session } = actor
  const named = await labelOf(ctx, actor)
  return {
    kind: kind as Session['kind'],
    role,
    tenant_id: tenantId,
    may_choose_tenant: ctx.identity.mayChooseTenant(actor),
    plugin: await pluginOf(ctx, actor),
    label: named?.label ?? null,
    expires_at: named?.expires_at ?? null,
    version,
    via: kind === 'open' ? 'open' : session === null ? 'key' : 'session',
  }
}

/** Ends the session that the actor came by; a key has none. */
export async function endOwnSession(ctx: SessionContext, actor: Actor): Promise<void> {
  if (actor.session === null) return
  await ctx.db.transaction().execute((trx) => end(trx, actor))
  ctx.signals.publish('session_changed', [actor.session.id])
}

export async function listSessions(
  ctx: SessionContext,
  actor: Actor,
  scope: SessionScope,
  query: { limit: number; cursor?: string | undefined },
): Promise<{ data: SessionRecord[]; next_cursor: string | null }> {
  const before = query.cursor === undefined ? null : decodeCursor(query.cursor, ['uuid'])?.[0]
  if (before === undefined) throw invalidCursor()
  const rows = await selectSessionPage(ctx.db, scope, ctx.identity.ground, {
    before: before as string | null,
    limit: query.limit + 1,
    currentId: actor.session?.id ?? null,
  })
  return page(rows, query.limit, (row) => [row.id])
}

/** Ends a session on every replica at once; one that was ended before stays as it was. */
export async function revokeSession(
  ctx: SessionContext,
  actor: Actor,
  scope: SessionScope,
  id: string,
): Promise<void> {
  const isNew = await ctx.db.transaction().execute(async (trx) => {
    const ended = await endRow(trx, actor, scope, id)
    if (!ended && !(await hasSession(trx, scope, id))) throw sessionNotFound()
    return ended
  })
  if (isNew) ctx.signals.publish('session_changed', [id])
}

/** Checks the rules that the schema cannot state. */
function checkInput({ key, portal_token, tenant_id }: NewSession): void {
  if ((key === undefined) === (portal_token === undefined)) {
    throw invalidRequest('Send either key or portal_token.')
  }
  if (key === undefined && tenant_id !== undefined) {
    throw invalidRequest(undefined, {
      errors: [{ pointer: '/tenant_id', detail: 'goes with key only: a portal link has its own' }],
    })
  }
}

async function ownerByKey(
  { db, identity }: SessionContext,
  key: string,
  tenantId: string | undefined,
): Promise<{ row: Ownership; portal: PortalMembers }> {
  const known = await identity.key(key)
  if (known === null) throw keyIsNotLive()
  const { actor } = known
  const chosen = tenantId?.toLowerCase() ?? null
  if (chosen !== null && actor.tenantId !== null && chosen !== actor.tenantId) throw tenantMismatch()
  const named = actor.id === null ? undefined : await findKeyLabel(db, actor.id)
  const row: Ownership = {
    tenant_id: actor.tenantId,
    kind: actor.kind as SessionKind,
    key_id: actor.id,
    platform_key_hash: actor.id === null ? identity.ground.platformKeyHash : null,
    portal_link_id: null,
    role: actor.role === 'platform' ? null : actor.role,
    plugin_id: actor.pluginId,
    chosen_tenant_id: actor.tenantId === null ? chosen : null,
    label: named?.label ?? ENVIRONMENT_KEY,
    seconds: SESSION_SECONDS,
  }
  return { row, portal: {} }
}

async function ownerByLink(
  { identity }: SessionContext,
  trx: Transaction<DB>,
  token: string,
): Promise<{ row: Ownership; portal: PortalMembers }> {
  const link = await redeemPortalLink(trx, identity.ground, token)
  const row: Ownership = {
    tenant_id: link.tenant_id,
    kind: 'portal',
    key_id: null,
    platform_key_hash: null,
    portal_link_id: link.id,
    role: link.plugin_id === null ? link.role : null,
    plugin_id: link.plugin_id,
    chosen_tenant_id: null,
    label: link.label,
    seconds: link.session_seconds,
  }
  return { row, portal: { return_url: link.return_url, theme: link.theme, locale: link.locale } }
}

function keyIsNotLive() {
  return unauthenticated('The key in the body is not a live one.', {
    headers: { 'www-authenticate': 'Bearer error="invalid_token"' },
  })
}

function tenantOf({ tenantId, session }: Actor): string | null {
  return tenantId ?? session?.chosenTenantId ?? null
}

async function end(trx: Transaction<DB>, actor: Actor): Promise<void> {
  if (actor.session !== null) await endRow(trx, actor, actor.tenantId, actor.session.id)
}

/** @returns whether it was ended now */
async function endRow(trx: Transaction<DB>, actor: Actor, scope: SessionScope, id: string): Promise<boolean> {
  const ended = await revokeSessionRow(trx, scope, id)
  if (ended === undefined) return false
  const { tenant_id, kind, label } = ended
  await audit(trx, actor, {
    tenantId: tenant_id,
    action: 'session.ended',
    targetKind: 'session',
    targetId: id,
    detail: { kind, label },
  })
  return true
}

async function labelOf(
  { db }: SessionContext,
  { id, kind, session }: Actor,
): Promise<{ label: string; expires_at: Date | null } | undefined> {
  if (session !== null) return findSessionLabel(db, session.id)
  if (id !== null) return findKeyLabel(db, id)
  return kind === 'platform' ? { label: ENVIRONMENT_KEY, expires_at: null } : undefined
}

async function pluginOf(
  { db }: SessionContext,
  { pluginId, tenantId, scopes }: Actor,
): Promise<Session['plugin']> {
  const plugin = pluginId === null ? undefined : await findPluginName(db, tenantId, pluginId)
  return plugin === undefined ? null : { ...plugin, scopes: [...(scopes ?? [])] }
}
