import type { Kysely } from 'kysely'
import type { DB } from '../../../db/schema.ts'
import { ID_CLOCK_SLACK_MS, lowestIdAt } from '../../lib/id-range.ts'
import { newId } from '../../lib/ids.ts'
import type { MessageChannel } from '../../lib/flow/types.ts'

/** Which message it is: one step of one execution, in a loop for one item, says one thing. */
export interface MessageKey {
  tenantId: string
  executionId: string
  stepId: string
  /** Of the loop; empty outside of loops. */
  iteration: string
}

export interface RecordedMessage {
  id: string
  channel: MessageChannel
  to: string | null
  subject: string | null
  body: string
  source: 'template' | 'ai'
  /** Null: the template. */
  model: string | null
  /** One of FALLBACK_REASONS. */
  fallback_reason: string | null
}

const MESSAGE = [
  'id',
  'channel',
  'recipient as to',
  'subject',
  'body',
  'source',
  'model',
  'fallback_reason',
] as const
const LISTED = [...MESSAGE, 'execution_id', 'step_id', 'iteration', 'created_at'] as const

export async function findMessage(db: Kysely<DB>, key: MessageKey): Promise<RecordedMessage | null> {
  const row = await db
    .selectFrom('automation_messages')
    .select(MESSAGE)
    .where('tenant_id', '=', key.tenantId)
    .where('execution_id', '=', key.executionId)
    .where('step_id', '=', key.stepId)
    .where('iteration', '=', key.iteration)
    .executeTakeFirst()
  return row ?? null
}

/** The first to record it decides what it says: of two workers that hold the same step, both send that. */
export async function recordMessage(
  db: Kysely<DB>,
  key: MessageKey,
  { to, ...message }: Omit<RecordedMessage, 'id'>,
): Promise<{ message: RecordedMessage; isNew: boolean }> {
  const inserted = await db
    .insertInto('automation_messages')
    .values({
      tenant_id: key.tenantId,
      id: newId(),
      execution_id: key.executionId,
      step_id: key.stepId,
      iteration: key.iteration,
      recipient: to,
      ...message,
    })
    .onConflict((conflict) =>
      conflict.columns(['tenant_id', 'execution_id', 'step_id', 'iteration']).doNothing(),
    )
    .returning(MESSAGE)
    .executeTakeFirst()
  if (inserted !== undefined) return { message: inserted, isNew: true }
  const known = await findMessage(db, key)
  if (known === null) throw new Error('the message was removed while it was recorded')
  return { message: known, isNew: false }
}

export interface MessageFilter {
  tenantId: string
  executionId: string | null
  channel: MessageChannel | null
  since: Date | null
  beforeId: string | null
  limit: number
}

/** Newest first. */
export function listMessages(db: Kysely<DB>, filter: MessageFilter) {
  let query = db
    .selectFrom('automation_messages')
    .select(LISTED)
    .where('tenant_id', '=', filter.tenantId)
    .orderBy('id', 'desc')
    .limit(filter.limit)
  if (filter.executionId !== null) query = query.where('execution_id', '=', filter.executionId)
  if (filter.channel !== null) query = query.where('channel', '=', filter.channel)
  if (filter.since !== null) {
    // Ids are in order of time: where to stop reading, but for the clocks that minted them.
    const from = lowestIdAt(filter.since.getTime() - ID_CLOCK_SLACK_MS)
    query = query.where('created_at', '>=', filter.since).where('id', '>=', from)
  }
  if (filter.beforeId !== null) query = query.where('id', '<', filter.beforeId)
  return query.execute()
}

export function readMessage(db: Kysely<DB>, tenantId: string, id: string) {
  return db
    .selectFrom('automation_messages')
    .select(LISTED)
    .where('tenant_id', '=', tenantId)
    .where('id', '=', id)
    .executeTakeFirst()
}

/** How the steps of these executions that sent a message ended. */
export async function sendingSteps(db: Kysely<DB>, tenantId: string, executionIds: readonly string[]) {
  if (executionIds.length === 0) return []
  return db
    .selectFrom('automation_steps')
    .select(['execution_id', 'step_id', 'iteration', 'status'])
    .where('tenant_id', '=', tenantId)
    .where('execution_id', 'in', executionIds)
    .where('type', '=', 'message')
    .execute()
}
