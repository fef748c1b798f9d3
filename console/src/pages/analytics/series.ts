import type { Schema } from '../../api/client.ts'

export type DeliveryStats = Schema['DeliveryStats']
export type Series = DeliveryStats['series'][number]
export type Figures = Series['totals']
type Point = Series['points'][number]

const SECONDS = { '1m': 60, '5m': 300, '1h': 3_600, '1d': 86_400 } as const

/** The beginning of every step, in epoch seconds. */
export function timesOf({ since, until, step }: DeliveryStats): number[] {
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
  read: (point: Point) => number | null,
  empty: Empty,
): (number | Empty)[] {
  const points = new Map(series?.points.map((point) => [Date.parse(point.t) / 1_000, point]))
  return times.map((time) => {
    const point = points.get(time)
    return (point === undefined ? null : read(point)) ?? empty
  })
}

/** Of the deliveries that have ended: the share that arrived; null while none has. */
export function successOf({ sent, failed }: Figures): number | null {
  return sent + failed === 0 ? null : sent / (sent + failed)
}

export function firstTryOf({ sent, failed, first_try: firstTry }: Figures): number | null {
  return sent + failed === 0 ? null : firstTry / (sent + failed)
}

/** Error classes, the most frequent first. */
export function errorsOf({ errors }: Figures): [string, number][] {
  return Object.entries(errors).sort((a, b) => b[1] - a[1])
}
