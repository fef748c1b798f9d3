import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { OwnParameter } from './own-parameters.ts'
import type { OwnCategory } from './template.ts'

type Db = Kysely<DB> | Transaction<DB>

/** A template of a shop, as lists have it. */
export interface OwnHead {
  id: string
  title: string
  description: string
  category: OwnCategory
  triggers: string[]
  actions: string[]
  created_at: Date
  updated_at: Date
}

export interface OwnRow extends OwnHead {
  /** Without name, description and status. */
  definition: string
  parameters: OwnParameter[]
}

export type OwnContent = Omit<OwnRow, 'id' | 'created_at' | 'updated_at'>

const HEAD = [
  'id',
  'title',
  'description',
  'category',
  'triggers',
  'actions',
  'created_at',
  'updated_at',
] as const
const ALL = [...HEAD, 'definition', 'parameters'] as const

/** Lists the newest first, as many as a list shows. */
export async function selectOwn(
  db: Db,
  tenantId: string,
  { category, limit }: { category: string | null; limit: number },
): Promise<OwnHead[]> {
  let query = db.selectFrom('automation_templates').select(HEAD).where('tenant_id', '=', tenantId)
  if (category !== null) query = query.where('category', '=', category)
  return (await query.orderBy('id', 'desc').limit(limit).execute()) as OwnHead[]
}

export async function findOwn(db: Db, tenantId: string, id: string): Promise<OwnRow | undefined> {
  return (await own(db, tenantId, id).executeTakeFirst()) as OwnRow | undefined
}

/** Finds the same, and lets nobody else change it until the transaction ends. */
export async function lockOwn(
  trx: Transaction<DB>,
  tenantId: string,
  id: string,
): Promise<OwnRow | undefined> {
  return (await own(trx, tenantId, id).forUpdate().executeTakeFirst()) as OwnRow | undefined
}

function own(db: Db, tenantId: string, id: string) {
  return db
    .selectFrom('automation_templates')
    .select(ALL)
    .where('tenant_id', '=', tenantId)
    .where('id', '=', id)
}

export async function insertOwn(
  trx: Transaction<DB>,
  tenantId: string,
  id: string,
  content: OwnContent,
): Promise<OwnRow> {
  const row = await trx
    .insertInto('automation_templates')
    .values({ tenant_id: tenantId, id, ...columnsOf(content) })
    .returning(ALL)
    .executeTakeFirstOrThrow()
  return row as OwnRow
}

export async function updateOwn(
  trx: Transaction<DB>,
  tenantId: string,
  id: string,
  content: OwnContent,
): Promise<OwnRow> {
  const row = await trx
    .updateTable('automation_templates')
    .set({ ...columnsOf(content), updated_at: sql<Date>`now()` })
    .where('tenant_id', '=', tenantId)
    .where('id', '=', id)
    .returning(ALL)
    .executeTakeFirstOrThrow()
  return row as OwnRow
}

/** @returns its title; undefined: there is none */
export async function deleteOwn(
  trx: Transaction<DB>,
  tenantId: string,
  id: string,
): Promise<string | undefined> {
  const deleted = await trx
    .deleteFrom('automation_templates')
    .where('tenant_id', '=', tenantId)
    .where('id', '=', id)
    .returning('title')
    .executeTakeFirst()
  return deleted?.title
}

function columnsOf({ parameters, triggers, actions, ...content }: OwnContent) {
  return {
    ...content,
    parameters: JSON.stringify(parameters),
    triggers: JSON.stringify(triggers),
    actions: JSON.stringify(actions),
  }
}
