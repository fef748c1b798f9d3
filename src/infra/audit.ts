import { isDeepStrictEqual } from 'node:util'
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

/** A longer value is told by its length alone, in characters of JSON. */
const CHANGED_VALUE_MAX_CHARS = 2_000

/** The effect of a change: the members that differ, as they were and as they are. */
interface Changed {
  before?: Record<string, unknown>
  after?: Record<string, unknown>
}

/** Returns what differs of the two, for an entry's detail: nothing where nothing does. */
export function changesOf(before: object, after: object): Changed {
  const [old, now] = [{ ...before }, { ...after }] as [Record<string, unknown>, Record<string, unknown>]
  const names = [...new Set([...Object.keys(old), ...Object.keys(now)])].filter(
    (name) => !isDeepStrictEqual(old[name], now[name]),
  )
  const told = (from: Record<string, unknown>): Record<string, unknown> =>
    Object.fromEntries(names.flatMap((name) => (name in from ? [[name, brief(from[name])]] : [])))
  return names.length === 0 ? {} : { before: told(old), after: told(now) }
}

function brief(value: unknown): unknown {
  const characters = (JSON.stringify(value) as string | undefined)?.length ?? 0
  return characters > CHANGED_VALUE_MAX_CHARS ? { truncated: true, characters } : value
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
