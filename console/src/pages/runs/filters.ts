import type { Schema } from '../../api/client.ts'
import { sinceOf } from '../../kit/filters/period.ts'

type Status = Schema['Execution']['status']

/** The parameters of the address that choose runs. */
export const RUN_FILTERS = ['flow', 'status', 'period', 'key', 'reason', 'error_code', 'event_id'] as const
export const RUN_STATUSES: readonly Status[] = [
  'queued',
  'running',
  'waiting',
  'completed',
  'failed',
  'timed_out',
  'cancelled',
  'skipped',
]

export type RunFilter = Partial<
  Record<'flow' | 'key' | 'since' | 'reason' | 'error_code' | 'event_id', string>
> & {
  status?: Status
}

/** @param flow the only one, on its own page */
export function runFilter(query: URLSearchParams, flow?: string): RunFilter {
  const filter: Record<string, string> = {}
  for (const name of RUN_FILTERS) {
    const value = name === 'flow' ? (flow ?? query.get(name)) : query.get(name)
    if (name !== 'period' && value !== null) filter[name] = value
  }
  const since = sinceOf(query.get('period'))
  return { ...filter, ...(since !== undefined && { since }) }
}
