import { api, ask, type Schema } from '../../api/client.ts'
import type { RunFilter } from './filters.ts'

export type BulkKind = 'cancel' | 'retry'

export interface BulkOutcome {
  done: number
  refused: readonly { reason: string; count: number }[]
  remaining: number
  jobId: string | null
  cursor: string | null
}

type Choice = Omit<RunFilter, 'status'> & { status?: string[] }

const MAY: Readonly<Record<BulkKind, readonly string[]>> = {
  cancel: ['queued', 'waiting', 'running'],
  retry: ['failed', 'timed_out', 'cancelled', 'skipped'],
}

/** What a bulk change is told of the list's filter; null: nothing that the list shows can be changed so. */
export function bulkChoice(kind: BulkKind, { status, ...filter }: RunFilter): Choice | null {
  if (status === undefined) return filter
  return MAY[kind].includes(status) ? { ...filter, status: [status] } : null
}

/** What several calls came to. */
export function together(before: BulkOutcome | null, { refused, ...now }: BulkOutcome): BulkOutcome {
  if (before === null) return { refused, ...now }
  const counts = new Map(before.refused.map(({ reason, count }) => [reason, count]))
  for (const { reason, count } of refused) counts.set(reason, (counts.get(reason) ?? 0) + count)
  return {
    ...now,
    done: before.done + now.done,
    refused: [...counts].map(([reason, count]) => ({ reason, count })),
  }
}

/** @param options `dry_run` counts; `cursor`: where a call before stopped */
export async function changeAll(
  kind: BulkKind,
  choice: Choice,
  options: { dry_run?: boolean; cursor?: string; from?: string; version?: 'same' | 'latest' } = {},
): Promise<BulkOutcome> {
  if (kind === 'cancel') {
    const { dry_run } = options
    const body = { ...choice, ...(dry_run !== undefined && { dry_run }) } as Schema['BulkCancelInput']
    const { cancelled, remaining, job_id } = await ask(
      api.POST('/api/automation/executions/cancel', { body }),
    )
    return { done: cancelled, refused: [], remaining, jobId: job_id, cursor: null }
  }
  const body = { ...choice, ...options } as Schema['BulkRetryInput']
  const answer = await ask(api.POST('/api/automation/executions/retry', { body }))
  const { retried, refused, remaining, job_id: jobId, next_cursor: cursor } = answer
  return { done: retried, refused, remaining, jobId, cursor }
}
