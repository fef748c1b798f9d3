import { type Kysely, type Selectable, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { idOf } from '#infra/audit.ts'
import { actorName } from '#infra/auth/actor-repository.ts'
import type { Actor } from '#infra/auth/auth.ts'
import type { FlowRow } from '../repository.ts'

export type VersionRow = Selectable<DB['automation_flow_versions']> & { created_by_name: string | null }

const NAME = actorName({
  kind: 'automation_flow_versions.created_by_kind',
  id: 'automation_flow_versions.created_by_id',
  tenantId: 'automation_flow_versions.tenant_id',
}).as('created_by_name')

type Db = Kysely<DB> | Transaction<DB>
type Key = Pick<FlowRow, 'tenant_id' | 'id'>

/** @returns the new version's number */
export async function insertVersion(
  trx: Transaction<DB>,
  { tenant_id, id }: Key,
  { definition, flow, actor, note }: { definition: string; flow: string; actor: Actor; note: string | null },
): Promise<number> {
  const { version } = await trx
    .insertInto('automation_flow_versions')
    .values((eb) => ({
      tenant_id,
      flow_id: id,
      definition,
      flow,
      created_by_kind: actor.kind,
      created_by_id: idOf(actor),
      note,
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
    .select(NAME)
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
): Promise<Omit<VersionRow, 'tenant_id' | 'flow_id' | 'definition' | 'flow'>[]> {
  let query = db
    .selectFrom('automation_flow_versions')
    .select(['version', 'created_at', 'created_by_kind', 'created_by_id', 'note', NAME])
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
