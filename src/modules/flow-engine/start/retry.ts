import type { Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import { writeJson } from '#db/json.ts'
import { readLimits } from '#infra/quotas.ts'
import { isProblem } from '#lib/api/problem.ts'
import { END, type StepId } from '#lib/flow/types.ts'
import { newId } from '#lib/ids.ts'
import { type SchemaViolation, validate } from '#lib/schema/safe/index.ts'
import { flowOutdated } from '../errors.ts'
import { cancelExecutions, type CountCancelled } from '../run/cancel-repository.ts'
import { ensureCursor, lockCursor } from '../match/cursor-repository.ts'
import { decideWhileActive, enrolmentKey } from './enrolment.ts'
import { lockKey } from './enrolment-repository.ts'
import { StepError } from '../run/evaluate.ts'
import { asOfNow, type Program, type ProgramCache } from '../run/program.ts'
import { type PlanRefusal, planRetry, type RetryPlan } from './retry-plan.ts'
import { executionRow, type StartRequest, startScope } from './enqueue.ts'
import { endedIn, isResumable, resumedLoop } from './retry-loop.ts'
import { type ExecutionState, initialState, type LoopState } from '../run/state.ts'
import { WAITING_EXECUTIONS, waitingQuota } from './waiting-quota.ts'
import { insertWaits, type WaitKey } from '../wait/repository.ts'
import { waitKey } from '../wait/waits.ts'
import {
  copySteps,
  doneSteps,
  findPublished,
  insertRetry,
  isRetried,
  lockOriginal,
  type Original,
  selectLoopSteps,
} from './retry-repository.ts'

export interface RetryRequest {
  tenantId: string
  executionId: string
  /** `failed`: where it ended, be it by a failure, its lifetime or a cancellation. */
  from: { at: 'failed' } | { at: 'start' } | { at: 'step'; step: StepId }
  version: 'same' | 'latest'
  /** The `trigger` that it has; undefined: as it was. */
  trigger?: unknown
  /** Not if it was retried before, whatever became of that. */
  once: boolean
  /** Told how many executions made way for it. */
  onCancelled?: CountCancelled
}

export type RetryRefusal =
  | PlanRefusal
  | {
      reason:
        | 'not_found'
        | 'not_ended'
        | 'retried'
        | 'halted'
        | 'flow_deleted'
        | 'version_missing'
        | 'flow_outdated'
        | 'nothing_failed'
        | 'already_active'
    }
  | { reason: 'invalid_trigger'; violations: SchemaViolation[] }
  /** The shop has as many executions as it may, which is `limit`. */
  | { reason: 'waiting_executions'; limit: number }
  /** The enrolment's templates do not come out, or those of a step that is ahead cannot be read any more. */
  | { reason: 'invalid_enrolment'; code: string; message: string }

export interface Retried {
  reason: null
  id: string
  version: number
  from: StepId
  carried: number
}

/**
 * Starts an execution that does again what another one has not come to. It is one of its own: new Idempotency-Keys,
 * the lifetime from now on, and the steps before its first one copied, so that templates find what they gave.
 */
export async function retryExecution(
  trx: Transaction<DB>,
  programs: ProgramCache,
  request: RetryRequest,
): Promise<Retried | RetryRefusal> {
  const { tenantId, executionId } = request
  await ensureCursor(trx, tenantId)
  const cursor = await lockCursor(trx, tenantId, 'hold')
  const original = await lockOriginal(trx, tenantId, executionId)
  if (original === undefined) return { reason: 'not_found' }
  if (['queued', 'running', 'waiting'].includes(original.status)) return { reason: 'not_ended' }
  if (cursor === undefined || cursor.isHalted) return { reason: 'halted' }
  if (await isRetried(trx, tenantId, executionId, request.once)) return { reason: 'retried' }
  const chosen = await chooseVersion(trx, programs, request, original)
  if ('reason' in chosen) return chosen
  const { program } = chosen
  if (original.body_gone !== null) {
    return { reason: 'outputs_missing', step: program.flow.start, missing: ['trigger'] }
  }
  const from = stepToStartAt(request, original, program)
  if (from === null) return { reason: 'nothing_failed' }
  const done = await doneSteps(trx, tenantId, executionId)
  const loop = chosen.version === original.version ? loopToResume(request, original, program) : null
  const { trigger } = original
  const start: StartRequest = {
    tenantId,
    flowId: original.flow_id,
    ...chosen,
    kind: original.trigger_kind,
    data: request.trigger === undefined ? trigger.data : request.trigger,
    event: trigger.event,
    request: trigger.request,
    causationDepth: original.causation_depth,
    refused: null,
    zone: cursor.zone,
    now: cursor.now,
    ...(request.onCancelled !== undefined && { onCancelled: request.onCancelled }),
  }
  try {
    const plan = planRetry(program.flow, loop?.step ?? from, done)
    if ('reason' in plan) return plan
    const violations = violationsOf(request, original, program)
    if (violations.length > 0) return { reason: 'invalid_trigger', violations }
    const resumed = loop === null ? null : await resume(trx, original, program, loop)
    return await startAt(trx, start, withLoop(plan, resumed), original, request.trigger === undefined)
  } catch (error) {
    if (!(error instanceof StepError)) throw error
    return { reason: 'invalid_enrolment', code: error.code, message: error.message }
  }
}

interface ResumedLoop {
  state: ExecutionState
  /** Numbers of the items' steps that are carried over. */
  carried: number[]
}

function withLoop(
  plan: RetryPlan,
  resumed: ResumedLoop | null,
): RetryPlan & { state: ExecutionState | null } {
  if (resumed === null) return { ...plan, state: null }
  return { ...plan, carried: [...plan.carried, ...resumed.carried], state: resumed.state }
}

/** The loop that a retry from where it failed goes on with; null: it is none, or the trigger is another one. */
function loopToResume(
  { from, trigger }: RetryRequest,
  { state, status }: Original,
  { flow }: Program,
): LoopState | null {
  if (from.at !== 'failed' || trigger !== undefined || status === 'completed' || status === 'skipped')
    return null
  const loop = endedIn(state)
  return loop !== null && isResumable(flow, loop) ? loop : null
}

/** Carries over what a loop's items have done; they go on behind it. */
async function resume(
  trx: Transaction<DB>,
  { id, tenant_id: tenantId, state }: Original,
  { flow }: Program,
  loop: LoopState,
): Promise<ResumedLoop> {
  const bodySteps = Object.keys(flow.steps).filter((step) => flow.steps[step]?.loop === loop.step)
  const rows = await selectLoopSteps(trx, tenantId, id, [...bodySteps, loop.step])
  const done = rows.flatMap(({ port, ...row }) => (port === null ? [] : [{ ...row, port }]))
  // Handlers may have set variables since; the loop's items have those of when it began.
  const variables = loop.variables ?? state.main.variables
  return { state: resumedLoop(flow, loop, done, variables), carried: rows.map(({ number }) => number) }
}

/** @throws {StepError} before anything is written */
async function startAt(
  trx: Transaction<DB>,
  start: StartRequest,
  plan: RetryPlan & { state: ExecutionState | null },
  original: Original,
  sameTrigger: boolean,
): Promise<Retried | RetryRefusal> {
  const { tenantId, flowId, program, now } = start
  const id = newId()
  const scope = startScope(start, id)
  const key = enrolmentKey(program, scope, now)
  const keys: WaitKey[] = program.flow.settings.enrolment.cancel_on.map((match, index) =>
    waitKey(program, match, index, scope, now),
  )
  if (await waitingQuota.isUsedUp(trx, tenantId)) {
    const { waiting_executions: limit } = await readLimits(trx, tenantId)
    return { reason: WAITING_EXECUTIONS, limit }
  }
  if (key !== null) {
    await lockKey(trx, flowId, key)
    const { reason, restarts } = await decideWhileActive(trx, start, key)
    if (reason !== null) return { reason: 'already_active' }
    if (restarts.length > 0) await cancelExecutions(trx, tenantId, restarts, 'restarted', start.onCancelled)
  }
  const row = executionRow(start, id, key, null)
  const carried = plan.carried.length
  await insertRetry(trx, original.id, carried, {
    ...row,
    // As text: numbers that JavaScript cannot hold stay what they are.
    ...(sameTrigger && { trigger: original.trigger_text }),
    state: writeJson(plan.state ?? initialState(plan.start, plan.variables, plan.caught)),
  })
  await copySteps(trx, tenantId, { from: original.id, to: id }, plan.carried)
  await insertWaits(trx, { tenantId, executionId: id, stepId: '', iteration: '', purpose: 'cancel', keys })
  return { reason: null, id, version: start.version, from: plan.start, carried }
}

async function chooseVersion(
  trx: Transaction<DB>,
  programs: ProgramCache,
  { tenantId, version: wanted }: RetryRequest,
  original: Original,
): Promise<
  { program: Program; version: number } | { reason: 'flow_deleted' | 'version_missing' | 'flow_outdated' }
> {
  const flow = await findPublished(trx, tenantId, original.flow_id)
  if (flow === undefined) return { reason: 'flow_deleted' }
  const version = wanted === 'same' ? original.version : flow.published_version
  if (version === null) return { reason: 'version_missing' }
  const program = await programs.find(tenantId, original.flow_id, version).catch((error: unknown) => {
    if (!isProblem(error, flowOutdated)) throw error
    return 'outdated' as const
  })
  if (program === 'outdated') return { reason: 'flow_outdated' }
  if (program === null) return { reason: 'version_missing' }
  return { program: await asOfNow(trx, tenantId, program), version }
}

/** A manual start's edited input is held to what the flow says of it. */
function violationsOf(
  { trigger }: RetryRequest,
  { trigger_kind }: Original,
  { flow }: Program,
): SchemaViolation[] {
  if (trigger === undefined || trigger_kind !== 'manual') return []
  const manual = flow.triggers.find(({ type }) => type === 'manual')
  const schema = manual?.type === 'manual' ? manual.input_schema : null
  return schema === null ? [] : validate(schema, trigger)
}

/** Null: it came to its end by itself. */
function stepToStartAt(
  { from }: RetryRequest,
  { status, state }: Original,
  { flow }: Program,
): StepId | null {
  if (from.at === 'step') return from.step
  if (from.at === 'start' || status === 'skipped') return flow.start
  const at = state.error?.step_id ?? state.main.step
  return status === 'completed' || at === END ? null : at
}
