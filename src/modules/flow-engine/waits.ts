import { type Kysely, sql, type Transaction } from 'kysely'
import type { DB } from '../../../db/schema.ts'
import { evaluateCondition } from '../../lib/condition.ts'
import type { EventScope, FlowScope } from '../../lib/flow/scope.ts'
import type { EventMatch, StepId, WaitEventStep } from '../../lib/flow/types.ts'
import { lowestIdAt } from '../../lib/id-range.ts'
import { matchPattern } from '../../lib/pattern.ts'
import { type EventRow, selectEvents } from '../event/index.ts'
import { render, StepError } from './evaluate.ts'
import { loadReceived, removeWaits } from './execution-repository.ts'
import { hashOfEvent, hashOfMatch, joinPaths } from './match-hash.ts'
import type { Program } from './program.ts'

/** The event that ended a wait, as the step's output. */
export interface ReceivedEvent {
  output: { event: EventScope; alternative: number }
}

/** One alternative of a wait, its templates filled in. */
export interface WaitKey {
  alternative: number
  event: string
  paths: string
  hash: Buffer
  filter: StoredFilter | null
}

export interface StoredFilter {
  condition: unknown
  scope: Partial<FlowScope>
}

interface Registration {
  tenantId: string
  executionId: string
  stepId: StepId
  iteration: string
  step: WaitEventStep
  program: Program
  scope: FlowScope
  now: Date
}

/** Events that one registration looks back through at most. */
const LOOK_BACK_MAX_EVENTS = 1_000

/**
 * Waits for events, without a gap. The matcher takes events from the feed up to its cursor; a registration holds the
 * cursor's row for share, so that it stands still meanwhile. What lies before the cursor the registration looks
 * through itself, what lies behind it the matcher will find with the wait in place.
 */
export class Waits {
  readonly #db: Kysely<DB>

  constructor(db: Kysely<DB>) {
    this.#db = db
  }

  /** @returns the event, if it has come already; null: the wait is in place */
  async register(registration: Registration): Promise<ReceivedEvent | null> {
    const { tenantId, step, program, scope, now } = registration
    const keys = step.config.any.map((match, index) => waitKey(program, match, index, scope, now))
    return this.#db.transaction().execute(async (trx) => {
      const cursor = await holdCursor(trx, tenantId)
      const since = now.getTime() - step.config.look_back_ms
      const found = await lookBack(trx, tenantId, keys, since, cursor, scope.event?.id ?? null)
      if (found !== null) return found
      const { executionId, stepId, iteration } = registration
      await insertWaits(trx, { tenantId, executionId, stepId, iteration, purpose: 'resume', keys })
      const received = await this.#receivedOf(trx, tenantId, executionId)
      return received.get(iteration) ?? null
    })
  }

  /** Events that came for an execution's waits, by iteration. */
  async received(tenantId: string, executionId: string): Promise<Map<string, ReceivedEvent>> {
    return this.#receivedOf(this.#db, tenantId, executionId)
  }

  async remove(tenantId: string, executionId: string, iteration: string): Promise<void> {
    await removeWaits(this.#db, tenantId, executionId, iteration)
  }

  async #receivedOf(
    db: Kysely<DB> | Transaction<DB>,
    tenantId: string,
    executionId: string,
  ): Promise<Map<string, ReceivedEvent>> {
    const rows = await loadReceived(db, tenantId, executionId)
    const events = await selectEvents(
      db,
      tenantId,
      rows.map((row) => row.received_event_id),
    )
    const byId = new Map(events.map((event) => [event.id, event]))
    const received = new Map<string, ReceivedEvent>()
    for (const { iteration, alternative, received_event_id } of rows) {
      const event = byId.get(received_event_id)
      if (event !== undefined)
        received.set(iteration, { output: { event: toEventScope(event), alternative } })
    }
    return received
  }
}

