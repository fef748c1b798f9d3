/**
 * The flow engine: runs published flows.
 *
 * Owns `automation_executions`, `automation_steps`, `automation_waits` and the tenants' cursors in the event feed.
 * What always holds:
 * - An execution runs the version that it started with.
 * - A step that completed never runs again: its result, the next position and the lease's fence are one statement,
 *   written before anything that follows (boundary-repository.ts). Only the call under way when a process dies may
 *   repeat, with the same Idempotency-Key.
 * - A wait is a row. Nothing that waits is held in memory.
 * - An event is matched once, by whoever holds its tenant's cursor (matcher.ts), and a wait that is being registered
 *   holds that cursor still (waits.ts): none is missed.
 */
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Transaction } from 'kysely'
import { shareReading } from '#infra/metrics.ts'
import type { DB, TriggerKind } from '#db/schema.ts'
import type { Config } from '#config/config.ts'
import { cancelQueued } from './run/cancel.ts'
import { cancelExecutions, type CountCancelled, haltTenant, resumeTenant } from './run/cancel-repository.ts'
import { ensureCursor } from './match/cursor-repository.ts'
import { Engine } from './run/engine.ts'
import type { PauseReason } from './run/flow-pause.ts'
import { countTriggered } from './run/flow-repository.ts'
import { StepWatch } from './run/step-watch.ts'
import { Matcher } from './match/matcher.ts'
import { MatcherLoop } from './match/loop.ts'
import { countStarts, createFlowMetrics } from './metrics.ts'
import { type CompileDefinition, type Program, ProgramCache } from './run/program.ts'
import { type Retried, retryExecution, type RetryRefusal, type RetryRequest } from './start/retry.ts'
import { waitingQuota } from './start/waiting-quota.ts'
import { startChecked, type UncheckedStart } from './start/service.ts'
import type { StartResult } from './start/enqueue.ts'
import { type Attention, countAttention } from './attention-repository.ts'
import { oldestDueSeconds, oldestUnmatchedSeconds } from './run/queue-repository.ts'
import { simulate } from './simulate/simulate.ts'
import type { Simulation, SimulationRequest } from './simulate/types.ts'
import { Waits } from './wait/waits.ts'

export interface FlowEngineService {
  /** Starts an execution that no event starts: by hand, by schedule, by a webhook. */
  start(request: Omit<UncheckedStart, 'program'>): Promise<StartResult>
  /** Tells whether the tenant has as many executions queued and waiting as it may. */
  isFull(tenantId: string): Promise<boolean>
  /** The flow module hands this in: versions that are stored under an older schema are compiled again. */
  compileWith(compile: CompileDefinition): void
  /** A published version, compiled, without values of the shop; null: there is none. @throws `flow_newer`, `flow_outdated` */
  findProgram(tenantId: string, flowId: string, version: number): Promise<Program | null>
  /** @returns how many it concerned: what runs ends at its next boundary, what has ended is left alone */
  cancel(tenantId: string, ids: readonly string[], reason: string): Promise<number>
  /** Stops all automations of a tenant. @returns how many queued executions were cancelled */
  halt(tenantId: string): Promise<number>
  resume(tenantId: string): Promise<void>
  /**
   * Does again what an execution that has ended did not come to, as a new one. Whoever commits the transaction
   * publishes `executions_due` after it.
   */
  retry(trx: Transaction<DB>, request: RetryRequest): Promise<Retried | RetryRefusal>
  /** For `bcs_executions_started_total`: starts that whoever calls has committed itself. */
  countStarts(trigger: TriggerKind, counts: { queued: number; skipped: number }): void
  /** For `bcs_executions_ended_total`, and for whoever looks at the shop: what `cancelExecutions` ended at once. */
  countCancelled: CountCancelled
  /** Says what a flow would do: nothing is called, nothing is written, no time passes. */
  simulate(request: SimulationRequest): Promise<Simulation>
  /** One that is not started; `now` replaces the database's clock, `tenantId` limits it to one tenant's executions. */
  createEngine(now?: () => Date, tenantId?: string): Engine
  createMatcher(): Matcher
}

