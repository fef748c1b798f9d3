import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { readTimeRange } from '#infra/http/log-filters.ts'
import { invalidCursor } from '#infra/http/problems.ts'
import { decodeCursor, page } from '#lib/api/cursor.ts'
import { messageNotFound } from './errors.ts'
import { listMessages, readMessage, sendingSteps } from './repository.ts'
import type { Message, MessageQuery } from './schemas.ts'

export interface MessageContext {
  db: Kysely<DB>
}

type Row = Awaited<ReturnType<typeof listMessages>>[number]

export async function getMessages(ctx: MessageContext, tenantId: string, query: MessageQuery) {
  const before = query.cursor === undefined ? [null] : decodeCursor(query.cursor, ['uuid'])
  if (before === null) throw invalidCursor()
  const rows = await listMessages(ctx.db, {
    tenantId,
    executionId: query.execution ?? null,
    channel: query.channel ?? null,
    flowId: query.flow ?? null,
    recipient: query.recipient ?? null,
    ...readTimeRange(query),
    beforeId: before[0] as string | null,
    limit: query.limit + 1,
  })
  const { data, next_cursor } = page(rows, query.limit, (row) => [row.id])
  return { data: await withStatus(ctx, tenantId, data), next_cursor }
}

export async function getMessage(ctx: MessageContext, tenantId: string, id: string): Promise<Message> {
  const row = await readMessage(ctx.db, tenantId, id)
  const [message] = await withStatus(ctx, tenantId, row === undefined ? [] : [row])
  if (message === undefined) throw messageNotFound()
  return message
}

/**
 * Adds the status, which the step's own record tells, written with the execution's next position: there is no second
 * record.
 */
async function withStatus(ctx: MessageContext, tenantId: string, rows: readonly Row[]): Promise<Message[]> {
  const executionIds = [...new Set(rows.map(({ execution_id }) => execution_id))]
  const steps = await sendingSteps(ctx.db, tenantId, executionIds)
  const ended = new Map(steps.map((step) => [keyOf(step), step.status === 'succeeded' ? 'sent' : 'failed']))
  return rows.map((row) => ({ ...row, status: ended.get(keyOf(row)) ?? 'pending' }) as Message)
}

function keyOf({
  execution_id,
  step_id,
  iteration,
}: Pick<Row, 'execution_id' | 'step_id' | 'iteration'>): string {
  return `${execution_id} ${step_id} ${iteration}`
}
