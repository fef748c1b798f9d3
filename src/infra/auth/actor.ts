import type { ActorKind, TenantRole } from '#db/schema.ts'

export const ACTOR_KINDS = [
  'open',
  'platform',
  'tenant',
  'plugin',
  'portal',
  'operator',
  'system',
] as const satisfies readonly ActorKind[]

/** The session that an actor comes by, of a browser or of an embedded page. */
interface ActorSession {
  id: string
  /** Of a platform key's: the tenant that it works for where a request names none. */
  chosenTenantId: string | null
  /** The label of the portal link, if it came by one. */
  portalLabel: string | null
}

/** The author of a change. Services take this where they write the audit log; they never see a request. */
export interface Actor {
  kind: ActorKind
  /** The key's id; null in open mode, for a portal link, the environment's platform key and the service itself. */
  id: string | null
  /** Null: any tenant. */
  tenantId: string | null
  role: TenantRole | 'platform' | null
  pluginId: string | null
  pluginSlug: string | null
  /** The scopes of a plugin's key, or of a portal session of the plugin (scopes.ts); null for any other. */
  scopes: readonly string[] | null
  /** Null: it sent its key, or needed none. */
  session: ActorSession | null
  requestId: string | null
}

export const SYSTEM_ACTOR: Actor = {
  kind: 'system',
  id: null,
  tenantId: null,
  role: 'platform',
  pluginId: null,
  pluginSlug: null,
  scopes: null,
  session: null,
  requestId: null,
}
