import type { ActorKind, TenantRole } from '#db/schema.ts'

/** Who does it. Services take this where they write the audit log; they never see a request. */
export interface Actor {
  kind: ActorKind
  /** The key's id; null in open mode, for the environment's platform key and for the service itself. */
  id: string | null
  /** Null: any tenant. */
  tenantId: string | null
  role: TenantRole | 'platform' | null
  pluginId: string | null
  pluginSlug: string | null
  /** What a plugin's key may do (scopes.ts); null for any other. */
  scopes: readonly string[] | null
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
  requestId: null,
}
