/** What is counted, of whatever measure. */
export type Count =
  | 'sent'
  | 'first_try'
  | 'retried'
  | 'completed'
  | 'cancelled'
  | 'timed_out'
  | 'succeeded'
  | 'accepted'
  | 'failed'

export interface Figures extends Partial<Record<Count, number>> {
  p50_ms: number | null
  p95_ms: number | null
  p99_ms: number | null
  /** Of deliveries and runs alone. */
  queue_age_p50_ms?: number | null
  queue_age_p95_ms?: number | null
  queue_age_p99_ms?: number | null
  errors: Readonly<Record<string, number>>
}

export interface Point extends Figures {
  t: string
}

export interface Series {
  key: string
  label: string | null
  totals: Figures
  points: readonly Point[]
}

/** Figures over time as the service answers them, of deliveries, of runs and of actions alike. */
export interface Stats {
  since: string
  until: string
  step: keyof typeof SECONDS
  series: readonly Series[]
}

const SECONDS = { '1m': 60, '5m': 300, '1h': 3_600, '1d': 86_400 } as const

/** The beginning of every step, in epoch seconds. */
export function timesOf({ since, until, step }: Stats): number[] {
  const seconds = SECONDS[step]
  const from = Date.parse(since) / 1_000
  return Array.from(
    { length: Math.max(0, (Date.parse(until) / 1_000 - from) / seconds) },
    (_, index) => from + index * seconds,
  )
}

/** A number for each step: `empty` for those in which nothing happened. */
export function valuesOf<Empty extends 0 | null>(
  series: Series | undefined,
  times: readonly number[],
  read: (point: Point) => number | null | undefined,
  empty: Empty,
): (number | Empty)[] {
  const points = new Map(series?.points.map((point) => [Date.parse(point.t) / 1_000, point]))
  return times.map((time) => {
    const point = points.get(time)
    return (point === undefined ? null : read(point)) ?? empty
  })
}

/** What is counted as good and as bad of a measure. */
interface Ends {
  good: Count
  bad: readonly Count[]
}

/** Returns how many came to no good end. */
function badOf(figures: Figures, { bad }: Pick<Ends, 'bad'>): number {
  return bad.reduce((sum, count) => sum + (figures[count] ?? 0), 0)
}

function shareOf(part: number, figures: Figures, ends: Ends): number | null {
  const ended = (figures[ends.good] ?? 0) + badOf(figures, ends)
  return ended === 0 ? null : part / ended
}

/** Of what has ended, the share that ended well; null while nothing has. */
export function successOf(figures: Figures, ends: Ends): number | null {
  return shareOf(figures[ends.good] ?? 0, figures, ends)
}

export function firstTryOf(figures: Figures, ends: Ends): number | null {
  return shareOf(figures.first_try ?? 0, figures, ends)
}

/** Error classes or codes, the most frequent first. */
export function errorsOf({ errors }: Figures): [string, number][] {
  return Object.entries(errors).sort((a, b) => b[1] - a[1])
}
