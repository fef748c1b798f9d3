import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '../../config.ts'
import { JobLoop } from '../../lib/job-loop.ts'
import { Engine } from './engine.ts'
import { Matcher } from './matcher.ts'
import { ProgramCache } from './program.ts'
import { cancelExecutions, startExecution, type StartRequest, type StartResult } from './starts.ts'
import { Waits } from './waits.ts'

/**
 * The flow engine: runs published flows.
 *
 * Owns `automation_executions`, `automation_steps`, `automation_waits` and the tenants' cursors in the event feed.
 * What always holds:
 * - An execution runs the version that it started with.
 * - A step that completed never runs again: its result, the next position and the lease's fence are one statement,
 *   written before anything that follows (execution-repository.ts). Only the call under way when a process dies may
 *   repeat, with the same Idempotency-Key.
 * - A wait is a row. Nothing that waits is held in memory.
 * - An event is matched once, by whoever holds its tenant's cursor (matcher.ts), and a wait that is being registered
 *   holds that cursor still (waits.ts): none is missed.
 */
export interface FlowEngineService {
  /** Starts an execution that no event starts: by hand, by schedule, by a webhook. */
  start(request: Omit<StartRequest, 'program' | 'capReached' | 'now'>): Promise<StartResult>
  cancel(tenantId: string, ids: readonly string[], reason: string): Promise<number>
  /** For tests and tools: not started; `now` replaces the database's clock. */
  createEngine(now?: () => Date): Engine
  createMatcher(): Matcher
}

declare module 'fastify' {
  interface FastifyInstance {
    flowEngine: FlowEngineService
  }
}

/** Executions in hand at once: each is a few kilobytes and mostly waits for an answer. */
const MAX_RUNNING = 256
const POLL_MS = 1_000
const MATCH_POLL_MS = 2_000

export default fp(
  async (app: FastifyInstance, { config }: { config: Config }) => {
    const programs = new ProgramCache(app.workerDb)
    const waits = new Waits(app.workerDb)
    const createEngine = (now?: () => Date): Engine =>
      new Engine(
        {
          db: app.workerDb,
          pool: app.pools.worker,
          programs,
          waits,
          log: app.log,
          dispatcher: app.dispatcher,
          egress: app.egress,
        },
        { leaseMs: config.delivery.leaseMs, pollMs: POLL_MS, maxRunning: MAX_RUNNING, now: now ?? null },
      )
    const createMatcher = (): Matcher =>
      new Matcher({
        db: app.workerDb,
        programs,
        signals: app.signals,
        log: app.log,
        maxStartsPerMinute: config.flow.maxStartsPerMinute,
      })
    app.decorate('flowEngine', {
      start: async (request) => {
        const program = await programs.get(request.tenantId, request.flowId, request.version)
        const result = await app.db
          .transaction()
          .execute((trx) => startExecution(trx, { ...request, program, capReached: false, now: new Date() }))
        if (result.status === 'queued') app.signals.publish('executions_due', [request.tenantId])
        return result
      },
      cancel: (tenantId, ids, reason) => cancelExecutions(app.db, tenantId, ids, reason),
      createEngine,
      createMatcher,
    } satisfies FlowEngineService)

    if (!config.roles.worker) return
    const engine = createEngine()
    const behind = new Set<string>()
    const matcher = createMatcher()
    const matching = new JobLoop({
      pass: async () => {
        const named = [...behind]
        behind.clear()
        return matcher.pass(named, null)
      },
      intervalMs: () => MATCH_POLL_MS,
      onError: (error) =>
        app.log.error({ err: (error as Error).message }, 'events not matched against flows'),
    })
    app.signals.subscribe('events_stored', (tenantIds) => {
      for (const tenantId of tenantIds) behind.add(tenantId)
      matching.wake()
    })
    app.signals.subscribe('executions_due', () => engine.hint())
    app.addHook('onReady', async () => {
      engine.start()
      matching.start()
    })
    app.addHook('preClose', async () => {
      await matching.stop()
      await engine.stop()
    })
  },
  { name: 'flow-engine', dependencies: ['db', 'signals', 'events', 'dispatcher', 'egress'] },
)
