import { audit } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { invalidCursor } from '#infra/http/problems.ts'
import { decodeCursor, page } from '#lib/api/cursor.ts'
import {
  findSetAside,
  lockCursor,
  selectSetAside,
  type SetAsideEvent,
  wantAgain,
} from '#modules/flow-engine/index.ts'
import type { ExecutionContext } from '../context.ts'
import { setAsideNotFound } from '../errors.ts'

export async function listSetAside(
  { db }: Pick<ExecutionContext, 'db'>,
  tenantId: string,
  query: { limit: number; cursor?: string | undefined },
): Promise<{ data: SetAsideEvent[]; next_cursor: string | null }> {
  const before = query.cursor === undefined ? null : decodeCursor(query.cursor, ['uuid'])?.[0]
  if (before === undefined) throw invalidCursor()
  const rows = await selectSetAside(db, tenantId, {
    before: before as string | null,
    limit: query.limit + 1,
  })
  return page(rows, query.limit, ({ id }) => [id])
}

/** @throws `set_aside_event_not_found` */
export async function takeUpSetAside(
  { db, signals }: Pick<ExecutionContext, 'db' | 'signals'>,
  actor: Actor,
  tenantId: string,
  id: string,
): Promise<SetAsideEvent> {
  const wanted = await db.transaction().execute(async (trx) => {
    // What the matcher is at is over by then.
    await lockCursor(trx, tenantId, 'hold')
    const found = await findSetAside(trx, tenantId, id)
    if (found === undefined || !(await wantAgain(trx, tenantId, id))) throw setAsideNotFound()
    const target = { tenantId, targetKind: 'event', targetId: id }
    await audit(trx, actor, { ...target, action: 'event.taken_up', detail: { reason: found.reason } })
    return { ...found, is_taken_up: true }
  })
  signals.publish('events_stored', [tenantId])
  return wanted
}
