import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { DB } from '#db/schema.ts'

/** Tests by the column that names its shop whether a row is one of those that are asked for. */
export type Whose = (tenantId: RawBuilder<unknown>) => RawBuilder<unknown>

export const everybody: Whose = () => sql`true`

/** @param tenantId null: rows of no shop */
export function whoseIs(tenantId: string | null): Whose {
  return (column) => (tenantId === null ? sql`${column} is null` : sql`${column} = ${tenantId}`)
}

export async function selectTenantIds(db: Kysely<DB>): Promise<string[]> {
  const rows = await db.selectFrom('tenants').select('id').orderBy('id').execute()
  return rows.map(({ id }) => id)
}
