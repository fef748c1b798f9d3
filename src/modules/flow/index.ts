/**
 * Flows: automations as people write them.
 *
 * Owns `automation_flows` and `automation_flow_versions`. What always holds:
 * - A definition is kept as the text that was sent, and given back as that text.
 * - A draft may be wrong; what is published has compiled without errors against what the tenant had then.
 * - A version never changes. Publishing makes a new one, unless it would run just as the last one does.
 * - What is active changes under the tenant's cursor (activation.ts): once the answer is sent, no event starts what
 *   was active before.
 * - Changing a flow raises its revision; whoever names an older one changes nothing.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { readJson } from '#infra/http/edge.ts'
import type { Actor } from '#infra/auth/auth.ts'
import type { CompileResult, FlowCatalogue } from '#lib/flow/index.ts'
import { findActionUsage } from './definition/action-usage.ts'
import { findConnectionUsers } from './definition/connection-usage.ts'
import { findVariableUsers } from './definition/variable-usage.ts'
import { loadCatalogue } from './definition/catalogue.ts'
import { compile } from './definition/compile.ts'
import type { FlowContext } from './context.ts'
import { definitionOf, parseDefinition } from './definition/definition.ts'
import {
  activateFlow,
  type Deactivated,
  deactivateFlow,
  type Published,
  publishFlow,
} from './lifecycle/service.ts'
import { LIFECYCLE_SCHEMAS } from './lifecycle/schemas.ts'
import { catchUpRoutes } from './lifecycle/catch-up-routes.ts'
import { lifecycleRoutes } from './lifecycle/routes.ts'
import { OPERATOR_SCHEMAS, operatorRoutes } from './operator-routes.ts'
import { type PortableFlow, portableFlow } from './transfer/service.ts'
import { transferRoutes } from './transfer/routes.ts'
import { FlowExport, ImportedFlow } from './transfer/schemas.ts'
import { flowRoutes } from './routes.ts'
import { etagOf, type FlowRef } from './lifecycle/revision.ts'
import { type FlowQuery, type FlowSummary, NAMED } from './schemas.ts'
import {
  createFlow,
  createOnce,
  deleteFlow,
  detachFlow,
  type FlowOrigin,
  listFlows,
  readFlow,
  replaceFlow,
} from './service.ts'
import { type EarlierRun, findRun, runFlow, type StartedRun } from './lifecycle/run.ts'
import { testRoutes } from './test/routes.ts'
import { type FlowTest, type FlowTestRequest, TEST_SCHEMAS } from './test/schemas.ts'
import { testFlow } from './test/service.ts'
import type { Flow } from './view.ts'

export interface FlowService {
  /** By the definition's own `status`, or the default of its format. @throws `invalid_request`, `flow_invalid` */
  create(actor: Actor, tenantId: string, definition: unknown, origin?: FlowOrigin): Promise<Flow>
  /** The same, once for each template and key. @throws `invalid_request`, `flow_invalid` */
  createOnce(
    actor: Actor,
    tenantId: string,
    definition: unknown,
    origin: FlowOrigin & { templateId: string; templateKey: string },
  ): Promise<{ flow: Flow; isNew: boolean }>
  /** Replaces the draft. @throws `flow_not_found`, `flow_changed`, `invalid_request`, `flow_invalid` */
  update(
    actor: Actor,
    tenantId: string,
    id: string,
    definition: unknown,
    options?: Unchanged & { publish?: boolean; automation?: unknown },
  ): Promise<Flow>
  /**
   * Takes what the CRM keeps with a flow out of it, into another one that is switched off. @throws `flow_not_found`,
   * `flow_changed`, `too_many_flows`
   */
  detach(
    actor: Actor,
    tenantId: string,
    id: string,
    form: { revision: number; definition: unknown; automation: unknown; takesDraft: boolean },
  ): Promise<{ flow: Flow; formId: string; running: number }>
  publish(
    actor: Actor,
    tenantId: string,
    id: string,
    options?: Unchanged & { activate?: boolean; cancelRunning?: boolean },
  ): Promise<Published>
  activate(actor: Actor, tenantId: string, id: string, options?: Unchanged): Promise<Flow>
  deactivate(
    actor: Actor,
    tenantId: string,
    id: string,
    options?: Unchanged & { cancelRunning?: boolean },
  ): Promise<Deactivated>
  remove(actor: Actor, tenantId: string, id: string, options?: Unchanged): Promise<void>
  get(actor: Actor, tenantId: string, id: string): Promise<Flow>
  /** Its draft as an export has it. @throws `flow_not_found` */
  portable(tenantId: string, id: string): Promise<PortableFlow>
  list(tenantId: string, query: FlowQuery): Promise<{ data: FlowSummary[]; next_cursor: string | null }>
  /** Loads what flows of the tenant can use, as of now. */
  catalogue(tenantId: string): Promise<FlowCatalogue>
  compile(tenantId: string, definition: unknown): Promise<CompileResult>
  /** By hand. @throws `flow_not_found`, `flow_not_active`, `flow_not_manual`, `flow_input_invalid`, `flow_run_conflict` */
  run(
    actor: Actor,
    tenantId: string,
    id: string,
    start: { input: Record<string, unknown>; key: string | null },
  ): Promise<StartedRun>
  /** Finds what a run by that key started with, however it went on. */
  findRun(tenantId: string, id: string, key: string): Promise<EarlierRun | undefined>
  /** Says what it would do. @throws `flow_not_found`, `event_not_found`, `flow_invalid`, `invalid_request` */
  test(actor: Actor, tenantId: string, id: string, request: FlowTestRequest): Promise<FlowTest>
}

/** The revision that a change may ask for. @throws `flow_changed` if the flow has another revision */
interface Unchanged {
  revision?: number
}

