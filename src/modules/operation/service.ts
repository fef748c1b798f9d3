import type { Kysely } from 'kysely'
import type pg from 'pg'
import { migrationStatus } from '#db/migrate.ts'
import type { DB } from '#db/schema.ts'
import type { PartState } from '#infra/background.ts'
import { invalidCursor } from '#infra/http/problems.ts'
import { version } from '#infra/version.ts'
import { decodeCursor, page } from '#lib/api/cursor.ts'
import { idsBeginningWith } from '#lib/id-range.ts'
import { oldestQueues, queueState } from '#modules/webhook-delivery/index.ts'
import { countLanes, readFlowQueue, selectTenants, selectWorkers } from './repository.ts'
import type { Operation, TenantQuery, TenantSummary } from './schemas.ts'

export interface OperationContext {
  db: Kysely<DB>
  pool: pg.Pool
  backgroundState(): Promise<Record<string, PartState>>
}

export async function readOperation(ctx: OperationContext): Promise<Operation> {
  const { depth, oldestDueSeconds, unattendedSeconds, breakers } = await queueState(ctx.pool)
  const { state, detail } = await migrationStatus(ctx.db as unknown as Kysely<unknown>)
  return {
    version,
    migrations: { state, detail },
    queue: {
      depth,
      oldest_due_seconds: oldestDueSeconds,
      unattended_seconds: unattendedSeconds,
      plugins: await oldestQueues(ctx.pool),
      breakers,
    },
    lanes: await countLanes(ctx.db),
    workers: await selectWorkers(ctx.db),
    flows: await readFlowQueue(ctx.db),
    background: await ctx.backgroundState(),
  }
}

export async function listTenants(
  ctx: OperationContext,
  { q, limit, cursor }: TenantQuery,
): Promise<{ data: TenantSummary[]; next_cursor: string | null }> {
  const after = cursor === undefined ? null : decodeCursor(cursor, ['uuid'])?.[0]
  if (after === undefined) throw invalidCursor()
  const range = q === undefined ? null : idsBeginningWith(q)
  if (q !== undefined && range === null) return { data: [], next_cursor: null }
  const rows = await selectTenants(ctx.db, range, { after: after as string | null, limit: limit + 1 })
  return page(rows, limit, ({ id }) => [id])
}
