import type { Schema } from '../../api/client.ts'
import type { paths } from '../../api/schema.d.ts'
import { sinceOf } from '../../kit/filters/period.ts'
import { router } from '../../router.svelte.ts'

export type DeliveryQuery = NonNullable<paths['/api/plugins/events']['get']['parameters']['query']>
export type Delivery = Schema['Delivery']
export type RetryChoice = Schema['NewDeliveryRetry']

export const DELIVERY_STATUSES = ['pending', 'sent', 'retry', 'failed'] as const
/** Filters that stand in the first place, and those behind "More filters". */
const FIRST = ['plugin', 'event', 'status', 'period'] as const
export const MORE = ['error_class', 'response_status', 'reason', 'event_id'] as const
export const FILTERS = [...FIRST, ...MORE]
type Filter = (typeof FILTERS)[number]
export type Chosen = Partial<Record<Filter, string>>

/** What the address narrows the log to, and what its place on a page fixes. */
export function chosenFilters(fixed: Chosen): Chosen {
  const given = FILTERS.map((name) => [name, router.query.get(name)] as const)
  return { ...Object.fromEntries(given.filter(([, value]) => value !== null && value !== '')), ...fixed }
}

export function queryOf({ period, ...others }: Chosen, cursor?: string): DeliveryQuery {
  const since = sinceOf(period ?? null)
  return {
    ...(others as DeliveryQuery),
    ...(since !== undefined && { since }),
    ...(cursor !== undefined && { cursor }),
  }
}

/** What a retry of many is told of the filters; null: what they take is not to be retried, but sent anew. */
export function retryChoice({ status, period, ...others }: Chosen): RetryChoice | null {
  if (status !== 'failed' && status !== 'retry') return null
  const since = sinceOf(period ?? null)
  return { ...(others as RetryChoice), status: [status], ...(since !== undefined && { since }) }
}
