import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { invalidCursor, invalidRequest } from '#infra/http/problems.ts'
import { decodeCursor, page } from '#lib/api/cursor.ts'
import { parseTime } from '#lib/time.ts'
import { auditEntryNotFound } from './errors.ts'
import { findAuditEntry, selectAuditLog } from './repository.ts'
import type { AuditLogEntry, AuditLogQuery } from './schemas.ts'

export interface AuditContext {
  db: Kysely<DB>
}

/** @param tenantId null: the entries above all tenants */
export async function listAuditLog(
  ctx: AuditContext,
  tenantId: string | null,
  { limit, cursor, since, until, ...filter }: AuditLogQuery,
): Promise<{ data: AuditLogEntry[]; next_cursor: string | null }> {
  const before = cursor === undefined ? null : decodeCursor(cursor, ['uuid'])?.[0]
  if (before === undefined) throw invalidCursor()
  const rows = await selectAuditLog(
    ctx.db,
    tenantId,
    { ...filter, since: timeOf('since', since), until: timeOf('until', until) },
    { before: before as string | null, limit: limit + 1 },
  )
  return page(rows, limit, (row) => [row.id])
}

/**
 * @param tenantId null: of the entries above all tenants
 * @throws `audit_entry_not_found`
 */
export async function readAuditEntry(
  ctx: AuditContext,
  tenantId: string | null,
  id: string,
): Promise<AuditLogEntry> {
  const entry = await findAuditEntry(ctx.db, tenantId, id)
  if (entry === undefined) throw auditEntryNotFound()
  return entry
}

function timeOf(name: string, text: string | undefined): Date | undefined {
  if (text === undefined) return undefined
  const time = parseTime(text)
  if (time !== null) return new Date(time)
  throw invalidRequest(undefined, {
    errors: [{ pointer: `/querystring/${name}`, detail: 'is not a point in time' }],
  })
}
