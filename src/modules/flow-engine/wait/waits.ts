import type { Kysely, Transaction } from 'kysely'
import pLimit from 'p-limit'
import type { DB } from '#db/schema.ts'
import { readJson } from '#db/json.ts'
import type { EventScope, FlowScope } from '#lib/flow/scope.ts'
import type { WaitEventStep } from '#lib/flow/steps/wait-event.ts'
import type { EventMatch, StepId } from '#lib/flow/types.ts'
import { loopShare } from '#lib/async/loop-share.ts'
import { StepBudget } from '#lib/step-budget.ts'
import { type EventRow, selectEvents } from '#modules/event/index.ts'
import { type FeedKey, findCursor, FIRST, lockCursor } from '../match/cursor-repository.ts'
import { render, StepError } from '../run/evaluate.ts'
import type { ClaimedExecution } from '../run/execution-repository.ts'
import { hashesOfEvent, hashesOfMatch, isMatchable, joinPaths } from './hash.ts'
import { nearMissOf } from './near-miss.ts'
import type { Program } from '../run/program.ts'
import { meetsFilter, storedFilter, type Untested, untested, WAIT_STEPS } from './filter.ts'
import {
  insertWaits,
  loadReceived,
  lockHeld,
  type PassedOver,
  selectLatestEvents,
  type WaitKey,
} from './repository.ts'

/** The event that ended a wait, as the step's output. */
export interface ReceivedEvent {
  output: { event: EventScope; alternative: number }
}

interface Registration {
  claim: ClaimedExecution
  stepId: StepId
  iteration: string
  step: WaitEventStep
  program: Program
  scope: FlowScope
  /** The time at which the execution came to the step: what has come since then counts, whatever `look_back` is. */
  sinceMs: number
  now: Date
}

/**
 * Registrations of one process at once. The pool has six connections and gives up on who waits for one for 1.5 s: then
 * the execution is left to its lease. With more of them, a rush of waits also kept boundaries from being written.
 */
const REGISTRATIONS = 3
/** Events of its types that a registration looks back through, the latest ones; and how many of them at a time. */
const LOOK_BACK_MAX_EVENTS = 10_000
const LOOK_BACK_PAGE = 200
/** An index entry holds no more than 2,700, with the event's type. */
const MAX_PATHS_BYTES = 2_000
const LAST: FeedKey = { position: '9223372036854775807', id: 'ffffffff-ffff-ffff-ffff-ffffffffffff' }
/**
 * Waits for events, without a gap. The matcher takes events from the feed up to its cursor; a registration holds the
 * cursor, so that it stands still meanwhile. What lies before the cursor the registration looks through itself, what
 * lies behind it the matcher will find with the wait in place.
 */
export class Waits {
  readonly #db: Kysely<DB>
  readonly #limit = pLimit(REGISTRATIONS)

  constructor(db: Kysely<DB>) {
    this.#db = db
  }

  /** @returns the event, if it has come already @throws {StepError} */
  async register(registration: Registration): Promise<ReceivedEvent | 'registered' | 'not_ours'> {
    const { step, program, scope, now } = registration
    const keys = step.config.any.map((match, index) => waitKey(program, match, index, scope, now))
    return this.#limit(() => this.#register(registration, keys))
  }

  async #register(
    { claim, step, scope, now, sinceMs, stepId, iteration }: Registration,
    keys: readonly WaitKey[],
  ): Promise<ReceivedEvent | 'registered' | 'not_ours'> {
    const { tenant_id: tenantId, id: executionId } = claim
    const search = {
      tenantId,
      keys,
      sinceMs: sinceMs - step.config.look_back_ms,
      seen: seenEvents(scope),
      now,
      passedOver: new Map<number, PassedOver>(),
    }
    // The long part, with nothing held: up to where the cursor is now.
    const before = await findCursor(this.#db, tenantId)
    const found = await lookBack(this.#db, search, FIRST, before)
    if (found !== null) return found
    return this.#db.transaction().execute(async (trx) => {
      const cursor = await lockCursor(trx, tenantId, 'hold')
      if (cursor === undefined) throw new Error('the tenant of an execution has no cursor')
      if (!(await lockHeld(trx, claim))) return 'not_ours'
      // An event whose waits the matcher is gone through as far as this execution will not be shown to it any more.
      const { waits } = cursor
      const until = waits !== null && executionId <= waits.after ? waits.event : cursor.at
      const late = await lookBack(trx, search, before, until)
      if (late !== null) return late
      const { passedOver } = search
      await insertWaits(trx, {
        tenantId,
        executionId,
        stepId,
        iteration,
        purpose: 'resume',
        keys,
        passedOver,
      })
      const received = await receivedOf(trx, tenantId, [executionId])
      return received.get(executionId)?.get(iteration) ?? 'registered'
    })
  }
}

/** Fills in what an alternative looks for, as of now. @throws {StepError} */
export function waitKey(
  program: Program,
  match: EventMatch,
  alternative: number,
  scope: FlowScope,
  now: Date,
): WaitKey {
  const values = matchValues(program, match, scope, now)
  const paths = joinPaths(values)
  if (Buffer.byteLength(paths) > MAX_PATHS_BYTES)
    throw new StepError('match_too_large', 'The paths of the match are too long.')
  const { exact: hash, near: nearHash } = hashesOfMatch(match.event, values)
  return {
    alternative,
    event: match.event,
    paths,
    hash,
    nearHash,
    filter: storedFilter(match.filter, scope),
  }
}

