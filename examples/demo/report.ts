import { type Account, attemptsOf, countByStatus, type PluginAccount } from './account.ts'
import type { Api, DeliveryDetail, Plugin } from './api.ts'

const HEADINGS = [
  'plugin',
  'endpoint',
  'events',
  'sent',
  'retry',
  'pending',
  'failed',
  'attempts',
  'p50 ms',
  'p95 ms',
  'verified',
]
/** Words; the rest are figures. */
const LEFT_ALIGNED = 2

/** One row for each plugin; latency is from the event's post to its arrival, time in the queue included. */
export function renderTable({ plugins }: Account): string[] {
  const rows = [HEADINGS, ...plugins.map(rowOf)]
  const widths = HEADINGS.map((_heading, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const lines = rows.map((row) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0
        return column < LEFT_ALIGNED ? cell.padEnd(width) : cell.padStart(width)
      })
      .join('  '),
  )
  lines.splice(1, 0, widths.map((width) => '-'.repeat(width)).join('  '))
  return lines
}

function rowOf({ plugin, wanted, deliveries, arrivals, latencies }: PluginAccount): string[] {
  const { sent, retry, pending, failed } = countByStatus(deliveries)
  const verified = arrivals.filter((arrival) => arrival.verified).length
  return [
    plugin.slug,
    plugin.endpoint,
    ...[wanted.length, sent, retry, pending, failed, attemptsOf(deliveries)].map(String),
    percentile(latencies, 0.5),
    percentile(latencies, 0.95),
    arrivals.length === 0 ? '-' : `${verified}/${arrivals.length}`,
  ]
}

/** Of values in ascending order. */
function percentile(values: readonly number[], share: number): string {
  const value = values[Math.max(0, Math.ceil(values.length * share) - 1)]
  return value === undefined ? '-' : value.toFixed(0)
}

/** What went wrong for a plugin, as its owner can read it from the API. */
export async function explain(api: Api, { plugin, deliveries }: PluginAccount): Promise<string[]> {
  const [tried] = deliveries.toSorted((a, b) => b.attempt_count - a.attempt_count)
  if (tried === undefined) return []
  const { attempts } = await api.get<DeliveryDetail>(`/api/plugins/events/${tried.id}`)
  const { health, waiting } = await api.get<Plugin>(`/api/plugins/${plugin.slug}`)
  return [
    `What went wrong for ${plugin.slug}:`,
    ...attempts.map(
      ({ number, error_class, error_detail }) =>
        `  ${tried.event}, attempt ${number}: ${error_class} (${error_detail})`,
    ),
    `  ${health.consecutive_failures} failures in a row, so its circuit breaker is ${health.breaker}: ` +
      `${waiting} deliveries wait without wasting attempts, and go out once it answers.`,
    '  The service said so by the event plugin.failing, which mailer received.',
  ]
}
