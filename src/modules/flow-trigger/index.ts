/**
 * Starts flows by other things than events: schedules and webhook inlets.
 *
 * Owns `automation_schedules` and `automation_inlets`. What always holds:
 * - A firing's execution and the schedule's next time are one transaction, and a firing has one execution, however
 *   many workers look for it.
 * - A schedule has a row only while its flow is active or paused. A paused flow lets its times pass, or keeps them
 *   where the schedule makes up for what was missed.
 * - An inlet has its URL from the first time that its trigger is active until the flow is deleted or the URL is
 *   rotated; requests start something while the flow is active and its published version has the trigger, and are kept while it
 *   is paused or switched off.
 */
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Kysely, Transaction } from 'kysely'
import type { DB } from '#db/schema.ts'
import type { Config } from '#config/config.ts'
import type { Trigger } from '#lib/flow/types.ts'
import { JobLoop } from '#lib/async/job-loop.ts'
import { Firer, LOOK_MS } from './firer.ts'
import { oldestDueSeconds } from './firing-repository.ts'
import { createScheduleMetrics } from './metrics.ts'
import { hookRoutes } from './hook-routes.ts'
import { flowTriggerRoutes } from './routes.ts'
import { SCHEDULE_SCHEMAS, scheduleRoutes } from './schedule-routes.ts'
import { HookReceipt, Inlet } from './schemas.ts'
import {
  describeTriggers,
  type FlowTriggerContext,
  removeTriggers,
  reserveInlets,
  syncTriggers,
  type TriggerStates,
} from './service.ts'

export interface FlowTriggerService {
  /**
   * Makes the triggers of the version that is active be what starts the flow; none: it was switched off. Schedules
   * that come due at the same times as before keep their place, inlets their URLs.
   * @param now the database's clock
   */
  sync(
    trx: Transaction<DB>,
    tenantId: string,
    flowId: string,
    triggers: readonly Trigger[],
    now: Date,
  ): Promise<void>
  /** Gives webhook triggers their URLs before the flow is active, so that they can be entered elsewhere first. */
  reserve(trx: Transaction<DB>, tenantId: string, flowId: string, triggers: readonly Trigger[]): Promise<void>
  /** For a flow that is deleted: its URLs go with it. */
  remove(trx: Transaction<DB>, tenantId: string, flowId: string): Promise<void>
  /** By flow; every flow that was asked for has an entry. */
  describe(db: Kysely<DB>, tenantId: string, flowIds: readonly string[]): Promise<Map<string, TriggerStates>>
  /** For tests and tools: not started. */
  createFirer(): Firer
}

export { oldestDueSeconds } from './firing-repository.ts'
export { hookRequest } from './hook-request.ts'
export { readHookBody } from './request-body.ts'
export type { TriggerStates } from './service.ts'

declare module 'fastify' {
  interface FastifyInstance {
    flowTriggers: FlowTriggerService
  }
}

export default fp(
  async (app: FastifyInstance, { config }: { config: Config }) => {
    const ctx: FlowTriggerContext = { db: app.db, secretBox: app.secretBox, publicUrl: config.publicUrl }
    for (const schema of [HookReceipt, Inlet, ...SCHEDULE_SCHEMAS]) app.addSchema(schema)
    await app.register(async (routes) => scheduleRoutes(routes))
    await app.register(async (routes) => flowTriggerRoutes(routes, ctx))
    const { db, flowEngine, connections } = app
    await app.register(async (routes) => hookRoutes(routes, { db, flowEngine, connections }))
    const metrics = createScheduleMetrics(app.metrics.registry, () => oldestDueSeconds(app.pools.api))
    const createFirer = (): Firer =>
      new Firer({
        db: app.workerDb,
        findProgram: (tenantId, flowId, version) => app.flowEngine.findProgram(tenantId, flowId, version),
        maxStartsPerMinute: config.flow.maxStartsPerMinute,
        onStarted: (tenantIds) => app.signals.publish('executions_due', tenantIds),
        countStarts: (counts) => app.flowEngine.countStarts('schedule', counts),
        onCancelled: app.flowEngine.countCancelled,
        metrics,
        log: app.log,
      })
    app.decorate('flowTriggers', {
      sync: (trx, tenantId, flowId, triggers, now) => syncTriggers(ctx, trx, tenantId, flowId, triggers, now),
      reserve: (trx, tenantId, flowId, triggers) =>
        reserveInlets(ctx.secretBox, trx, tenantId, flowId, triggers),
      remove: removeTriggers,
      describe: (db, tenantId, flowIds) => describeTriggers(ctx, db, tenantId, flowIds),
      createFirer,
    } satisfies FlowTriggerService)

    const firer = createFirer()
    let waitMs = LOOK_MS
    const loop = new JobLoop({
      pass: async () => {
        waitMs = LOOK_MS
        const passed = await firer.pass()
        waitMs = passed.waitMs
        return passed.result
      },
      // Never longer than a look: a timer of more than 24 days would fire at once.
      intervalMs: () => waitMs,
      onError: (error) => app.log.error({ err: error }, 'schedules not fired'),
    })
    app.background({
      name: 'schedules',
      start: () => loop.start(),
      stop: () => loop.stop(),
      probe: () => loop.standing,
      whenStuck: 'failed',
      queue: { what: 'Due schedules', waitingSeconds: () => oldestDueSeconds(app.pools.api) },
    })
  },
  {
    name: 'flow-trigger',
    dependencies: ['db', 'auth', 'secrets', 'signals', 'metrics', 'background', 'flow-engine', 'connection'],
  },
)
