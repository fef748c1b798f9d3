import fc from 'fast-check'
import t from 'tap'
import { breakerOpenMs, clampRetryAfterMs, retryDelayMs } from '#lib/async/backoff.ts'

const SCHEDULE = [30, 300, 3600]

t.test('each failure waits its own delay, and the last one gives up', (t) => {
  const middle = (): number => 0.5
  t.equal(retryDelayMs(SCHEDULE, 1, middle), 30_000)
  t.equal(retryDelayMs(SCHEDULE, 2, middle), 300_000)
  t.equal(retryDelayMs(SCHEDULE, 3, middle), 3_600_000)
  t.equal(retryDelayMs(SCHEDULE, 4, middle), null)
  t.equal(retryDelayMs([], 1, middle), null)
  t.equal(retryDelayMs([0], 1), 0)
  t.end()
})

t.test('the jitter stays within 20 % and uses all of it', (t) => {
  t.equal(
    retryDelayMs(SCHEDULE, 1, () => 0),
    24_000,
  )
  t.equal(
    retryDelayMs(SCHEDULE, 1, () => 1),
    36_000,
  )
  const delays = Array.from({ length: 1000 }, () => retryDelayMs([100], 1) ?? Number.NaN)
  t.ok(delays.every((ms) => ms >= 80_000 && ms <= 120_000))
  t.ok(new Set(delays).size > 900)
  t.end()
})

t.test('a count that cannot be is an error of the caller', (t) => {
  for (const failed of [0, -1, 1.5, Number.NaN]) t.throws(() => retryDelayMs(SCHEDULE, failed), RangeError)
  t.end()
})

t.test('Retry-After is taken between now and one hour', (t) => {
  t.equal(clampRetryAfterMs(-5), 0)
  t.equal(clampRetryAfterMs(120_000), 120_000)
  t.equal(clampRetryAfterMs(3_600_001), 3_600_000)
  t.equal(clampRetryAfterMs(Number.POSITIVE_INFINITY), 3_600_000)
  t.equal(clampRetryAfterMs(Number.NaN), 0)
  t.end()
})

t.test('a breaker that keeps opening stays open longer, up to five minutes', (t) => {
  t.same(
    [1, 2, 3, 4, 5, 6, 7, 8].map(breakerOpenMs),
    [5, 10, 20, 40, 80, 160, 300, 300].map((s) => s * 1000),
  )
  fc.assert(
    fc.property(fc.nat(), (opens) => {
      t.ok(breakerOpenMs(opens) <= 300_000)
    }),
  )
  t.end()
})
