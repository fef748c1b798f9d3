import { audit } from '#infra/audit.ts'
import type { Actor } from '#infra/auth/auth.ts'
import { now } from '#lib/clock.ts'
import { loadCatalogue } from '../definition/catalogue.ts'
import type { FlowContext } from '../context.ts'
import { definitionOf, isObject, parseDefinition, summariseTriggers } from '../definition/definition.ts'
import { flowExportUnknown } from '../errors.ts'
import { findFlow } from '../repository.ts'
import { makePortable, missingOf, type Requirements, requirementsOf } from './requirements.ts'
import { found, type FlowRef } from '../lifecycle/revision.ts'
import { createFlow } from '../service.ts'
import type { Flow } from '../view.ts'

const EXPORT_FORMAT = 'bettercallsold.flow'
/** Raised when an older service could not read what is exported. */
const EXPORT_VERSION = 1

export interface FlowExport {
  format: string
  format_version: number
  exported_at?: string | Date
  name?: string
  definition: Record<string, unknown>
  requires?: unknown
}

/** A flow's draft with nothing in it that is of one tenant alone. */
export interface PortableFlow {
  name: string
  /** Plugins by their slugs. */
  definition: Record<string, unknown>
  /** Event types that start it. */
  starts: string[]
  requires: Requirements
}

/** @throws `flow_not_found` */
export async function portableFlow(
  ctx: FlowContext,
  { tenantId, id }: Pick<FlowRef, 'tenantId' | 'id'>,
): Promise<PortableFlow> {
  const row = found(await findFlow(ctx.db, tenantId, id))
  const definition = parseDefinition(row.definition)
  const snapshot = await ctx.registry.snapshot(tenantId)
  makePortable(definition.value, (pluginId) => snapshot.plugin(pluginId)?.slug)
  const starts = summariseTriggers(definition).flatMap(({ event_types = [] }) => event_types)
  return {
    name: row.name,
    definition: definition.value,
    starts: [...new Set(starts)],
    requires: requirementsOf(definition),
  }
}

/** The draft as a document that says all that is needed to use it in another tenant. */
export async function exportFlow(ctx: FlowContext, actor: Actor, { tenantId, id }: FlowRef) {
  const { name, definition, requires } = await portableFlow(ctx, { tenantId, id })
  await audit(ctx.db, actor, {
    tenantId,
    action: 'flow.exported',
    targetKind: 'flow',
    targetId: id,
    detail: { name },
  })
  return {
    format: EXPORT_FORMAT,
    format_version: EXPORT_VERSION,
    exported_at: new Date(now()),
    name,
    definition,
    requires,
  }
}

/**
 * A draft of what was exported, and what it needs that is not there.
 * @throws `flow_export_unknown`, `invalid_request`, `too_many_flows`
 */
export async function importFlow(
  ctx: FlowContext,
  actor: Actor,
  tenantId: string,
  document: FlowExport,
): Promise<Flow & { missing: Requirements }> {
  const { format, format_version: version, definition } = document
  if (format !== EXPORT_FORMAT || version > EXPORT_VERSION || !isObject(definition)) throw flowExportUnknown()
  const draft = definitionOf({ ...definition, status: 'draft' })
  const flow = await createFlow(ctx, actor, tenantId, draft)
  const missing = missingOf(requirementsOf(draft), await loadCatalogue(ctx, tenantId))
  return { ...flow, missing }
}
