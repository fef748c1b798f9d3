import type { Test } from 'tap'
import type { CanonicalFlow, CanonicalStep } from '#lib/flow/types.ts'
import type { Simulation, SimulationRequest } from '#modules/flow-engine/index.ts'
import { newId } from '#lib/ids.ts'
import { snapshotTenant } from '#test/support/tenant-snapshot.ts'
import { DAY_MS, type Shop, step, type World } from '../support.ts'

const NOW = new Date('2030-01-01T12:00:00Z')

export type Given = Partial<Omit<SimulationRequest, 'flow' | 'trigger'>> & {
  data?: unknown
  event?: string
  trigger?: Partial<SimulationRequest['trigger']>
}

/** Starts the flow by an `order.created` unless told otherwise. */
export function requestOf(tenantId: string, flow: CanonicalFlow, given: Given = {}): SimulationRequest {
  const { data = {}, event = 'order.created', trigger, ...rest } = given
  return {
    tenantId,
    flowId: null,
    flowName: 'flow',
    version: 1,
    flow,
    startAnyway: false,
    now: NOW,
    mocks: {},
    outputSchemaOf: () => null,
    ...rest,
    trigger: {
      kind: 'event',
      id: null,
      data,
      event: { id: newId(), type: event, timestamp: NOW.toISOString(), source: 'platform', data },
      causationDepth: 0,
      ...trigger,
    },
  }
}

/** Simulates, and makes sure that no row of the tenant is another one afterwards. */
export async function simulateUnchanged(
  t: Test,
  world: World,
  shop: Shop,
  flow: CanonicalFlow,
  given: Given = {},
): Promise<Simulation> {
  const before = await snapshotTenant(shop.db, shop.tenant.id)
  const simulation = await world.app.flowEngine.simulate(requestOf(shop.tenant.id, flow, given))
  t.strictSame(await snapshotTenant(shop.db, shop.tenant.id), before, 'no row has changed')
  return simulation
}

/** Steps as `id port`, those of items as `id:index port`. */
export function path({ steps }: Simulation): string[] {
  return steps.map(
    ({ step_id, iteration, port, status }) =>
      `${step_id}${iteration === '' ? '' : `:${iteration}`} ${port ?? status}`,
  )
}

export function stop(reason: string | null = null): CanonicalStep {
  return step({ type: 'stop', config: { outcome: 'stopped', reason }, next: {} })
}

/** Waits a day for the payment of the order that the trigger names. */
export function waitPaid(received: string, timeout: string, loop: string | null = null): CanonicalStep {
  const any = [{ event: 'order.paid', match: { order_id: '{{trigger.order_id}}' }, filter: null }]
  return step({
    type: 'wait_event',
    config: { any, timeout_ms: DAY_MS, look_back_ms: 0 },
    next: { received, timeout },
    loop,
  })
}
