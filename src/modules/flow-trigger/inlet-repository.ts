import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'

export interface InletToken {
  hash: Buffer
  sealed: Buffer
}

export async function selectInletTriggers(
  trx: Transaction<DB>,
  tenantId: string,
  flowId: string,
): Promise<string[]> {
  const rows = await trx
    .selectFrom('automation_inlets')
    .select('trigger_id')
    .where('tenant_id', '=', tenantId)
    .where('flow_id', '=', flowId)
    .execute()
  return rows.map((row) => row.trigger_id)
}

/** Inlets that are there keep their tokens. */
export async function insertInlets(
  trx: Transaction<DB>,
  tenantId: string,
  flowId: string,
  inlets: readonly { triggerId: string; token: InletToken }[],
): Promise<void> {
  if (inlets.length === 0) return
  await trx
    .insertInto('automation_inlets')
    .values(
      inlets.map(({ triggerId, token }) => ({
        tenant_id: tenantId,
        flow_id: flowId,
        trigger_id: triggerId,
        token_hash: token.hash,
        token_sealed: token.sealed,
      })),
    )
    .onConflict((conflict) => conflict.columns(['tenant_id', 'flow_id', 'trigger_id']).doNothing())
    .execute()
}

/** @returns whether there is such an inlet, of a flow that has not been deleted */
export async function replaceToken(
  trx: Transaction<DB>,
  inlet: { tenantId: string; flowId: string; triggerId: string },
  token: InletToken,
): Promise<boolean> {
  const { numUpdatedRows } = await trx
    .updateTable('automation_inlets as i')
    .from('automation_flows as f')
    .set({ token_hash: token.hash, token_sealed: token.sealed, rotated_at: sql<Date>`now()` })
    .where('i.tenant_id', '=', inlet.tenantId)
    .where('i.flow_id', '=', inlet.flowId)
    .where('i.trigger_id', '=', inlet.triggerId)
    .whereRef('f.tenant_id', '=', 'i.tenant_id')
    .whereRef('f.id', '=', 'i.flow_id')
    .where('f.deleted_at', 'is', null)
    .executeTakeFirstOrThrow()
  return numUpdatedRows > 0n
}

export async function deleteInlets(trx: Transaction<DB>, tenantId: string, flowId: string): Promise<void> {
  await trx
    .deleteFrom('automation_inlets')
    .where('tenant_id', '=', tenantId)
    .where('flow_id', '=', flowId)
    .execute()
}

export function selectInlets(db: Kysely<DB>, tenantId: string, flowIds: readonly string[]) {
  return db
    .selectFrom('automation_inlets')
    .select(['flow_id', 'trigger_id', 'token_sealed'])
    .where('tenant_id', '=', tenantId)
    .where('flow_id', 'in', flowIds)
    .orderBy('trigger_id')
    .execute()
}

/** The flow behind a token, and whose it is; also one that is off, as what comes meanwhile is kept. */
export function findInlet(db: Kysely<DB>, tokenHash: Buffer) {
  return db
    .selectFrom('automation_inlets as i')
    .innerJoin('automation_flows as f', (join) =>
      join.onRef('f.tenant_id', '=', 'i.tenant_id').onRef('f.id', '=', 'i.flow_id'),
    )
    .select([
      'i.tenant_id',
      'i.flow_id',
      'i.trigger_id',
      'f.published_version',
      sql<string | null>`(select calendar ->> 'time_zone' from tenants where id = i.tenant_id)`.as('zone'),
    ])
    .where('i.token_hash', '=', tokenHash)
    .where('f.status', '<>', 'draft')
    .where('f.deleted_at', 'is', null)
    .executeTakeFirst()
}
