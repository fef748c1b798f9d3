import { type Kysely, sql, type Transaction } from 'kysely'
import { writeJson } from '#db/json.ts'
import type { ConnectionKind, DB } from '#db/schema.ts'
import type { ConnectionSettings } from './kinds.ts'

const SHOWN = ['id', 'name', 'kind', 'description', 'hosts', 'settings', 'created_at', 'updated_at'] as const

export interface ConnectionRow {
  id: string
  name: string
  kind: ConnectionKind
  description: string
  hosts: string[]
  settings: ConnectionSettings
  created_at: Date
  updated_at: Date
}

/** A connection with its sealed values, which requests are sent with. */
export interface SealedConnection extends ConnectionRow {
  values_sealed: Buffer
  revision: number
}

/** @returns false if there is one of that name */
export async function insertConnection(
  trx: Transaction<DB>,
  row: {
    id: string
    tenant_id: string
    name: string
    kind: ConnectionKind
    description: string
    hosts: string[]
    settings: ConnectionSettings
    values_sealed: Buffer
  },
): Promise<boolean> {
  const inserted = await trx
    .insertInto('connections')
    .values({ ...row, settings: writeJson(row.settings) })
    .onConflict((conflict) => conflict.columns(['tenant_id', 'name']).doNothing())
    .returning('id')
    .executeTakeFirst()
  return inserted !== undefined
}

/** By name; `after` is the last one of the page before. */
export async function selectConnections(
  db: Kysely<DB>,
  tenantId: string,
  page: { after: string | null; limit: number },
): Promise<ConnectionRow[]> {
  return db
    .selectFrom('connections')
    .select(SHOWN)
    .where('tenant_id', '=', tenantId)
    .$if(page.after !== null, (query) => query.where('name', '>', page.after))
    .orderBy('name')
    .limit(page.limit)
    .execute()
}

export async function findConnection(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  name: string,
): Promise<SealedConnection | undefined> {
  return db
    .selectFrom('connections')
    .select([...SHOWN, 'values_sealed', 'revision'])
    .where('tenant_id', '=', tenantId)
    .where('name', '=', name)
    .executeTakeFirst()
}

export async function lockConnection(
  trx: Transaction<DB>,
  tenantId: string,
  name: string,
): Promise<ConnectionRow | undefined> {
  return trx
    .selectFrom('connections')
    .select(SHOWN)
    .where('tenant_id', '=', tenantId)
    .where('name', '=', name)
    .forUpdate()
    .executeTakeFirst()
}

export async function updateConnection(
  trx: Transaction<DB>,
  tenantId: string,
  name: string,
  change: {
    description?: string | undefined
    hosts?: string[] | undefined
    settings?: ConnectionSettings | undefined
    values_sealed?: Buffer | undefined
  },
): Promise<ConnectionRow> {
  const { settings, ...rest } = change
  return trx
    .updateTable('connections')
    .set((eb) => ({
      ...rest,
      ...(settings !== undefined && { settings: writeJson(settings) }),
      revision: eb('revision', '+', 1),
      updated_at: sql<Date>`now()`,
    }))
    .where('tenant_id', '=', tenantId)
    .where('name', '=', name)
    .returning(SHOWN)
    .executeTakeFirstOrThrow()
}

export async function deleteConnectionRow(
  trx: Transaction<DB>,
  tenantId: string,
  name: string,
): Promise<void> {
  await trx.deleteFrom('connections').where('tenant_id', '=', tenantId).where('name', '=', name).execute()
}

/** Returns the connections that flows may name, with the hosts to which their values may go. */
export async function selectNamed(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
): Promise<{ name: string; kind: ConnectionKind; hosts: string[] }[]> {
  return db
    .selectFrom('connections')
    .select(['name', 'kind', 'hosts'])
    .where('tenant_id', '=', tenantId)
    .execute()
}
