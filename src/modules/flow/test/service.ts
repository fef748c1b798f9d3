import { audit } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { invalidRequest } from '#infra/http/problems.ts'
import { now as currentTime } from '#lib/clock.ts'
import type { CanonicalFlow, FlowCatalogue, FlowProblem } from '#lib/flow/index.ts'
import { redact } from '#lib/secrets/redact.ts'
import { isPlainObject } from '#lib/schema/safe/shape.ts'
import { parseTime } from '#lib/time.ts'
import { eventNotFound, selectEvents } from '#modules/event/index.ts'
import { type SimulationRequest, toEventScope } from '#modules/flow-engine/index.ts'
import { loadCatalogue } from '../definition/catalogue.ts'
import { compile, compileUntil } from '../definition/compile.ts'
import type { FlowContext } from '../context.ts'
import { parseDefinition } from '../definition/definition.ts'
import { flowVersionNotFound, invalidFlow } from '../errors.ts'
import { findFlow } from '../repository.ts'
import { found, type FlowRef } from '../lifecycle/revision.ts'
import type { FlowTest, FlowTestRequest } from './schemas.ts'
import { sampleTrigger, type TestTrigger } from './trigger.ts'

/** The flow that is tested. */
export interface Subject {
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
  return run(ctx, actor, tenantId, await subjectOf(ctx, tenantId, id, request), request)
}

/** The same for a definition that is not stored. @throws `event_not_found`, `flow_invalid`, `invalid_request` */
export async function testDefinition(
  ctx: FlowContext,
  actor: Actor,
  tenantId: string,
  { definition, ...request }: FlowTestRequest & { definition: Record<string, unknown> },
): Promise<FlowTest> {
  const compiled = await compiledSubject(ctx, tenantId, definition, request.until)
  const name = typeof definition['name'] === 'string' ? definition['name'] : ''
  return run(
    ctx,
    actor,
    tenantId,
    { ...compiled, flowId: null, name, version: 1, isPublished: false },
    request,
  )
}

/** @throws `flow_not_found`, `flow_version_not_found`, `flow_invalid`, `invalid_request` */
export async function subjectOf(
  ctx: FlowContext,
  tenantId: string,
  id: string,
  { definition, version, until }: Pick<FlowTestRequest, 'definition' | 'version' | 'until'>,
): Promise<Subject> {
  if (definition !== undefined && version !== undefined) {
    throw unfit('/version', 'must not be given together with definition')
  }
  const row = found(await findFlow(ctx.db, tenantId, id))
  const head = { flowId: id, name: row.name }
  if (version !== undefined) {
    const program = await ctx.engine.findProgram(tenantId, id, version)
    if (program === null) throw flowVersionNotFound()
    return { ...head, version, isPublished: true, flow: program.flow, problems: [] }
  }
  const draft = definition ?? parseDefinition(row.definition).value
  const compiled = await compiledSubject(ctx, tenantId, draft, until)
  return { ...head, ...compiled, version: (row.published_version ?? 0) + 1, isPublished: false }
}

/** @throws `flow_invalid` */
async function compiledSubject(
  ctx: FlowContext,
  tenantId: string,
  definition: unknown,
  until?: string,
): Promise<Pick<Subject, 'flow' | 'problems'>> {
  const isCut = until !== undefined && isPlainObject(definition)
  const { flow, problems } = isCut
    ? await compileUntil(ctx, tenantId, definition, until)
    : await compile(ctx, tenantId, definition)
  if (flow === null) throw invalidFlow(problems)
  return { flow, problems }
}

async function run(
  ctx: FlowContext,
  actor: Actor,
  tenantId: string,
  subject: Subject,
  request: FlowTestRequest,
): Promise<FlowTest> {
  const { flowId, version, isPublished, flow, problems } = subject
  const nowMs = request.now === undefined ? currentTime() : parseTime(String(request.now))
  if (nowMs === null) throw unfit('/now', 'must be a time that exists')
  const now = new Date(nowMs)
  await noteTest(ctx, actor, tenantId, subject, { event_id: request.event_id ?? null })
  const catalogue = await loadCatalogue(ctx, tenantId)
  checkLists(flow, request.mocks)
  if (request.until !== undefined && flow.steps[request.until] === undefined) {
    throw unfit('/until', 'must be the id of a step of the flow')
  }
  const trigger =
    request.event_id === undefined
      ? await sampleTrigger(flow, request, catalogue, now)
      : await pastEvent(ctx, tenantId, request)
  const simulation = await ctx.engine.simulate(
    simulationOf(tenantId, subject, request, { catalogue, trigger, now }),
  )
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

/** Says in the audit log that a flow was tested. */
export async function noteTest(
  ctx: FlowContext,
  actor: Actor,
  tenantId: string,
  { flowId, name }: Subject,
  detail: Record<string, unknown>,
): Promise<void> {
  await audit(ctx.db, actor, {
    tenantId,
    action: 'flow.tested',
    targetKind: 'flow',
    targetId: flowId ?? 'new',
    detail: { name, ...detail },
  })
}

/** Returns what the engine is to go through, with a trigger at a time. */
export function simulationOf(
  tenantId: string,
  { flowId, name, version, flow }: Subject,
  { start_anyway: startAnyway, mocks, until }: Pick<FlowTestRequest, 'start_anyway' | 'mocks' | 'until'>,
  { catalogue, trigger, now }: { catalogue: FlowCatalogue; trigger: TestTrigger; now: Date },
): SimulationRequest {
  return {
    tenantId,
    flowId,
    flowName: name,
    version,
    flow,
    trigger,
    startAnyway,
    now,
    mocks,
    ...(until !== undefined && { until }),
    outputSchemaOf: (actionType, pluginId) => outputSchemaOf(catalogue, actionType, pluginId),
  }
}

/** @throws `invalid_request` for a list of a step that is in no loop */
export function checkLists({ steps }: CanonicalFlow, mocks: FlowTestRequest['mocks']): void {
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
  const past = row === undefined ? null : eventTrigger(row, trigger)
  if (past === null) throw eventNotFound()
  return past
}

type StoredEvent = Awaited<ReturnType<typeof selectEvents>>[number]

/** Null for what was erased or has been cleared away: it can start nothing any more. */
export function eventTrigger(row: StoredEvent, trigger: string | undefined): TestTrigger | null {
  if (row.body === null) return null
  const past = toEventScope(row)
  return {
    kind: 'event',
    id: trigger ?? null,
    data: past.data,
    event: past,
    causationDepth: row.causation_depth,
  }
}

function outputSchemaOf(catalogue: FlowCatalogue, actionType: string, pluginId: string) {
  const resolution = catalogue.resolveAction(actionType, pluginId)
  return 'action' in resolution ? resolution.action.output_schema : null
}

function unfit(pointer: string, detail: string) {
  return invalidRequest(undefined, { errors: [{ pointer, detail }] })
}
