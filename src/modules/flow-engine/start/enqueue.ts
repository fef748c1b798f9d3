import type { Transaction } from 'kysely'
import type { DB, TriggerKind } from '#db/schema.ts'
import { writeJson } from '#db/json.ts'
import { besideTrigger, type EventScope, type FlowScope, type HookRequest } from '#lib/flow/scope.ts'
import { STATE_SCHEMA_VERSION } from '#lib/flow/types.ts'
import { derivedIdAt, derivedIdLike, newId, uuidTime } from '#lib/ids.ts'
import { MAX_CAUSATION_DEPTH } from '#modules/event/index.ts'
import { cancelExecutions, type CountCancelled } from '../run/cancel-repository.ts'
import { decideEnrolment, enrolmentKey, recordEnrolment } from './enrolment.ts'
import { hasStarted, lockKey } from './enrolment-repository.ts'
import { StepError } from '../run/evaluate.ts'
import { type ExecutionRow, findStart, insertExecution, insertExecutions } from './enqueue-repository.ts'
import type { Program } from '../run/program.ts'
import type { StoredTrigger } from '../run/scope.ts'
import { initialState } from '../run/state.ts'
import { insertWaits, type WaitKey } from '../wait/repository.ts'
import { hasCome, isCancelledBefore, waitKey } from '../wait/waits.ts'

export interface StartRequest {
  tenantId: string
  flowId: string
  version: number
  program: Program
  kind: TriggerKind
  data: unknown
  event: EventScope | null
  /** Of a webhook: came with the data. */
  request?: HookRequest | undefined
  /** Of the tenant; UTC if left out. */
  zone?: string
  /** Makes a start without an event happen once in its flow: of two with the same key one is a duplicate. */
  startKey?: string | null
  /** The schedule's time that starts it. */
  scheduledAt?: { triggerId: string; ms: number }
  /** Of the event; 0 for what a person or system did. */
  causationDepth: number
  /** Why it may not start, whatever the enrolment says: rate_cap, halted, not_active. */
  refused: string | { reason: string; message: string } | null
  /** It has a row already, of when it was missed. */
  isMissed?: boolean
  /** Newer events than its own have been matched: what is to cancel it may be among them. */
  isLate?: boolean
  /** The time from which it may be taken up; at once if left out. */
  dueAt?: Date
  /** The database's clock. */
  now: Date
  /** Told how many executions made way for it. */
  onCancelled?: CountCancelled
}

export interface StartResult {
  id: string | null
  status: 'queued' | 'skipped' | 'duplicate'
  reason: string | null
}

/**
 * Starts one execution in the caller's transaction, by the flow's enrolment rules. What does not start says so by
 * a row with status skipped and its reason; the same event starts the same flow once.
 */
export async function startExecution(trx: Transaction<DB>, request: StartRequest): Promise<StartResult> {
  const id = executionId(request)
  const { key, keys, refused } = await decideStart(trx, request, id)
  const inserted = await insertExecution(trx, executionRow(request, id, key, refused))
  if (!inserted) return { id: null, status: 'duplicate', reason: null }
  if (refused !== null) return { id, status: 'skipped', reason: refused.reason }
  await recordEnrolment(trx, request, key, id)
  const startMs = request.event === null ? request.now.getTime() : uuidTime(request.event.id).getTime()
  await watchCancelling(trx, request, { id, keys, startMs })
  return { id, status: 'queued', reason: null }
}

/** Has an execution that was just stored wait for what is to cancel it, and ends it if that has come. */
export async function watchCancelling(
  trx: Transaction<DB>,
  { tenantId, program, event, isLate, now, onCancelled }: StartRequest,
  { id, keys, startMs }: { id: string; keys: readonly WaitKey[]; startMs: number },
): Promise<void> {
  const passedOver = new Map<number, string>()
  const search = { tenantId, keys, now, not: event?.id ?? null, passedOver }
  const isCancelled =
    (isLate === true && (await hasCome(trx, { ...search, sinceMs: startMs }))) ||
    (await isCancelledBefore(trx, program, { ...search, startMs }))
  const wait = { tenantId, executionId: id, stepId: '', iteration: '', purpose: 'cancel' as const }
  await insertWaits(trx, { ...wait, keys, passedOver })
  if (isCancelled) await cancelExecutions(trx, tenantId, [id], 'cancel_on', onCancelled)
}

/** Decides by the enrolment whether a start goes on. Executions that have to make way for it are cancelled. */
export async function decideStart(
  trx: Transaction<DB>,
  request: StartRequest,
  id: string,
): Promise<{ key: string | null; keys: WaitKey[]; refused: Refusal | null }> {
  const { program, now } = request
  const scope = startScope(request, id)
  const { cancel_on } = program.flow.settings.enrolment
  let key: string | null = null
  try {
    key = enrolmentKey(program, scope, now)
    const keys = cancel_on.map((match, index) => waitKey(program, match, index, scope, now))
    return { key, keys, refused: await refusal(trx, request, key, id) }
  } catch (error) {
    if (!(error instanceof StepError)) throw error
    if (request.refused !== null) return { key, keys: [], refused: toRefusal(request.refused) }
    const { code, message } = error
    return { key, keys: [], refused: { reason: code, error: { step_id: '', code, message } } }
  }
}

/** Why a start waits to be taken up later: the flow was paused or switched off, or the shop halted. */
const MISSED_REASONS: ReadonlySet<string> = new Set(['paused', 'not_active', 'halted'])

