import { type Kysely, sql, type Transaction } from 'kysely'
import { writeJson } from '#db/json.ts'
import type { DB } from '#db/schema.ts'

const COLUMNS = ['name', 'value', 'description', 'created_at', 'updated_at'] as const

export interface VariableRow {
  name: string
  value: unknown
  description: string
  created_at: Date
  updated_at: Date
}

/** By name; `after` is the last one of the page before. */
export async function selectPage(
  db: Kysely<DB>,
  tenantId: string,
  page: { after: string | null; limit: number },
): Promise<VariableRow[]> {
  return db
    .selectFrom('shop_variables')
    .select(COLUMNS)
    .where('tenant_id', '=', tenantId)
    .$if(page.after !== null, (query) => query.where('name', '>', page.after))
    .orderBy('name')
    .limit(page.limit)
    .execute()
}

export async function findVariable(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  name: string,
): Promise<VariableRow | undefined> {
  return db
    .selectFrom('shop_variables')
    .select(COLUMNS)
    .where('tenant_id', '=', tenantId)
    .where('name', '=', name)
    .executeTakeFirst()
}

/** @param row without a description the one that is there stays. @returns whether it is a new one */
export async function upsertVariable(
  trx: Transaction<DB>,
  row: { tenant_id: string; name: string; value: unknown; description: string | undefined },
): Promise<{ row: VariableRow; isNew: boolean }> {
  const { is_new: isNew, ...stored } = await trx
    .insertInto('shop_variables')
    .values({ ...row, value: writeJson(row.value), description: row.description ?? '' })
    .onConflict((conflict) =>
      conflict.columns(['tenant_id', 'name']).doUpdateSet((eb) => ({
        value: eb.ref('excluded.value'),
        ...(row.description !== undefined && { description: row.description }),
        updated_at: sql<Date>`now()`,
      })),
    )
    .returning(COLUMNS)
    .returning(sql<boolean>`xmax = 0`.as('is_new'))
    .executeTakeFirstOrThrow()
  return { row: stored, isNew }
}

/** @returns false if there is none */
export async function deleteVariableRow(
  trx: Transaction<DB>,
  tenantId: string,
  name: string,
): Promise<boolean> {
  const deleted = await trx
    .deleteFrom('shop_variables')
    .where('tenant_id', '=', tenantId)
    .where('name', '=', name)
    .returning('name')
    .executeTakeFirst()
  return deleted !== undefined
}

export async function selectNames(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
): Promise<ReadonlySet<string>> {
  const rows = await db
    .selectFrom('shop_variables')
    .select('name')
    .where('tenant_id', '=', tenantId)
    .execute()
  return new Set(rows.map(({ name }) => name))
}

/** Those of these names that the shop has. */
export async function selectValues(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  names: readonly string[],
): Promise<Record<string, unknown>> {
  if (names.length === 0) return {}
  const { rows } = await sql<{ name: string; value: unknown }>`
    select name, value from shop_variables
    where tenant_id = ${tenantId} and name = any(${[...names]}::text[])`.execute(db)
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]))
}
