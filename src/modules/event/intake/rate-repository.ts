import { sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { now } from '#lib/clock.ts'
import { lowestIdAt } from '#lib/id-range.ts'

const HOUR_MS = 3_600_000

/** Tells whether the tenant has so many events of the type that are no older than an hour. */
export async function hasMany(
  trx: Transaction<DB>,
  { tenantId, event }: { tenantId: string; event: string },
  most: number,
): Promise<boolean> {
  const { rows } = await sql<{ id: string }>`
    select id from events where tenant_id = ${tenantId} and event collate "C" = ${event}
    order by position desc, id desc offset ${most - 1} limit 1`.execute(trx)
  const [row] = rows
  return row !== undefined && row.id >= lowestIdAt(now() - HOUR_MS)
}
