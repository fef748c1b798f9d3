/**
 * The dispatcher: does lists of actions, platform's and plugins' mixed, and keeps the log of them.
 *
 * What always holds:
 * - (flow_execution_id, event_key) is one action of one tenant, with one Idempotency-Key. Of a dispatch, what succeeded is
 *   never done again: only the call under way when a process died may repeat.
 * - A dispatch's result is written only under the lease token that its action was run with. A flow's action has no lease
 *   here: its execution has one, and keeps what came of it (flow-action.ts, docs/adr/0009).
 * - A plugin's action goes to the origin that the plugin registered, signed like a delivery.
 * - Of the calls that a process makes for dispatches at a time, of the dispatches that it has taken in and of their results
 *   in memory, no tenant has all (dispatch/places.ts, dispatch/admission.ts, dispatch/result-memory.ts).
 * - Every action asked for is in automation_event_log, secrets redacted.
 */
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '#config/config.ts'
import { isPassing } from '#db/errors.ts'
import { auditAll, type AuditEntry } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { Batcher } from '#lib/async/batcher.ts'
import { JobLoop } from '#lib/async/job-loop.ts'
import { DispatchAdmission } from './dispatch/admission.ts'
import { CallPlaces } from './dispatch/places.ts'
import { InvocationStore } from './dispatch/invocation-store.ts'
import { expireInvocations } from './completion/repository.ts'
import { ResultMemory } from './dispatch/result-memory.ts'
import { Running } from './dispatch/running.ts'
import { createDispatchMetrics } from './metrics.ts'
import { actionCallDocument } from './openapi.ts'
import { Planner } from './dispatch/planner.ts'
import { dispatcherRoutes } from './routes.ts'
import {
  Completion,
  CompletionInput,
  DispatchedAction,
  DispatchInput,
  DispatchResult,
  EventLogDetail,
  EventLogEntry,
  EventLogPage,
} from './schemas.ts'
import { dispatch, type DispatchedBy, findResult } from './service.ts'
import { NextLook } from './dispatch/next-look.ts'
import { runStepAction } from './flow-action.ts'
import type { DispatcherContext } from './context.ts'
import type { ActionResult, StepActionRequest } from './types.ts'

export interface DispatcherService {
  dispatch(actor: Actor, tenantId: string, input: DispatchInput, by?: DispatchedBy): Promise<DispatchResult>
  /** The action of a flow's step: see flow-action.ts. */
  runAction(tenantId: string, request: StepActionRequest): Promise<ActionResult>
  /** Returns the recorded result of an action; null: there is none, or it is still being done. */
  findResult(tenantId: string, flowExecutionId: string, eventKey: string): Promise<ActionResult | null>
}

export { isPluginBusy } from './flow-action.ts'
export type { ActionContext, ActionResult, StepActionRequest } from './types.ts'

declare module 'fastify' {
  interface FastifyInstance {
    dispatcher: DispatcherService
  }
}

const AUDITS_A_STATEMENT = 200
/** Time between two looks for accepted actions that were never completed. */
const EXPIRE_INTERVAL_MS = 10_000

export default fp(
  async (app: FastifyInstance, { config }: { config: Config }) => {
    const store = new InvocationStore(
      { worker: app.pools.worker, durable: app.pools.api },
      app.statistics,
      app.log,
    )
    const running = new Running(app.draining)
    const places = new CallPlaces(config.maxActionsInFlight)
    const results = new ResultMemory(config.maxActionsInFlight)
    const admission = new DispatchAdmission(config.maxActionsInFlight, results)
    // Not waited for until the disk has it: the barrier before a dispatch is answered takes it along.
    const audits = new Batcher<{ actor: Actor; entry: AuditEntry }, undefined>({
      max: AUDITS_A_STATEMENT,
      concurrency: 1,
      flush: async (entries) => {
        await auditAll(app.workerDb, entries)
        return entries.map(() => undefined)
      },
      // What the database refuses of one must not be in the way of the others, who may be other tenants.
      mayLieInOne: (error) => !isPassing(error),
    })
    const ctx: DispatcherContext = {
      db: app.db,
      planner: new Planner(app.registry),
      platform: app.platform,
      deliveries: app.deliveries,
      targets: new NextLook(),
      egress: app.egress,
      secretBox: app.secretBox,
      quotas: app.quotas,
      store,
      places,
      results,
      audit: (actor, entry) => audits.add({ actor, entry }),
      completionSeconds: config.actionCompletionSeconds,
      metrics: createDispatchMetrics(app.metrics.registry),
      isStopping: () => running.isStopping(),
    }
    const service: DispatcherService = {
      dispatch: (actor, tenantId, input, by) => running.track(dispatch(ctx, actor, tenantId, input, by)),
      runAction: (tenantId, request) => running.track(runStepAction(ctx, tenantId, request)),
      findResult: (tenantId, flowExecutionId, eventKey) =>
        findResult(ctx, tenantId, flowExecutionId, eventKey),
    }
    app.apiDocument.addWebhooks(actionCallDocument())
    app.decorate('dispatcher', service)
    for (const schema of [
      DispatchInput,
      DispatchedAction,
      DispatchResult,
      EventLogDetail,
      EventLogEntry,
      EventLogPage,
      CompletionInput,
      Completion,
    ]) {
      app.addSchema(schema)
    }
    await app.register(async (routes) =>
      dispatcherRoutes(routes, { ...ctx, admission, dispatch: service.dispatch.bind(service) }),
    )
    app.addHook('onClose', async () => {
      const ended = running.end()
      places.close()
      await ended
      store.stop()
    })

    const expiry = new JobLoop({
      pass: async () => ((await expireInvocations(app.workerDb)) > 0 ? 'more' : 'idle'),
      intervalMs: () => EXPIRE_INTERVAL_MS,
      onError: (error) =>
        app.log.warn({ err: (error as Error).message }, 'accepted actions not looked through'),
    })
    app.background({
      name: 'completions',
      start: () => expiry.start(),
      stop: () => expiry.stop(),
      probe: () => expiry.standing,
      whenStuck: 'warning',
    })
  },
  {
    name: 'dispatcher',
    dependencies: [
      'db',
      'health',
      'metrics',
      'background',
      'registry',
      'platform',
      'webhook-delivery',
      'egress',
      'secrets',
    ],
  },
)
