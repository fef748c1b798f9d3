import { allowsHost } from '#lib/connection-hosts.ts'
import { type CatalogueEventType, type FlowCatalogue, toCatalogueAction } from '#lib/flow/index.ts'
import { CATALOGUE } from '#modules/event/index.ts'
import type { FlowContext } from '../context.ts'
import { selectNames } from '#modules/variable/index.ts'
import { selectEventTypes } from '../repository.ts'

export type CatalogueContext = Pick<FlowContext, 'db' | 'registry' | 'connections' | 'egress' | 'platform'>

/** Loads what flows of the tenant can use, as of now. */
export async function loadCatalogue(
  { db, registry, connections, egress, platform }: CatalogueContext,
  tenantId: string,
): Promise<FlowCatalogue> {
  const [snapshot, { strict, types }, named, variables, hasPlatform] = await Promise.all([
    registry.snapshot(tenantId),
    selectEventTypes(db, tenantId),
    connections.named(tenantId, db),
    selectNames(db, tenantId),
    platform.isConfigured(tenantId),
  ])
  const ofPlatform = [...CATALOGUE].map(([name, { schema }]) => [name, { schema, plugin_id: null }] as const)
  const ofTenant = types.map(({ name, ...type }) => [name, type] as const)
  return {
    strictEvents: strict,
    eventTypes: new Map<string, CatalogueEventType>([...ofTenant, ...ofPlatform]),
    variables,
    hasPlatform,
    connections: new Map(
      [...named].map(([name, { kind, hosts }]) => [
        name,
        { kind, hosts, allows: (url) => allowsHost(hosts, url) },
      ]),
    ),
    urlFault: (url) => egress.checkText(url)?.detail ?? null,
    resolvePlugin: (ref) => snapshot.plugin(ref),
    resolveAction: (actionType, pluginRef) => {
      const resolution = snapshot.resolve(actionType, pluginRef)
      return 'action' in resolution ? { action: toCatalogueAction(resolution.action) } : resolution
    },
  }
}
