/** Counts by classes whose borders grow by the same factor. */
export type Histogram = readonly number[]

export const HISTOGRAM_CLASSES = 24

/** The borders of the classes in milliseconds: class `i` takes what is at most `borders[i]`, the last one all else. */
export type Borders = readonly number[]

function borders(fromMs: number, toMs: number): Borders {
  const last = HISTOGRAM_CLASSES - 2
  return Array.from({ length: last + 1 }, (_, index) => fromMs * (toMs / fromMs) ** (index / last))
}

/** Of requests: 1 ms to 60 s. */
export const REQUEST_BORDERS = borders(1, 60_000)
/** Of executions, which may wait: 10 ms to 30 days. */
export const RUN_BORDERS = borders(10, 30 * 86_400_000)
/** Of what waits in a queue, be its plugin paused: as of executions. */
export const QUEUE_BORDERS = RUN_BORDERS

export function emptyHistogram(): number[] {
  return new Array<number>(HISTOGRAM_CLASSES).fill(0)
}

/** The class that takes `ms`. */
export function classOf(bordersMs: Borders, ms: number): number {
  let low = 0
  let high = bordersMs.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (ms <= (bordersMs[middle] ?? Infinity)) high = middle
    else low = middle + 1
  }
  return low
}

/** Adds `other` to `histogram`, in place. */
export function mergeInto(histogram: number[], other: Histogram): void {
  for (let index = 0; index < HISTOGRAM_CLASSES; index++) {
    histogram[index] = (histogram[index] ?? 0) + (other[index] ?? 0)
  }
}

export function totalOf(histogram: Histogram): number {
  return histogram.reduce((sum, count) => sum + count, 0)
}

/**
 * Returns the value, in whole milliseconds, that `share` (0 to 1) of the values do not exceed: as exact as the class
 * it falls into, within which values are taken to lie evenly by their logarithm. Beyond the last border that border
 * is given. Null: there are none.
 */
export function percentile(bordersMs: Borders, histogram: Histogram, share: number): number | null {
  const total = totalOf(histogram)
  if (total === 0) return null
  const wanted = Math.max(share * total, Number.MIN_VALUE)
  let seen = 0
  for (const [index, count] of histogram.entries()) {
    if (count === 0) continue
    if (seen + count >= wanted) return Math.round(within(bordersMs, index, (wanted - seen) / count))
    seen += count
  }
  return Math.round(bordersMs.at(-1) ?? 0)
}

function within(bordersMs: Borders, index: number, part: number): number {
  const last = bordersMs.length - 1
  const upper = bordersMs[Math.min(index, last)] ?? 0
  if (index === 0) return upper * part
  if (index > last) return upper
  const lower = bordersMs[index - 1] ?? 0
  return lower * (upper / lower) ** part
}