export { ensureCursor, lockCursor } from './match/cursor-repository.ts'
export { countMissed, markMissed, type MissedFilter } from './match/catch-up-repository.ts'
export { findSetAside, type SetAsideEvent, selectSetAside, wantAgain } from './match/set-aside-repository.ts'
export { cancelQueued } from './run/cancel.ts'
export { cancelExecutions, type CountCancelled, haltTenant, resumeTenant } from './run/cancel-repository.ts'
export { countTriggered } from './run/flow-repository.ts'
export {
  type HeldQueue,
  type HeldTarget,
  selectHeldQueues,
  selectHeldTargets,
} from './run/held-target-repository.ts'
export { oldestDueSeconds, oldestUnmatchedSeconds } from './run/queue-repository.ts'
export { findStart } from './start/enqueue-repository.ts'
export { flowNewer, flowOutdated } from './errors.ts'
export type { Attempt } from './run/state.ts'
export { readStepStart, type StepStart } from './run/step-watch.ts'
export { asOfNow, type Program } from './run/program.ts'
export { isPlainStart, startChecked, startTogether, type UncheckedStart } from './start/service.ts'
export type { Retried, RetryRefusal, RetryRequest } from './start/retry.ts'
export { startScope } from './start/enqueue.ts'
export { type Simulation, type SimulationRequest, WOULD_KINDS } from './simulate/types.ts'
export { filterRefusal, type TriggerRefusal } from './start/trigger.ts'
export { toEventScope } from './wait/waits.ts'

declare module 'fastify' {
  interface FastifyInstance {
    flowEngine: FlowEngineService
  }
}

/** Executions in hand at once: each is a few kilobytes and mostly waits for an answer. */
const MAX_RUNNING = 1_024
/** Read, they take several times as much: 36 executions by events of 0.9 MB, within a heap of 256 MB. */
const MAX_HELD_BYTES = 32 * 1024 * 1024
/** Of what they have loaded besides: the same heap. */
const MAX_LOADED_BYTES = 16 * 1024 * 1024
/** A wait is to end within 2 s of being due. */
const POLL_MS = 1_500