export {
  flowChanged,
  flowInputInvalid,
  flowInvalid,
  flowNotActive,
  flowNotFound,
  flowNotManual,
  flowRunConflict,
  tooManyFlows,
} from './errors.ts'
export { RunHeaders, StartedRun as StartedRunSchema } from './lifecycle/schemas.ts'
export type { StartedRun } from './lifecycle/run.ts'
export { FlowTest, TEST_START } from './test/schemas.ts'
export { Flow as FlowSchema } from './schemas.ts'
export { type Flow, flowBody, mayEdit } from './view.ts'

declare module 'fastify' {
  interface FastifyInstance {
    flows: FlowService
  }
  interface FastifyRequest {
    /** The body as it was sent, on routes whose module keeps it. */
    bodyText: string | null
  }
}

const ANY_URL: FlowContext['egress'] = { checkText: () => null }
const SOME_PLATFORM: FlowContext['platform'] = { isConfigured: async () => Promise.resolve(true) }

export default fp(
  async (app: FastifyInstance) => {
    const { db, registry, connections, signals, egress, flowEngine: engine, flowTriggers: triggers } = app
    const ctx: FlowContext = {
      db,
      registry,
      connections,
      engine,
      triggers,
      signals,
      egress,
      platform: app.platform,
    }
    registry.onUsage((tenantId, gone) => findActionUsage(db, tenantId, gone))
    app.variables.onUsage(findVariableUsers)
    connections.onUsage(findConnectionUsers)
    engine.compileWith((tenantId, definition, db) =>
      // What may be called, and where the platform is, is asked again at each call.
      compile(
        { db, registry, connections, egress: ANY_URL, platform: SOME_PLATFORM },
        tenantId,
        parseDefinition(definition).value,
      ),
    )
    app.apiDocument.addTag('flows', 'Automations: triggers, steps, versions')
    app.decorate('flows', serviceOf(ctx))
    for (const schema of [
      ...NAMED,
      ...LIFECYCLE_SCHEMAS,
      ...OPERATOR_SCHEMAS,
      ...TEST_SCHEMAS,
      FlowExport,
      ImportedFlow,
    ]) {
      app.addSchema(schema)
    }
    app.decorateRequest('bodyText', null)
    await app.register(async (routes) => {
      keepBodyText(routes)
      flowRoutes(routes, ctx)
    })
    await app.register(async (routes) => testRoutes(routes, ctx))
    await app.register(async (routes) => lifecycleRoutes(routes, ctx))
    await app.register(async (routes) => catchUpRoutes(routes, ctx))
    await app.register(async (routes) => transferRoutes(routes, ctx))
    await app.register(async (routes) => operatorRoutes(routes))
  },
  {
    name: 'flow',
    dependencies: [
      'db',
      'signals',
      'egress',
      'auth',
      'platform',
      'registry',
      'connection',
      'variable',
      'flow-engine',
      'flow-trigger',
    ],
  },
)

function serviceOf(ctx: FlowContext): FlowService {
  return {
    create: (actor, tenantId, definition, origin) =>
      createFlow(ctx, actor, tenantId, definitionOf(definition), origin),
    createOnce: (actor, tenantId, definition, origin) =>
      createOnce(ctx, actor, tenantId, definitionOf(definition), origin),
    update: (actor, tenantId, id, definition, { revision, ...options } = {}) =>
      replaceFlow(ctx, actor, flowRefOf(tenantId, id, revision), definitionOf(definition), options),
    detach: (actor, tenantId, id, { revision, definition, ...form }) =>
      detachFlow(ctx, actor, flowRefOf(tenantId, id, revision), {
        ...form,
        definition: definitionOf(definition),
      }),
    publish: (actor, tenantId, id, { revision, ...options } = {}) =>
      publishFlow(ctx, actor, flowRefOf(tenantId, id, revision), options),
    activate: (actor, tenantId, id, { revision } = {}) =>
      activateFlow(ctx, actor, flowRefOf(tenantId, id, revision)),
    deactivate: (actor, tenantId, id, { revision, ...options } = {}) =>
      deactivateFlow(ctx, actor, flowRefOf(tenantId, id, revision), options),
    remove: (actor, tenantId, id, { revision } = {}) =>
      deleteFlow(ctx, actor, flowRefOf(tenantId, id, revision)),
    get: (actor, tenantId, id) => readFlow(ctx, actor, { tenantId, id }),
    portable: (tenantId, id) => portableFlow(ctx, { tenantId, id }),
    list: (tenantId, query) => listFlows(ctx, tenantId, query),
    catalogue: (tenantId) => loadCatalogue(ctx, tenantId),
    compile: (tenantId, definition) => compile(ctx, tenantId, definition),
    run: (actor, tenantId, id, start) => runFlow(ctx, actor, { tenantId, id }, start),
    findRun: (tenantId, id, key) => findRun(ctx, { tenantId, id }, key),
    test: (actor, tenantId, id, request) => testFlow(ctx, actor, { tenantId, id }, request),
  }
}

function flowRefOf(tenantId: string, id: string, revision: number | undefined): FlowRef {
  return { tenantId, id, ...(revision !== undefined && { ifMatch: etagOf(revision) }) }
}

/** Reads bodies like everywhere else (infra/http/edge.ts), and keeps their text. */
function keepBodyText(routes: FastifyInstance): void {
  routes.removeAllContentTypeParsers()
  routes.addContentTypeParser(
    /^application\/json(?:\s*;|$)/i,
    { parseAs: 'buffer' },
    async (request: FastifyRequest, bytes: Buffer) => {
      const body = readJson(bytes, request.routeOptions.config)
      request.bodyText = bytes.toString()
      return body
    },
  )
}
