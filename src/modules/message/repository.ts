import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { ID_CLOCK_SLACK_MS, lowestIdAt } from '#lib/id-range.ts'
import { newId } from '#lib/ids.ts'
import type { MessageChannel, MessageFormat } from '#lib/flow/types.ts'

/** The identity of a message: one step of one execution, in a loop for one item, sends one message. */
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
  format: MessageFormat
  source: 'template' | 'ai'
  /** Null: the template. */
  model: string | null
  /** One of FALLBACK_REASONS. */
  fallback_reason: string | null
  /** The details of the failure, as far as the reason does not give them. */
  fallback_detail: string | null
}

const KEY = ['tenant_id', 'execution_id', 'step_id', 'iteration'] as const
const MESSAGE = [
  'id',
  'channel',
  'recipient as to',
  'subject',
  'body',
  'format',
  'source',
  'model',
  'fallback_reason',
  'fallback_detail',
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

export interface NewMessage {
  key: MessageKey
  message: Omit<RecordedMessage, 'id'>
}

/**
 * Records many at once. The first to record a message decides what it says: of two workers that hold the same step,
 * both send that. Returned in order.
 */
export async function recordMessages(
  db: Kysely<DB>,
  records: readonly NewMessage[],
): Promise<{ message: RecordedMessage; isNew: boolean }[]> {
  const rows = await db
    .insertInto('automation_messages')
    .values(records.map((record) => ({ ...toRow(record), flow_id: flowOf(db, record) })))
    .onConflict((conflict) => conflict.columns(KEY).doNothing())
    .returning([...KEY, ...MESSAGE])
    .execute()
  const inserted = new Map(rows.map((row) => [keyText(row), row]))
  const others = records.map(({ key }) => toKey(key)).filter((key) => !inserted.has(keyText(key)))
  const earlier = others.length === 0 ? [] : await selectByKeys(db, others)
  const known = new Map([...inserted, ...earlier.map((row) => [keyText(row), row] as const)])
  return records.map(({ key }) => {
    const text = keyText(toKey(key))
    const row = known.get(text)
    if (row === undefined) throw new Error('a message was removed while it was recorded')
    const { id, channel, to, subject, body, format, source, model, fallback_reason, fallback_detail } = row
    const message = {
      id,
      channel,
      to,
      subject,
      body,
      format,
      source,
      model,
      fallback_reason,
      fallback_detail,
    }
    // Asked for twice in one batch, it is new once.
    const isNew = inserted.delete(text)
    return { message, isNew }
  })
}

function selectByKeys(db: Kysely<DB>, keys: readonly KeyColumns[]) {
  return db
    .selectFrom('automation_messages')
    .select([...KEY, ...MESSAGE])
    .where((eb) =>
      eb(
        eb.refTuple('tenant_id', 'execution_id', 'step_id', 'iteration'),
        'in',
        keys.map((key) => eb.tuple(key.tenant_id, key.execution_id, key.step_id, key.iteration)),
      ),
    )
    .execute()
}

function toRow({ key, message: { to, ...message } }: NewMessage) {
  return { ...toKey(key), id: newId(), recipient: to, ...message }
}

/** Selects the flow of the execution that a message is of. */
function flowOf(db: Kysely<DB>, { key }: NewMessage) {
  return db
    .selectFrom('automation_executions as e')
    .select('e.flow_id')
    .where('e.tenant_id', '=', key.tenantId)
    .where('e.id', '=', key.executionId)
}

type KeyColumns = Record<(typeof KEY)[number], string>

function toKey({ tenantId, executionId, stepId, iteration }: MessageKey): KeyColumns {
  return { tenant_id: tenantId, execution_id: executionId, step_id: stepId, iteration }
}

function keyText(key: KeyColumns): string {
  return KEY.map((column) => key[column]).join(' ')
}

export interface MessageFilter {
  tenantId: string
  executionId: string | null
  channel: MessageChannel | null
  flowId: string | null
  recipient: string | null
  since: Date | null
  until: Date | null
  beforeId: string | null
  limit: number
}

/** Newest first. */
export async function listMessages(db: Kysely<DB>, filter: MessageFilter) {
  const query = selectMessages(db, filter)
  const { tenantId, flowId, limit } = filter
  if (flowId === null) return query.execute()
  // Those whose flow is not filled in yet: none, once retention has been there. First, as it may be filled in meanwhile.
  const others = await query
    .where('flow_id', 'is', null)
    .where((eb) =>
      eb.exists(
        eb
          .selectFrom('automation_executions as e')
          .select('e.id')
          .where('e.tenant_id', '=', tenantId)
          .where('e.id', '=', eb.ref('automation_messages.execution_id'))
          .where('e.flow_id', '=', flowId),
      ),
    )
    .execute()
  const known = await query.where('flow_id', '=', flowId).execute()
  const each = new Map([...others, ...known].map((message) => [message.id, message]))
  return [...each.values()].sort((a, b) => (a.id < b.id ? 1 : -1)).slice(0, limit)
}

function selectMessages(db: Kysely<DB>, filter: MessageFilter) {
  let query = db
    .selectFrom('automation_messages')
    .select(LISTED)
    .where('tenant_id', '=', filter.tenantId)
    .orderBy('id', 'desc')
    .limit(filter.limit)
  if (filter.executionId !== null) query = query.where('execution_id', '=', filter.executionId)
  if (filter.channel !== null) query = query.where('channel', '=', filter.channel)
  if (filter.recipient !== null) query = query.where('recipient', '=', filter.recipient)
  if (filter.until !== null) {
    const to = lowestIdAt(filter.until.getTime() + ID_CLOCK_SLACK_MS)
    query = query.where('created_at', '<', filter.until).where('id', '<', to)
  }
  if (filter.since !== null) {
    // Ids are in order of time: where to stop reading, but for the clocks that minted them.
    const from = lowestIdAt(filter.since.getTime() - ID_CLOCK_SLACK_MS)
    query = query.where('created_at', '>=', filter.since).where('id', '>=', from)
  }
  if (filter.beforeId !== null) query = query.where('id', '<', filter.beforeId)
  return query
}

export function readMessage(db: Kysely<DB>, tenantId: string, id: string) {
  return db
    .selectFrom('automation_messages')
    .select(LISTED)
    .where('tenant_id', '=', tenantId)
    .where('id', '=', id)
    .executeTakeFirst()
}

/** Returns the ends of those steps of these executions that sent a message. */
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
