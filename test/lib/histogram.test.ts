import fc from 'fast-check'
import t from 'tap'
import {
  classOf,
  emptyHistogram,
  HISTOGRAM_CLASSES,
  mergeInto,
  percentile,
  REQUEST_BORDERS,
  RUN_BORDERS,
  totalOf,
} from '#lib/histogram.ts'

const durations = fc.array(fc.double({ min: 0, max: 120_000, noNaN: true }), { maxLength: 200 })
const borders = fc.constantFrom(REQUEST_BORDERS, RUN_BORDERS)

function histogramOf(of: readonly number[], values: readonly number[]): number[] {
  const histogram = emptyHistogram()
  for (const value of values) {
    const index = classOf(of, value)
    histogram[index] = (histogram[index] ?? 0) + 1
  }
  return histogram
}

t.test('borders grow from the first to the last, one for each class but the last', (t) => {
  for (const list of [REQUEST_BORDERS, RUN_BORDERS]) {
    t.equal(list.length, HISTOGRAM_CLASSES - 1)
    t.strictSame(
      list.toSorted((a, b) => a - b),
      list,
    )
  }
  t.strictSame([REQUEST_BORDERS[0], Math.round(REQUEST_BORDERS.at(-1) ?? 0)], [1, 60_000])
  t.end()
})

t.test('a class takes what lies above the border before it, up to its own', (t) => {
  fc.assert(
    fc.property(borders, fc.double({ min: 0, max: 1e10, noNaN: true }), (of, ms) => {
      const index = classOf(of, ms)
      return ms <= (of[index] ?? Infinity) && (index === 0 || ms > (of[index - 1] ?? 0))
    }),
  )
  t.end()
})

t.test('merging is the same as counting together, in any order', (t) => {
  fc.assert(
    fc.property(durations, durations, (left, right) => {
      const [merged, back] = [emptyHistogram(), emptyHistogram()]
      for (const part of [left, right]) mergeInto(merged, histogramOf(REQUEST_BORDERS, part))
      for (const part of [right, left]) mergeInto(back, histogramOf(REQUEST_BORDERS, part))
      const together = histogramOf(REQUEST_BORDERS, [...left, ...right])
      return (
        totalOf(merged) === left.length + right.length &&
        merged.every((count, index) => count === together[index] && count === back[index])
      )
    }),
  )
  t.end()
})

t.test('percentiles rise with their share, and lie in the class of the value that they stand for', (t) => {
  fc.assert(
    fc.property(durations, fc.double({ min: 0.01, max: 1, noNaN: true }), (values, share) => {
      const histogram = histogramOf(REQUEST_BORDERS, values)
      const told = percentile(REQUEST_BORDERS, histogram, share)
      if (values.length === 0) return told === null
      const exact = values.toSorted((a, b) => a - b)[Math.ceil(share * values.length) - 1] ?? 0
      const index = classOf(REQUEST_BORDERS, exact)
      const upper = REQUEST_BORDERS[index] ?? REQUEST_BORDERS.at(-1) ?? 0
      const lower = index === 0 ? 0 : (REQUEST_BORDERS[index - 1] ?? 0)
      // In whole milliseconds.
      return told !== null && told >= Math.floor(lower) && told <= Math.ceil(upper)
    }),
  )
  const many = histogramOf(
    REQUEST_BORDERS,
    Array.from({ length: 1_000 }, (_, index) => index),
  )
  const told = [0.5, 0.95, 0.99].map((share) => percentile(REQUEST_BORDERS, many, share) ?? 0)
  t.strictSame(
    told.toSorted((a, b) => a - b),
    told,
  )
  t.ok(Math.abs((told[0] ?? 0) - 500) < 150, `half of 0 to 999 ms: ${told[0]}`)
  t.end()
})
