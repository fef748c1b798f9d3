import fc from 'fast-check'
import t from 'tap'
import { parseDuration, parseTime } from '#lib/time.ts'

t.test('what toISOString writes is read back', (t) => {
  fc.assert(
    fc.property(fc.date({ min: new Date(0), max: new Date('9999-12-31'), noInvalidDate: true }), (date) => {
      t.equal(parseTime(date.toISOString()), date.getTime())
    }),
  )
  t.end()
})

t.test('dates, zones, missing seconds and fractions are understood', (t) => {
  const cases: [string, string][] = [
    ['2026-03-01', '2026-03-01T00:00:00.000Z'],
    ['2026-03-01T10:00', '2026-03-01T10:00:00.000Z'],
    ['2026-03-01 10:00:05', '2026-03-01T10:00:05.000Z'],
    ['2026-03-01T10:00:00+02:00', '2026-03-01T08:00:00.000Z'],
    ['2026-03-01T10:00:00-0530', '2026-03-01T15:30:00.000Z'],
    ['2026-03-01t10:00:00.1239z', '2026-03-01T10:00:00.123Z'],
    ['2024-02-29', '2024-02-29T00:00:00.000Z'],
    ['2016-12-31T23:59:60Z', '2017-01-01T00:00:00.000Z'],
  ]
  for (const [text, wanted] of cases)
    t.equal(new Date(parseTime(text) ?? Number.NaN).toISOString(), wanted, text)
  t.end()
})

t.test('what is no time in any calendar is none here', (t) => {
  const bad = [
    '',
    'now',
    '2026',
    '2026-3-1',
    '2026-02-30',
    '2025-02-29',
    '2026-13-01',
    '2026-00-10',
    '2026-03-01T24:00',
  ]
  bad.push('2026-03-01T10:60', '2026-03-01T10:00:61', '2026-03-01T10:00+24:00', '1700000000', '01/02/2026')
  bad.push(' 2026-03-01', '2026-03-01\n', '2026-03-01T10:00:00Z'.padEnd(1e6, '0'))
  for (const text of bad) t.equal(parseTime(text), null, text.slice(0, 40))
  t.end()
})

t.test('durations are words or ISO 8601', (t) => {
  const hour = 3_600_000
  const cases: [string, number][] = [
    ['3 days', 72 * hour],
    ['1 day', 24 * hour],
    ['24h', 24 * hour],
    ['90 min', 1.5 * hour],
    ['2 Weeks', 336 * hour],
    ['500 ms', 500],
    ['30s', 30_000],
    ['PT72H', 72 * hour],
    ['P1DT12H', 36 * hour],
    ['P2W', 336 * hour],
    ['PT1M30S', 90_000],
    ['0 days', 0],
    ['366 days', 366 * 24 * hour],
  ]
  for (const [text, ms] of cases) t.equal(parseDuration(text), ms, text)
  const bad = [
    '',
    '3',
    'days',
    '-3 days',
    '1.5 days',
    '3 months',
    '1 year',
    'P1M',
    'P1Y',
    'P',
    'PT',
    'P1DT',
    '367 days',
  ]
  bad.push('3 constructor', '999999999999 weeks', '3 days'.padEnd(1e6))
  for (const text of bad) t.equal(parseDuration(text), null, text.slice(0, 40))
  t.end()
})
