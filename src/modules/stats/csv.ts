import type { StatsTable } from '#infra/statistics/tables.ts'
import type { Stats } from './service.ts'

/** The beginning of a text that a spreadsheet would take for a formula. */
const FORMULA = /^[=+\-@\t\r]/

function cell(value: string | number | null): string {
  if (value === null) return ''
  if (typeof value === 'number') return String(value)
  const text = FORMULA.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

const LATENCY = ['p50_ms', 'p95_ms', 'p99_ms']
const QUEUE_AGE = LATENCY.map((name) => `queue_age_${name}`)

/** One line for each point, as RFC 4180; errors as `class=count`, separated by blanks. */
export function toCsv({ series }: Stats, { counts, queueBorders }: StatsTable): string {
  const columns = [...counts, ...LATENCY, ...(queueBorders === null ? [] : QUEUE_AGE)]
  const lines = [['t', 'key', ...columns, 'errors']]
  for (const { key, points } of series) {
    for (const { t, errors, ...figures } of points) {
      const values = columns.map((name) => figures[name] as number | null)
      const told = Object.entries(errors).map(([name, count]) => `${name}=${count}`)
      lines.push([t, key, ...values, told.join(' ')].map(cell))
    }
  }
  return lines.map((line) => `${line.join(',')}\r\n`).join('')
}
