import type { Kysely } from 'kysely'
import type { DB } from '#db/schema.ts'
import { readJson, writeJson } from '#db/json.ts'
import { calendarOf } from '#lib/calendar.ts'
import { newId } from '#lib/ids.ts'
import { type ClaimedExecution, findCalendar } from '../run/execution-repository.ts'
import type { RunEnd } from '../run/journal.ts'
import type { RunHeld } from '../run/ports.ts'
import { asOfNow, Program } from '../run/program.ts'
import { ExecutionRun } from '../run/execution-run.ts'
import { ScopeBuilder, type StoredTrigger } from '../run/scope.ts'
import { simulatedCalls } from './calls.ts'
import { LimitReached, SimulatedJournal, StepReached } from './journal.ts'
import { Mocks } from './mocks.ts'
import { reportStart } from './eligibility.ts'
import type { Simulation, SimulationRequest } from './types.ts'
import { simulatedWaits } from './waits.ts'
import { startScope } from '../start/enqueue.ts'
import { initialState } from '../run/state.ts'

/**
 * Runs a flow without anything leaving the house: the steps are those of a real execution, but the journal, the calls
 * and the waits that they reach are made up. Nothing is written, nobody is called, and no time passes: what waits goes
 * on at once, with the clock moved to when it would. Ends after 5,000 steps, 5 s or 4 MiB of what steps took and gave.
 */
export async function simulate(db: Kysely<DB>, given: SimulationRequest): Promise<Simulation> {
  const calendar = await findCalendar(db, given.tenantId)
  const request = { ...given, trigger: asStored(given.trigger), mocks: asStored(given.mocks) }
  const program = await asOfNow(db, request.tenantId, new Program(request.flow, request.flowName))
  const mocks = new Mocks(request.mocks)
  const claim = claimOf(request, program, calendar)
  const { tenantId, version, now, trigger } = request
  const zone = calendarOf(calendar).time_zone
  const scope = startScope(
    {
      program,
      tenantId,
      flowId: claim.flow_id,
      version,
      data: trigger.data,
      event: trigger.event,
      request: trigger.request,
      zone,
      now,
    },
    claim.id,
  )
  const start = await reportStart(db, request, program, scope)
  const isTaken = start.would_start || request.startAnyway
  const ran = isTaken
    ? await runThrough(program, claim, mocks, request)
    : {
        end: null,
        steps: [],
        variables: program.flow.variables,
        limit: null,
        until_reached: request.until === undefined ? null : false,
      }
  return { start, ...ran, unused_mocks: mocks.unused }
}

async function runThrough(
  program: Program,
  claim: ClaimedExecution,
  mocks: Mocks,
  request: SimulationRequest,
): Promise<Omit<Simulation, 'start' | 'unused_mocks'>> {
  let nowMs = claim.now_ms
  const clock = (): number => nowMs
  const journal = new SimulatedJournal(clock, request.until)
  const options = {
    claim,
    program,
    journal,
    held: NOBODY_HELD,
    calls: simulatedCalls(mocks, journal, request.outputSchemaOf),
    waits: simulatedWaits(mocks, journal),
    scope: new ScopeBuilder(claim, program, []),
    received: new Map<string, never>(),
    clock,
    isStopping: () => false,
  }
  const until_reached = request.until === undefined ? null : false
  const done = { steps: journal.steps, variables: claim.state.main.variables, until_reached }
  try {
    let end: RunEnd
    do {
      if (journal.dueAtMs !== null) nowMs = Math.max(nowMs, journal.dueAtMs)
      end = await new ExecutionRun(options).run()
    } while (end.status === 'waiting')
    const { status, reason, handled } = end
    const { error } = claim.state
    const finished_at = new Date(nowMs).toISOString()
    return { ...done, end: { status, reason, handled, error, finished_at }, limit: null }
  } catch (error) {
    if (error instanceof StepReached) return { ...done, end: null, limit: null, until_reached: true }
    if (!(error instanceof LimitReached)) throw error
    return { ...done, end: null, limit: error.limit }
  }
}

const NOBODY_HELD: RunHeld = {
  mayCall: () => Promise.resolve(true),
  failed: () => false,
  answered: () => undefined,
  away: () => undefined,
  passed: () => Promise.resolve(),
  left: () => Promise.resolve(),
}

/** Returns what the database would give back of it. */
function asStored<T>(value: T): T {
  return readJson(writeJson(value)) as T
}

/** An execution that no row stands for. */
function claimOf(
  { tenantId, flowId, version, trigger, now }: SimulationRequest,
  { flow }: Program,
  calendar: ClaimedExecution['calendar'],
): ClaimedExecution {
  const nowMs = now.getTime()
  return {
    tenant_id: tenantId,
    id: newId(),
    flow_id: flowId ?? newId(),
    version,
    trigger_kind: trigger.kind,
    trigger: {
      data: trigger.data,
      event: trigger.event,
      ...(trigger.request !== undefined && { request: trigger.request }),
    } satisfies StoredTrigger,
    event_id: trigger.event?.id ?? null,
    state: initialState(flow.start, structuredClone(flow.variables)),
    lease_token: 0,
    held_by: null,
    causation_depth: trigger.causationDepth,
    step_count: 0,
    received: 0,
    expires_at_ms: nowMs + flow.settings.lifetime_ms,
    created_at_ms: nowMs,
    started_at_ms: nowMs,
    was_running: false,
    calendar,
    now_ms: nowMs,
    lag_s: 0,
    bytes: 0,
  }
}