/** Tells whether a start needs to look at nothing but itself: many such are one statement. */
export function isSimpleStart({ program, causationDepth, refused }: StartRequest): boolean {
  if (refused !== null) return typeof refused === 'string' && MISSED_REASONS.has(refused)
  const { key, cancel_on } = program.flow.settings.enrolment
  return key === null && cancel_on.length === 0 && causationDepth <= MAX_CAUSATION_DEPTH
}

/**
 * Starts many executions by one statement.
 *
 * @param requests by one clock, of any tenants and kinds
 * @returns the flow of each one that has started, and how many rows say that one did not
 */
export async function startSimple(
  trx: Transaction<DB>,
  requests: readonly StartRequest[],
): Promise<{ started: string[]; skipped: number }> {
  const [first] = requests
  if (first === undefined) return { started: [], skipped: 0 }
  const inserted = await insertExecutions(trx, requests.map(simpleRow), first.now)
  const started = inserted.flatMap((row) => (row.status === 'queued' ? [row.flow_id] : []))
  return { started, skipped: inserted.length - started.length }
}

/** A start that is missed is listed by its key, if that comes out. */
function simpleRow(request: StartRequest): ExecutionRow {
  const id = executionId(request)
  if (request.refused === null) return executionRow(request, id, null, null)
  let key: string | null = null
  try {
    key = enrolmentKey(request.program, startScope(request, id), request.now)
  } catch (error) {
    if (!(error instanceof StepError)) throw error
  }
  return executionRow(request, id, key, toRefusal(request.refused))
}

/**
 * Names an execution, and with it its calls' Idempotency-Keys: what an event or a schedule starts comes back under
 * the same id if a crash of the database forgets it. A start that somebody asked for is flushed before it is
 * seen by anybody, so that it is new.
 */
function executionId({ tenantId, flowId, event, scheduledAt }: StartRequest): string {
  const name = `execution ${tenantId} ${flowId}`
  if (event !== null) return derivedIdLike(event.id, `${name} event ${event.id}`)
  if (scheduledAt == null) return newId()
  const { triggerId, ms } = scheduledAt
  return derivedIdAt(ms, `${name} schedule ${triggerId} ${ms}`)
}

export interface Refusal {
  reason: string
  error: { step_id: string; code: string; message: string } | null
}

/** Returns the version that a worker has to know to run an execution of this program. */
export function schemaVersionOf({ flow }: Program): number {
  return Math.max(flow.schema_version, STATE_SCHEMA_VERSION)
}

/** Makes the row that a start stores. @param refused why it does not start; null: it does */
export function executionRow(
  request: StartRequest,
  id: string,
  key: string | null,
  refused: Refusal | null,
): ExecutionRow {
  const { program, event, now } = request
  const trigger: StoredTrigger = { data: request.data, event }
  if (request.request !== undefined) trigger.request = request.request
  return {
    tenant_id: request.tenantId,
    id,
    flow_id: request.flowId,
    version: request.version,
    schema_version: schemaVersionOf(program),
    status: refused === null ? 'queued' : 'skipped',
    reason: refused?.reason ?? null,
    error: refused?.error == null ? null : JSON.stringify(refused.error),
    event_id: event?.id ?? null,
    trigger_kind: request.kind,
    trigger: writeJson(trigger),
    key,
    start_key: request.startKey ?? null,
    state: writeJson(initialState(program.flow.start, program.flow.variables)),
    due_at: refused === null ? (request.dueAt ?? now) : null,
    causation_depth: request.causationDepth,
    expires_at: new Date(now.getTime() + program.flow.settings.lifetime_ms),
    created_at: now,
    finished_at: refused === null ? null : now,
  }
}

/** @param id of the execution; empty: there is none yet */
export function startScope(
  {
    program,
    tenantId,
    flowId,
    version,
    data,
    event,
    request,
    zone = 'UTC',
    now,
  }: Omit<StartRequest, 'kind' | 'causationDepth' | 'refused'>,
  id: string,
): FlowScope {
  return {
    trigger: data,
    event,
    ...besideTrigger(data, request),
    steps: {},
    variables: program.flow.variables,
    tenant: { id: tenantId, time_zone: zone },
    execution: {
      id,
      flow_id: flowId,
      flow_name: program.flowName,
      version,
      started_at: now.toISOString(),
      error: null,
    },
  }
}

function toRefusal(refused: NonNullable<StartRequest['refused']>): Refusal {
  if (typeof refused === 'string') return { reason: refused, error: null }
  const { reason, message } = refused
  return { reason, error: { step_id: '', code: reason, message } }
}

/** Why it does not start; null: it does. What has to make way for it is cancelled. */
async function refusal(
  trx: Transaction<DB>,
  request: StartRequest,
  key: string | null,
  id: string,
): Promise<Refusal | null> {
  const { tenantId, flowId } = request
  const because = (reason: string): Refusal => ({ reason, error: null })
  if (request.refused !== null) return toRefusal(request.refused)
  if (request.causationDepth > MAX_CAUSATION_DEPTH) return because('causation_depth')
  if (key === null) return null
  await lockKey(trx, flowId, key)
  const eventId = request.isMissed === true ? undefined : request.event?.id
  if (eventId !== undefined && (await hasStarted(trx, { tenantId, flowId, eventId }))) return null
  const isFirst = request.isMissed === true || request.startKey == null
  if (!isFirst && (await findStart(trx, tenantId, flowId, request.startKey as string))) return null
  const { reason, restarts } = await decideEnrolment(trx, request, key, id)
  if (restarts.length > 0) await cancelExecutions(trx, tenantId, restarts, 'restarted', request.onCancelled)
  return reason === null ? null : because(reason)
}
