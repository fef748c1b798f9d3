import type { Actor } from '#infra/auth/auth.ts'
import { type CompileResult, definitionFormat } from '#lib/flow/index.ts'
import type { FlowFormat, FlowProblem } from '#lib/flow/index.ts'
import type { TriggerStates } from '#modules/flow-trigger/index.ts'
import { compile, isSameVersion } from './definition/compile.ts'
import type { FlowContext } from './context.ts'
import { parseDefinition, redactedText } from './definition/definition.ts'
import type { FlowHead, FlowRow } from './repository.ts'
import type { FlowSummary } from './schemas.ts'
import { findVersion } from './versions/repository.ts'

/** A flow as the API shows it, with its definition as text. */
export interface Flow extends FlowSummary, TriggerStates {
  format: FlowFormat
  has_unpublished_changes: boolean
  /** Of the draft, as of now. */
  problems: FlowProblem[]
  definitionText: string
}

/** @param compiled what its draft compiles to, if that is known */
export async function viewFlow(
  ctx: FlowContext,
  actor: Actor,
  row: FlowRow,
  compiled?: CompileResult,
): Promise<Flow> {
  const { definition: definitionText, ...rest } = row
  const head = withoutKey(rest)
  const { tenant_id: tenantId, id, published_version: version } = head
  const definition = parseDefinition(definitionText)
  const [{ flow, problems }, published, states] = await Promise.all([
    compiled ?? compile(ctx, tenantId, definition.value),
    version === null ? undefined : findVersion(ctx.db, tenantId, id, version),
    ctx.triggers.describe(ctx.db, tenantId, [id]),
  ])
  const { schedules, inlets } = states.get(id) ?? { schedules: [], inlets: [] }
  return {
    ...viewHead(head),
    format: definitionFormat(definition.value),
    has_unpublished_changes:
      published !== undefined && (flow === null || !isSameVersion(flow, published.flow)),
    problems,
    schedules,
    inlets: mayEdit(actor) ? inlets : inlets.map((inlet) => ({ ...inlet, url: null })),
    definitionText: mayEdit(actor) ? definitionText : redactedText(definitionText),
  }
}

/** Leaves out the key that only tells installations apart. */
function withoutKey({ template_key: _key, ...head }: Omit<FlowRow, 'definition'>): FlowHead {
  return head
}

export function viewHead({
  tenant_id: _tenant,
  deleted_at: _deleted,
  failing_since: _failing,
  ...head
}: FlowHead): FlowSummary {
  return head
}

/** The flow as JSON has it. */
export function flowBody({ definitionText, ...flow }: Flow): Record<string, unknown> {
  return { ...flow, definition: parseDefinition(definitionText).value }
}

export function mayEdit({ role }: Actor): boolean {
  return role !== null && role !== 'viewer'
}