/** The values that an event must have, by path. @throws {StepError} */
export function matchValues(
  program: Program,
  match: EventMatch,
  scope: FlowScope,
  now: Date,
): Record<string, unknown> {
  const values: Record<string, unknown> = {}
  for (const [path, template] of Object.entries(match.match)) {
    const value = render(program, template, scope, now)
    if (value === null) throw new StepError('missing_value', `The wait's ${path} came out empty.`)
    if (!isMatchable(value)) {
      throw new StepError('match_too_large', `The wait's ${path} is too large to look an event up by.`)
    }
    values[path] = value
  }
  return values
}

/**
 * The first alternative that an event meets.
 *
 * @param onUntested told of those that pass it over though it is nearly theirs
 */
export function metKey(
  keys: readonly WaitKey[],
  event: EventScope,
  now: Date,
  onUntested?: (key: WaitKey, untested: Untested) => void,
): WaitKey | undefined {
  return keys.find((key) => {
    const { event: type, paths, hash, nearHash, filter } = key
    const found = type === event.type ? hashesOfEvent(type, paths, event.data) : null
    if (found === null) return false
    if (!found.exact.equals(hash)) {
      const isNear = (found.near ?? found.exact).equals(nearHash ?? hash)
      if (isNear) onUntested?.(key, untested('near_miss', nearMissOf(paths, event.data)))
      return false
    }
    const verdict = meetsFilter(filter, event, now, new StepBudget(WAIT_STEPS))
    if (typeof verdict === 'object') onUntested?.(key, verdict)
    return verdict === true
  })
}

export function toEventScope(row: EventRow): EventScope {
  return {
    id: row.id,
    type: row.event,
    timestamp: row.occurred_at.toISOString(),
    source: row.publisher_plugin_id ?? 'platform',
    data: row.body === null ? null : (readJson(row.body) as { data: unknown }).data,
  }
}

/** Events that started the execution or ended earlier waits of it: none counts twice. */
function seenEvents(scope: FlowScope): Set<string> {
  const outputs = Object.values(scope.steps).map(
    ({ output }) => output as { event?: { id?: unknown } } | null,
  )
  const ids = [scope.event?.id, ...outputs.map((output) => output?.event?.id)]
  return new Set(ids.filter((id) => typeof id === 'string'))
}

/** Events that came for executions' waits, by execution and iteration. */
export async function receivedOf(
  db: Kysely<DB> | Transaction<DB>,
  tenantId: string,
  executionIds: readonly string[],
): Promise<Map<string, Map<string, ReceivedEvent>>> {
  const waits = await loadReceived(db, tenantId, executionIds)
  const events = await selectEvents(
    db,
    tenantId,
    waits.map(({ eventId }) => eventId),
  )
  const byId = new Map(events.map((event) => [event.id, event]))
  const received = new Map<string, Map<string, ReceivedEvent>>()
  for (const { executionId, iteration, alternative, eventId } of waits) {
    const event = byId.get(eventId)
    if (event === undefined) continue
    let ofExecution = received.get(executionId)
    if (ofExecution === undefined) received.set(executionId, (ofExecution = new Map<string, ReceivedEvent>()))
    ofExecution.set(iteration, { output: { event: toEventScope(event), alternative } })
  }
  return received
}

interface Search {
  tenantId: string
  keys: readonly WaitKey[]
  sinceMs: number
  seen: ReadonlySet<string>
  now: Date
  /** Gets the last event of each alternative that was passed over. */
  passedOver: Map<number, PassedOver>
}

/** Tells whether an event that came since then meets one of the keys; beyond the cursor the matcher finds it, too. */
export async function hasCome(
  trx: Transaction<DB>,
  { not, ...search }: Omit<Search, 'seen'> & { not: string | null },
): Promise<boolean> {
  if (search.keys.length === 0) return false
  const seen = new Set(not === null ? [] : [not])
  return (await lookBack(trx, { ...search, seen }, FIRST, LAST)) !== null
}

/**
 * Tells whether an event that cancels an execution came before it started, within what `cancel_on` looks back.
 * @param keys of the flow's `cancel_on`, in order
 */
export async function isCancelledBefore(
  trx: Transaction<DB>,
  { flow }: Program,
  { keys, startMs, ...search }: Omit<Search, 'seen' | 'sinceMs'> & { startMs: number; not: string | null },
): Promise<boolean> {
  for (const key of keys) {
    const lookBackMs = flow.settings.enrolment.cancel_on[key.alternative]?.look_back_ms
    if (lookBackMs === undefined) continue
    if (await hasCome(trx, { ...search, keys: [key], sinceMs: startMs - lookBackMs })) return true
  }
  return false
}

/** The first event behind `after`, up to `until`, that meets one of the keys. */
async function lookBack(
  db: Kysely<DB> | Transaction<DB>,
  { tenantId, keys, sinceMs, seen, now, passedOver }: Search,
  after: FeedKey,
  until: FeedKey,
): Promise<ReceivedEvent | null> {
  const events = [...new Set(keys.map((key) => key.event))]
  const latest = await selectLatestEvents(
    db,
    { tenantId, events, sinceMs, after, until },
    LOOK_BACK_MAX_EVENTS,
  )
  const ids = latest.filter((id) => !seen.has(id)).reverse()
  for (let start = 0; start < ids.length; start += LOOK_BACK_PAGE) {
    for (const row of await selectEvents(db, tenantId, ids.slice(start, start + LOOK_BACK_PAGE))) {
      await loopShare.turn(tenantId)
      const event = toEventScope(row)
      const key = metKey(keys, event, now, ({ alternative }, untested) =>
        passedOver.set(alternative, { event_id: event.id, ...untested }),
      )
      if (key !== undefined) return { output: { event, alternative: key.alternative } }
    }
  }
  return null
}
