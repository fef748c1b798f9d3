import { audit } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { invalidRequest } from '#infra/http/problems.ts'
import type { CanonicalFlow, FlowCatalogue, FlowProblem } from '#lib/flow/index.ts'
import { redact } from '#lib/secrets/redact.ts'
import { parseTime } from '#lib/time.ts'
import { eventNotFound, selectEvents } from '#modules/event/index.ts'
import { toEventScope } from '#modules/flow-engine/index.ts'
import { loadCatalogue } from '../definition/catalogue.ts'
import { compile } from '../definition/compile.ts'
import type { FlowContext } from '../context.ts'
import { parseDefinition } from '../definition/definition.ts'
import { flowVersionNotFound, invalidFlow } from '../errors.ts'
import { findFlow } from '../repository.ts'
import { found, type FlowRef } from '../lifecycle/revision.ts'
import type { FlowTest, FlowTestRequest } from './schemas.ts'
import { sampleTrigger, type TestTrigger } from './trigger.ts'

/** The flow that is tested. */
interface Subject {
  flowId: string | null
  name: string
  /** As executions of it would be numbered. */
  version: number
  isPublished: boolean
  flow: CanonicalFlow
  problems: FlowProblem[]
}

/**
 * Says what a flow would do, and does nothing of it.
 * @throws `flow_not_found`, `flow_version_not_found`, `event_not_found`, `flow_invalid`, `invalid_request`
 */
export async function testFlow(
  ctx: FlowContext,
  actor: Actor,
  { tenantId, id }: FlowRef,
  request: FlowTestRequest,
): Promise<FlowTest> {
  if (request.definition !== undefined && request.version !== undefined) {
    throw unfit('/version', 'must not be given together with definition')
  }
  return run(ctx, actor, tenantId, await subjectOf(ctx, tenantId, id, request), request)
}

/** The same for a definition that is not stored. @throws `event_not_found`, `flow_invalid`, `invalid_request` */
export async function testDefinition(
  ctx: FlowContext,
  actor: Actor,
  tenantId: string,
  { definition, ...request }: FlowTestRequest & { definition: Record<string, unknown> },
): Promise<FlowTest> {
  const compiled = await compiledSubject(ctx, tenantId, definition)
  const name = typeof definition['name'] === 'string' ? definition['name'] : ''
  return run(
    ctx,
    actor,
    tenantId,
    { ...compiled, flowId: null, name, version: 1, isPublished: false },
    request,
  )
}

async function subjectOf(
  ctx: FlowContext,
  tenantId: string,
  id: string,
  { definition, version }: FlowTestRequest,
): Promise<Subject> {
  const row = found(await findFlow(ctx.db, tenantId, id))
  const head = { flowId: id, name: row.name }
  if (version !== undefined) {
    const program = await ctx.engine.findProgram(tenantId, id, version)
    if (program === null) throw flowVersionNotFound()
    return { ...head, version, isPublished: true, flow: program.flow, problems: [] }
  }
  const draft = definition ?? parseDefinition(row.definition).value
  const compiled = await compiledSubject(ctx, tenantId, draft)
  return { ...head, ...compiled, version: (row.published_version ?? 0) + 1, isPublished: false }
}

/** @throws `flow_invalid` */
async function compiledSubject(
  ctx: FlowContext,
  tenantId: string,
  definition: unknown,
): Promise<Pick<Subject, 'flow' | 'problems'>> {
  const { flow, problems } = await compile(ctx, tenantId, definition)
  if (flow === null) throw invalidFlow(problems)
  return { flow, problems }
}

async function run(
  ctx: FlowContext,
  actor: Actor,
  tenantId: string,
  { flowId, name, version, isPublished, flow, problems }: Subject,
  request: FlowTestRequest,
): Promise<FlowTest> {
  const nowMs = request.now === undefined ? Date.now() : parseTime(String(request.now))
  if (nowMs === null) throw unfit('/now', 'must be a time that exists')
  const now = new Date(nowMs)
  await audit(ctx.db, actor, {
    tenantId,
    action: 'flow.tested',
    targetKind: 'flow',
    targetId: flowId ?? 'new',
    detail: { name, event_id: request.event_id ?? null },
  })
  const catalogue = await loadCatalogue(ctx, tenantId)
  checkLists(flow, request.mocks)
  const simulation = await ctx.engine.simulate({
    tenantId,
    flowId,
    flowName: name,
    version,
    flow,
    trigger:
      request.event_id === undefined
        ? await sampleTrigger(flow, request, catalogue, now)
        : await pastEvent(ctx, tenantId, request),
    startAnyway: request.start_anyway,
    now,
    mocks: request.mocks,
    outputSchemaOf: (actionType, pluginId) => outputSchemaOf(catalogue, actionType, pluginId),
  })
  return {
    ...simulation,
    flow_id: flowId,
    version: isPublished ? version : null,
    now: now.toISOString(),
    steps: simulation.steps.map((step) => ({
      ...step,
      input: redact(step.input),
      output: redact(step.output),
    })),
    variables: redact(simulation.variables),
    problems,
  } as FlowTest
}

/** @throws `invalid_request` for a list of a step that is in no loop */
function checkLists({ steps }: CanonicalFlow, mocks: FlowTestRequest['mocks']): void {
  for (const [name, mock] of Object.entries(mocks)) {
    if (!Array.isArray(mock) || steps[name]?.loop !== null) continue
    throw unfit(`/mocks/${name}`, 'must be one mock, not a list: the step is in no loop')
  }
}

async function pastEvent(
  ctx: FlowContext,
  tenantId: string,
  { event_id: eventId = '', trigger, event, source, data, request }: FlowTestRequest,
): Promise<TestTrigger> {
  for (const [member, value] of Object.entries({ event, source, data, request })) {
    if (value !== undefined) throw unfit(`/${member}`, 'must not be given together with event_id')
  }
  const [row] = await selectEvents(ctx.db, tenantId, [eventId])
  // What was erased or has been cleared away can start nothing any more.
  if (row?.body == null) throw eventNotFound()
  const past = toEventScope(row)
  const { causation_depth: causationDepth } = row
  return { kind: 'event', id: trigger ?? null, data: past.data, event: past, causationDepth }
}

function outputSchemaOf(catalogue: FlowCatalogue, actionType: string, pluginId: string) {
  const resolution = catalogue.resolveAction(actionType, pluginId)
  return 'action' in resolution ? resolution.action.output_schema : null
}

function unfit(pointer: string, detail: string) {
  return invalidRequest(undefined, { errors: [{ pointer, detail }] })
}
