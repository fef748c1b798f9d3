import type { WaitEventStep } from '#lib/flow/steps/wait-event.ts'
import { DAY_MS, type Shop, step } from '../support.ts'

/** Waits a day for the payment of the order that started the flow, unless `config` says otherwise. */
export function waitEvent(
  config: Partial<WaitEventStep['config']>,
  rest: { loop?: string; received?: string } = {},
) {
  return step({
    type: 'wait_event',
    config: {
      any: [{ event: 'order.paid', match: { order_id: '{{trigger.order_id}}' }, filter: null }],
      timeout_ms: DAY_MS,
      look_back_ms: 0,
      ...config,
    },
    next: { received: rest.received ?? 'end', timeout: 'end' },
    loop: rest.loop ?? null,
  })
}

export async function lastStep(shop: Shop, flow: string) {
  const [execution] = await shop.executions(flow)
  return (await shop.steps(execution?.id ?? '')).at(-1)
}

export async function waitsLeft(shop: Shop): Promise<number> {
  const rows = await shop.db
    .selectFrom('automation_waits')
    .select('step_id')
    .where('tenant_id', '=', shop.tenant.id)
    .execute()
  return rows.length
}
