import t from 'tap'
import { parseSchedule } from '#lib/cron.ts'

const HOUR_MS = 3_600_000

/** All that come due within the 24 hours after the eve, by stepping with `next`. */
function dayAfter(expression: string, zone: string, eve: string): string[] {
  const times = parseSchedule(expression, zone)
  const end = Date.parse(eve) + 24 * HOUR_MS
  const due: string[] = []
  for (let at = times.next(new Date(eve)); at !== null && at.getTime() <= end; at = times.next(at)) {
    due.push(at.toISOString())
  }
  return due
}

const SPRING_EVE = '2026-03-28T12:00:00Z'
const AUTUMN_EVE = '2026-10-24T12:00:00Z'

t.test('fixed times come due once on the day that misses an hour, at the end of the gap', async (t) => {
  t.strictSame(dayAfter('30 2 * * *', 'Europe/Berlin', SPRING_EVE), ['2026-03-29T01:00:00.000Z'])
  t.strictSame(dayAfter('30 2,14 * * *', 'Europe/Berlin', SPRING_EVE), [
    '2026-03-28T13:30:00.000Z',
    '2026-03-29T01:00:00.000Z',
  ])
  t.strictSame(dayAfter('0 3 * * *', 'Europe/Berlin', SPRING_EVE), ['2026-03-29T01:00:00.000Z'])
})

t.test('fixed times come due once on the day that repeats an hour, at its first occurrence', async (t) => {
  t.strictSame(dayAfter('30 2 * * *', 'Europe/Berlin', AUTUMN_EVE), ['2026-10-25T00:30:00.000Z'])
  t.strictSame(dayAfter('0 2-3 * * *', 'Europe/Berlin', AUTUMN_EVE), [
    '2026-10-25T00:00:00.000Z',
    '2026-10-25T02:00:00.000Z',
  ])
})

t.test('intervals go on evenly over both changes', async (t) => {
  for (const eve of [SPRING_EVE, AUTUMN_EVE]) {
    const due = dayAfter('*/30 * * * *', 'Europe/Berlin', eve).map((each) => Date.parse(each))
    t.equal(due.length, 48)
    t.ok(due.every((each, n) => n === 0 || each - (due[n - 1] ?? 0) === HOUR_MS / 2))
  }
})

t.test('a zone that changes by half an hour, and one far from UTC', async (t) => {
  t.strictSame(dayAfter('15 2 * * *', 'Australia/Lord_Howe', '2026-10-03T02:00:00Z'), [
    '2026-10-03T15:30:00.000Z',
  ])
  t.strictSame(dayAfter('0 9 * * *', 'Pacific/Kiritimati', '2026-06-01T00:00:00Z'), [
    '2026-06-01T19:00:00.000Z',
  ])
})

t.test('last and count agree with next, to the millisecond', async (t) => {
  for (const expression of ['30 2,14 * * *', '*/30 * * * *', '0 9 * * MON-FRI', '@daily']) {
    for (const eve of [SPRING_EVE, AUTUMN_EVE]) {
      const times = parseSchedule(expression, 'Europe/Berlin')
      const due = dayAfter(expression, 'Europe/Berlin', eve)
      for (const [n, each] of due.entries()) {
        const at = new Date(each)
        t.same(times.last(at), at)
        t.same(times.last(new Date(at.getTime() + 999)), at)
        if (n > 0) t.equal(times.last(new Date(at.getTime() - 1))?.toISOString(), due[n - 1])
        t.same(times.next(new Date(at.getTime() - 1)), at)
      }
      const [first, last] = [due[0], due.at(-1)]
      if (first === undefined || last === undefined) continue
      t.equal(times.count(new Date(first), new Date(last), 1_000), due.length)
      t.equal(times.count(new Date(first), new Date(last), 1), 1)
    }
  }
})

t.test('what is not a schedule is refused, and what never comes due says so', async (t) => {
  for (const wrong of ['61 * * * *', '* * * *', '* * * * * *', 'hello', '']) {
    t.throws(() => parseSchedule(wrong, 'UTC'), wrong)
  }
  t.equal(parseSchedule('0 0 31 2 *', 'UTC').next(new Date()), null)
})
