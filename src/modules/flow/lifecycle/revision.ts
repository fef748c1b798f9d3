import type { Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { Actor } from '#infra/auth/auth.ts'
import type { FlowContext } from '../context.ts'
import { flowChanged, flowNotFound } from '../errors.ts'
import { findFlow, type FlowRow, lockFlow } from '../repository.ts'
import { flowBody, viewFlow } from '../view.ts'

/** Names a flow, and the state of it that the caller has read. */
export interface FlowRef {
  tenantId: string
  id: string
  /** ETags of the revisions that may be changed; undefined: any. */
  ifMatch?: string | undefined
}

export function etagOf(revision: number): string {
  return `"${revision}"`
}

/** @throws `flow_not_found` */
export function found(row: FlowRow | undefined): FlowRow {
  if (row === undefined) throw flowNotFound()
  return row
}

/** Other changes that may come between before the caller is told. */
const ATTEMPTS = 5

/**
 * Reads the flow, prepares a change by it outside of any transaction, and makes it only if the flow is still the
 * same; otherwise once more.
 *
 * @param change gets what locks the flow, to be called when the transaction has taken the locks that come before
 * @throws `flow_not_found`, or `flow_changed` if the caller has named another revision
 */
export async function withUnchanged<Prepared, T>(
  ctx: FlowContext,
  actor: Actor,
  { tenantId, id, ifMatch }: FlowRef,
  prepare: (row: FlowRow) => Promise<Prepared>,
  change: (lock: (trx: Transaction<DB>) => Promise<FlowRow>, prepared: Prepared) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const row = found(await findFlow(ctx.db, tenantId, id))
    if (!isCurrent(ifMatch, row.revision)) throw await changed(ctx, actor, row)
    const prepared = await prepare(row)
    try {
      return await change(async (trx) => {
        const locked = found(await lockFlow(trx, tenantId, id))
        if (locked.revision !== row.revision) throw new RevisionMoved()
        return locked
      }, prepared)
    } catch (error) {
      if (!(error instanceof RevisionMoved)) throw error
      if (attempt === ATTEMPTS) throw await changed(ctx, actor, row)
    }
  }
}

class RevisionMoved extends Error {
  override readonly name = 'RevisionMoved'
}

async function changed(ctx: FlowContext, actor: Actor, { tenant_id, id }: FlowRow) {
  const now = await viewFlow(ctx, actor, found(await findFlow(ctx.db, tenant_id, id)))
  return flowChanged(undefined, {
    headers: { etag: etagOf(now.revision) },
    extensions: { revision: now.revision, flow: flowBody(now) },
  })
}

function isCurrent(ifMatch: string | undefined, revision: number): boolean {
  if (ifMatch === undefined) return true
  return ifMatch.split(',').some((tag) => ['*', etagOf(revision)].includes(tag.trim().replace(/^W\//, '')))
}