/** What an alternative looks for, now. @throws {StepError} */
export function waitKey(
  program: Program,
  match: EventMatch,
  alternative: number,
  scope: FlowScope,
  now: Date,
): WaitKey {
  const values: Record<string, unknown> = {}
  for (const [path, template] of Object.entries(match.match)) {
    const value = render(program, template, scope, now)
    if (value === null) throw new StepError('missing_value', `The wait's ${path} came out empty.`)
    values[path] = value
  }
  const { trigger, variables, steps, execution, tenant } = scope
  return {
    alternative,
    event: match.event,
    paths: joinPaths(values),
    hash: hashOfMatch(match.event, values),
    filter:
      match.filter === null
        ? null
        : { condition: match.filter, scope: { trigger, variables, steps, execution, tenant } },
  }
}

export function toEventScope(row: EventRow): EventScope {
  return {
    id: row.id,
    type: row.event,
    timestamp: row.occurred_at.toISOString(),
    source: row.publisher_plugin_id ?? 'platform',
    data: dataOf(row),
  }
}

export function dataOf(row: EventRow): unknown {
  return row.body === null ? null : (JSON.parse(row.body) as { data: unknown }).data
}

export function meetsFilter(filter: StoredFilter | null, event: EventScope, now: Date): boolean {
  if (filter === null) return true
  return evaluateCondition(filter.condition, { ...filter.scope, event }, { now, matchPattern }).result
}

export async function insertWaits(
  trx: Transaction<DB>,
  wait: {
    tenantId: string
    executionId: string
    stepId: string
    iteration: string
    purpose: 'resume' | 'cancel'
    keys: readonly WaitKey[]
  },
): Promise<void> {
  if (wait.keys.length === 0) return
  await trx
    .insertInto('automation_wait_shapes')
    .values(wait.keys.map(({ event, paths }) => ({ tenant_id: wait.tenantId, event, paths })))
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  await trx
    .insertInto('automation_waits')
    .values(
      wait.keys.map((key) => ({
        tenant_id: wait.tenantId,
        execution_id: wait.executionId,
        alternative: key.alternative,
        step_id: wait.stepId,
        iteration: wait.iteration,
        event: key.event,
        paths: key.paths,
        match_hash: key.hash,
        filter: key.filter === null ? null : JSON.stringify(key.filter),
        purpose: wait.purpose,
      })),
    )
    // A registration that a dying process left behind keeps what it may have received.
    .onConflict((conflict) =>
      conflict.columns(['execution_id', 'purpose', 'iteration', 'alternative']).doNothing(),
    )
    .execute()
}

interface Cursor {
  position: string
  eventId: string
}

async function holdCursor(trx: Transaction<DB>, tenantId: string): Promise<Cursor> {
  const row = await trx
    .selectFrom('flow_cursors')
    .select([sql<string>`position::text`.as('position'), 'event_id'])
    .where('tenant_id', '=', tenantId)
    .forShare()
    .executeTakeFirstOrThrow()
  return { position: row.position, eventId: row.event_id }
}

async function lookBack(
  trx: Transaction<DB>,
  tenantId: string,
  keys: readonly WaitKey[],
  sinceMs: number,
  cursor: Cursor,
  triggerEventId: string | null,
): Promise<ReceivedEvent | null> {
  const candidates = await trx
    .selectFrom('events')
    .select('id')
    .where('tenant_id', '=', tenantId)
    .where('id', '>=', lowestIdAt(sinceMs))
    .where('received_at', '>=', new Date(sinceMs))
    .where('event', 'in', [...new Set(keys.map((key) => key.event))])
    .where(sql<boolean>`(position, id) <= (${cursor.position}::bigint, ${cursor.eventId}::uuid)`)
    .where('body', 'is not', null)
    .orderBy('id')
    .limit(LOOK_BACK_MAX_EVENTS)
    .execute()
  const ids = candidates.map(({ id }) => id).filter((id) => id !== triggerEventId)
  for (const row of await selectEvents(trx, tenantId, ids)) {
    const event = toEventScope(row)
    const key = keys.find(
      ({ event: type, paths, hash, filter }) =>
        type === event.type &&
        hashOfEvent(type, paths, event.data)?.equals(hash) === true &&
        meetsFilter(filter, event, new Date()),
    )
    if (key !== undefined) return { output: { event, alternative: key.alternative } }
  }
  return null
}
