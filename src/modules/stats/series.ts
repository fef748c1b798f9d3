import type { StatsCell } from '#infra/statistics/read-repository.ts'
import type { StatsTable } from '#infra/statistics/tables.ts'
import { type Borders, emptyHistogram, mergeInto, percentile } from '#lib/histogram.ts'

/** The key of all that have no series of their own. */
export const OTHER = 'other'

export interface Figures {
  /** The counts of the table, by their names. */
  [count: string]: unknown
  p50_ms: number | null
  p95_ms: number | null
  p99_ms: number | null
  /** Left out where it is not kept. */
  queue_age_p50_ms?: number | null
  queue_age_p95_ms?: number | null
  queue_age_p99_ms?: number | null
  errors: Record<string, number>
}

/** The figures of one step in time, which begins at `t`. */
export interface Point extends Figures {
  t: string
}

export interface FoldedSeries {
  /** Null: all that have none of their own. */
  key: string | null
  size: number
  totals: Figures
  points: Point[]
}

class Sum {
  readonly counts: number[]
  readonly latency = emptyHistogram()
  readonly queueAge = emptyHistogram()
  readonly errors: Record<string, number> = {}

  constructor(size: number) {
    this.counts = new Array<number>(size).fill(0)
  }

  add(cell: StatsCell): void {
    for (const [index, count] of cell.counts.entries()) this.counts[index] = (this.counts[index] ?? 0) + count
    mergeInto(this.latency, cell.latency)
    if (cell.queueAge.length > 0) mergeInto(this.queueAge, cell.queueAge)
    for (const [detail, count] of Object.entries(cell.details)) {
      this.errors[detail] = (this.errors[detail] ?? 0) + count
    }
  }

  figures({ counts, borders, queueBorders }: StatsTable): Figures {
    const figures = Object.fromEntries(counts.map((name, index) => [name, this.counts[index] ?? 0]))
    const at = (share: number): number | null => percentile(borders, this.latency, share)
    const latency = { p50_ms: at(0.5), p95_ms: at(0.95), p99_ms: at(0.99) }
    return { ...figures, ...latency, ...this.#queueAge(queueBorders), errors: this.errors }
  }

  #queueAge(queueBorders: Borders | null): Partial<Figures> {
    if (queueBorders === null) return {}
    const at = (share: number): number | null => percentile(queueBorders, this.queueAge, share)
    return { queue_age_p50_ms: at(0.5), queue_age_p95_ms: at(0.95), queue_age_p99_ms: at(0.99) }
  }
}

/** Cells as series, the largest first. A step in which nothing happened has no point. */
export function foldSeries(
  table: StatsTable,
  cells: readonly StatsCell[],
  weight: readonly string[],
): FoldedSeries[] {
  const weights = weight.map((name) => table.counts.indexOf(name))
  const series = new Map<string | null, { total: Sum; steps: Map<number, Sum> }>()
  const empty = (): Sum => new Sum(table.counts.length)
  for (const cell of cells) {
    const one = series.get(cell.key) ?? { total: empty(), steps: new Map<number, Sum>() }
    series.set(cell.key, one)
    const step = one.steps.get(cell.t) ?? empty()
    one.steps.set(cell.t, step)
    step.add(cell)
    one.total.add(cell)
  }
  return [...series]
    .map(([key, { total, steps }]) => ({
      key,
      size: weights.reduce((sum, index) => sum + (total.counts[index] ?? 0), 0),
      totals: total.figures(table),
      points: [...steps].map(([t, step]) => ({
        t: new Date(t * 1_000).toISOString(),
        ...step.figures(table),
      })),
    }))
    .sort((a, b) => Number(a.key === null) - Number(b.key === null) || b.size - a.size)
}