export default fp(
  async (app: FastifyInstance, { config }: { config: Config }) => {
    const shared = shareReading(() => countAttention(app.pools.api))
    const attention = async (): Promise<Attention> => {
      const found = await shared()
      if (found === null) throw new Error('set-aside events and paused flows could not be counted')
      return found
    }
    const metrics = createFlowMetrics(app.metrics.registry, {
      attention,
      unmatchedSeconds: () => oldestUnmatchedSeconds(app.pools.api),
      dueSeconds: () => oldestDueSeconds(app.pools.api),
    })
    const countCancelled: CountCancelled = (count, tenantId) => {
      metrics.executionsEnded.inc({ outcome: 'cancelled' }, count)
      app.changes.tell(tenantId, 'executions')
    }
    const programs = new ProgramCache(app.workerDb)
    const waits = new Waits(app.workerDb)
    const countPause = (reason: PauseReason): void => app.metrics.flowPauses.inc({ reason })
    const createEngine = (now?: () => Date, tenantId?: string): Engine =>
      new Engine(
        {
          db: app.workerDb,
          pool: app.pools.worker,
          programs,
          waits,
          changes: app.changes,
          metrics,
          statistics: app.statistics,
          log: app.log,
          dispatcher: app.dispatcher,
          egress: app.egress,
          connections: app.connections,
          messages: app.messages,
          events: app.events,
          signals: app.signals,
          countPause,
        },
        {
          leaseMs: config.delivery.leaseMs,
          pollMs: POLL_MS,
          maxRunning: MAX_RUNNING,
          maxHeldBytes: MAX_HELD_BYTES,
          maxLoadedBytes: MAX_LOADED_BYTES,
          now: now ?? null,
          tenantId: tenantId ?? null,
        },
      )
    const createMatcher = (): Matcher =>
      new Matcher({
        db: app.workerDb,
        programs,
        signals: app.signals,
        metrics,
        events: app.events,
        countPause,
        log: app.log,
        maxStartsPerMinute: config.flow.maxStartsPerMinute,
      })
    app.decorate('flowEngine', {
      start: async (request) => {
        const { tenantId, flowId, version } = request
        const program = await programs.get(tenantId, flowId, version)
        await ensureCursor(app.db, tenantId)
        const most = config.flow.maxStartsPerMinute
        const result = await app.db.transaction().execute(async (trx) => {
          const started = await startChecked(trx, { ...request, program, onCancelled: countCancelled }, most)
          const count = started.status === 'queued' ? 1 : 0
          await countTriggered(trx, tenantId, new Map([[flowId, count]]), started.at)
          return started
        })
        countStarts(metrics, request.kind, {
          queued: Number(result.status === 'queued'),
          skipped: Number(result.status === 'skipped'),
        })
        if (result.status === 'queued') app.signals.publish('executions_due', [tenantId])
        return result
      },
      isFull: (tenantId) => waitingQuota.isUsedUp(app.db, tenantId),
      compileWith: (compile) => programs.compileWith(compile),
      findProgram: (tenantId, flowId, version) => programs.find(tenantId, flowId, version),
      cancel: (tenantId, ids, reason) => cancelExecutions(app.db, tenantId, ids, reason, countCancelled),
      halt: async (tenantId) => {
        await haltTenant(app.db, tenantId)
        return (await cancelQueued(app.db, tenantId, Infinity, countCancelled)).cancelled
      },
      resume: async (tenantId) => {
        await resumeTenant(app.db, tenantId)
        app.signals.publish('executions_due', [tenantId])
      },
      retry: async (trx, request) => {
        const retried = await retryExecution(trx, programs, { ...request, onCancelled: countCancelled })
        if (retried.reason === null) countStarts(metrics, 'retry', { queued: 1, skipped: 0 })
        return retried
      },
      countStarts: (trigger, counts) => countStarts(metrics, trigger, counts),
      countCancelled,
      simulate: (request) => simulate(app.db, request),
      createEngine,
      createMatcher,
    } satisfies FlowEngineService)

    const engine = createEngine()
    const watch = new StepWatch(app.signals, () => engine.held)
    const matching = new MatcherLoop(createMatcher(), app.log)
    app.background({
      name: 'matcher',
      start: () => {
        app.signals.subscribe('events_stored', (tenantIds) => matching.wake(tenantIds))
        matching.start()
      },
      stop: () => matching.stop(),
      probe: () => matching.standing,
      whenStuck: 'failed',
      queue: {
        what: 'Events that no flow has seen',
        waitingSeconds: () => oldestUnmatchedSeconds(app.pools.api),
      },
      trouble: async () => {
        const { setAside } = await attention()
        if (setAside === 0) return null
        return `${setAside} events are set aside: no flow sees them until they are taken up again, by POST /api/automation/set-aside-events/{id}/take-up.`
      },
    })
    app.background({
      name: 'engine',
      start: () => {
        app.signals.subscribe('executions_due', (tenantIds) => engine.hint(tenantIds))
        app.signals.subscribe('execution_followed', (ids) => watch.follow(ids))
        engine.start()
      },
      stop: async () => {
        watch.stop()
        await engine.stop()
      },
      probe: () => engine.standing,
      whenStuck: 'failed',
      queue: { what: 'Due executions', waitingSeconds: () => oldestDueSeconds(app.pools.api) },
    })
  },
  {
    name: 'flow-engine',
    dependencies: [
      ...['db', 'signals', 'metrics', 'background', 'events', 'dispatcher', 'egress', 'message'],
      'connection',
    ],
  },
)
