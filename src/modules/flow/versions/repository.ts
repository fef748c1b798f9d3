import { type Kysely, type Selectable, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { FlowRow } from '../repository.ts'

export type VersionRow = Selectable<DB['automation_flow_versions']>

type Db = Kysely<DB> | Transaction<DB>
type Key = Pick<FlowRow, 'tenant_id' | 'id'>

/** @returns the new version's number */
export async function insertVersion(
  trx: Transaction<DB>,
  { tenant_id, id }: Key,
  { definition, flow }: { definition: string; flow: string },
): Promise<number> {
  const { version } = await trx
    .insertInto('automation_flow_versions')
    .values((eb) => ({
      tenant_id,
      flow_id: id,
      definition,
      flow,
      version: eb
        .selectFrom('automation_flow_versions')
        .select(sql<number>`coalesce(max(version), 0) + 1`.as('version'))
        .where('tenant_id', '=', tenant_id)
        .where('flow_id', '=', id),
    }))
    .returning('version')
    .executeTakeFirstOrThrow()
  return version
}

export async function findVersion(
  db: Db,
  tenantId: string,
  flowId: string,
  version: number,
): Promise<VersionRow | undefined> {
  return db
    .selectFrom('automation_flow_versions')
    .selectAll()
    .where('tenant_id', '=', tenantId)
    .where('flow_id', '=', flowId)
    .where('version', '=', version)
    .executeTakeFirst()
}

/** Newest first. */
export async function selectVersions(
  db: Db,
  tenantId: string,
  flowId: string,
  { before, limit }: { before: number | null; limit: number },
): Promise<Pick<VersionRow, 'version' | 'created_at'>[]> {
  let query = db
    .selectFrom('automation_flow_versions')
    .select(['version', 'created_at'])
    .where('tenant_id', '=', tenantId)
    .where('flow_id', '=', flowId)
  if (before !== null) query = query.where('version', '<', before)
  return query.orderBy('version', 'desc').limit(limit).execute()
}

/** Executions of the flow that have not ended, by version. By the queue's index: history is not looked at. */
export async function countLive(
  db: Db,
  tenantId: string,
  flowId: string,
): Promise<{ version: number; count: number }[]> {
  return db
    .selectFrom('automation_executions')
    .select(['version', sql<number>`count(*)::int`.as('count')])
    .where('tenant_id', '=', tenantId)
    .where('flow_id', '=', flowId)
    .where('due_at', 'is not', null)
    .where('status', 'in', ['queued', 'running', 'waiting'])
    .groupBy('version')
    .execute()
}

/** The next executions by id that have not ended and have not been told to. */
export async function selectLive(
  db: Db,
  tenantId: string,
  flowId: string,
  { exceptVersion, after, limit }: { exceptVersion: number | null; after: string | null; limit: number },
): Promise<string[]> {
  let query = db
    .selectFrom('automation_executions')
    .select('id')
    .where('tenant_id', '=', tenantId)
    .where('flow_id', '=', flowId)
    .where('status', 'in', ['queued', 'running', 'waiting'])
    .where('cancel_reason', 'is', null)
  if (exceptVersion !== null) query = query.where('version', '<>', exceptVersion)
  if (after !== null) query = query.where('id', '>', after)
  const rows = await query.orderBy('id').limit(limit).execute()
  return rows.map(({ id }) => id)
}
