import type { CatalogueEventType, FlowCatalogue } from '#lib/flow/index.ts'
import { allowsHost } from '#modules/connection/index.ts'
import { CATALOGUE } from '#modules/event/index.ts'
import type { RegistryAction } from '#modules/registry/index.ts'
import type { FlowContext } from '../context.ts'
import { selectNames } from '#modules/variable/index.ts'
import { selectEventTypes } from '../repository.ts'

/** What the platform announces of its own actions. `update_order_status` announces the status that it is given. */
const EMITTED_BY_PLATFORM: Readonly<Record<string, readonly string[]>> = {
  create_product: ['product.created'],
  update_product: ['product.updated'],
  delete_product: ['product.deleted'],
  create_customer: ['customer.created'],
  update_customer: ['customer.updated'],
  create_order: ['order.created'],
}

export type CatalogueContext = Pick<FlowContext, 'db' | 'registry' | 'connections' | 'egress'>

/** What flows of the tenant can use, as of now. */
export async function loadCatalogue(
  { db, registry, connections, egress }: CatalogueContext,
  tenantId: string,
): Promise<FlowCatalogue> {
  const [snapshot, { strict, types }, hosts, variables] = await Promise.all([
    registry.snapshot(tenantId),
    selectEventTypes(db, tenantId),
    connections.hosts(tenantId, db),
    selectNames(db, tenantId),
  ])
  const ofPlatform = [...CATALOGUE].map(([name, { schema }]) => [name, { schema, plugin_id: null }] as const)
  const ofTenant = types.map(({ name, ...type }) => [name, type] as const)
  return {
    strictEvents: strict,
    eventTypes: new Map<string, CatalogueEventType>([...ofTenant, ...ofPlatform]),
    variables,
    connections: new Map(
      [...hosts].map(([name, allowed]) => [
        name,
        { hosts: allowed, allows: (url) => allowsHost(allowed, url) },
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

function toCatalogueAction(action: RegistryAction) {
  const emits = action.source === 'platform' ? EMITTED_BY_PLATFORM[action.action_type] : undefined
  return { ...action, emits: emits ?? [] }
}
