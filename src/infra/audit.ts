import type { Kysely, Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { newId } from '#lib/ids.ts'
import { redact } from '#lib/secrets/redact.ts'
import type { Actor } from '#infra/auth/auth.ts'

export interface AuditEntry {
  tenantId: string | null
  /** Noun and past participle: `plugin.created`, `key.revoked`. */
  action: string
  targetKind: string
  targetId: string
  /** The changes; secrets in them are redacted. */
  detail?: Record<string, unknown>
}

/** The id of the key, or the label of the portal link; null where there is neither. */
export function idOf(actor: Actor): string | null {
  return actor.session?.portalLabel ?? actor.id
}

/** Writes who did what, in the transaction that does it: neither exists without the other. */
export async function audit(
  db: Kysely<DB> | Transaction<DB>,
  actor: Actor,
  entry: AuditEntry,
): Promise<void> {
  await auditAll(db, [{ actor, entry }])
}

/** The same for changes by many. */
export async function auditAll(
  db: Kysely<DB> | Transaction<DB>,
  entries: readonly { actor: Actor; entry: AuditEntry }[],
): Promise<void> {
  await db
    .insertInto('audit_log')
    .values(
      entries.map(({ actor, entry }) => ({
        id: newId(),
        tenant_id: entry.tenantId,
        actor_kind: actor.kind,
        actor_id: idOf(actor),
        action: entry.action,
        target_kind: entry.targetKind,
        target_id: entry.targetId,
        detail: JSON.stringify(redact(entry.detail ?? {})),
        request_id: actor.requestId,
      })),
    )
    .execute()
}
