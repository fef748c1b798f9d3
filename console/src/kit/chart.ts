/** A line or a part of the bars of a chart. */
export interface ChartSeries {
  label: string
  values: readonly (number | null)[]
  /** The variable of the theme that it is drawn in. */
  color: '--accent' | '--good' | '--warn' | '--bad' | '--info'
}

/** Returns the heights at which a series is drawn: bars stand on those of the series before. */
export function stacked(series: readonly ChartSeries[]): (number | null)[][] {
  const sums: (number | null)[][] = []
  for (const [index, { values }] of series.entries()) {
    sums.push(values.map((value, at) => (value ?? 0) + (sums[index - 1]?.[at] ?? 0)))
  }
  return sums
}

/** The beginning of a text that a spreadsheet would take for a formula. */
const FORMULA = /^[=+\-@\t\r]/

function cell(value: string | number | null): string {
  if (value === null) return ''
  if (typeof value === 'number') return String(value)
  const text = FORMULA.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

export function csvOf(times: readonly number[], series: readonly ChartSeries[]): string {
  const lines = times.map((time, at) => [
    new Date(time * 1_000).toISOString(),
    ...series.map(({ values }) => values[at] ?? null),
  ])
  return tableCsv([['t', ...series.map(({ label }) => label)], ...lines])
}

/** A table as RFC 4180 has it, the head first. */
export function tableCsv(rows: readonly (readonly (string | number | null)[])[]): string {
  return rows.map((row) => `${row.map(cell).join(',')}\r\n`).join('')
}
