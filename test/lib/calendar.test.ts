import fc from 'fast-check'
import t from 'tap'
import { addBusinessDays, calendarOf, nextMoment, nextOpening, parseTimeOfDay } from '#lib/calendar.ts'
import { atWallTime, isTimeZone, momentsAtWallTime, wallTime } from '#lib/time-zone.ts'

const LISBON = 'Europe/Lisbon'
const HOUR_MS = 3_600_000

function at(time: string): number {
  return Date.parse(time)
}

function iso(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString().replace(':00.000Z', 'Z')
}

/** The next time of day in Lisbon, on any day. */
function next(from: string, time: string | null, days = {}, calendar = {}): string | null {
  return iso(
    nextMoment(at(from), {
      calendar: calendarOf(calendar),
      zone: LISBON,
      days,
      at: time === null ? null : parseTimeOfDay(time),
    }),
  )
}

t.test('clocks of zones show what they show, and are found by it', (t) => {
  const shown: [moment: string, zone: string, wall: string][] = [
    ['2026-03-29T00:30:00Z', LISBON, '2026-03-29T00:30:00Z'],
    ['2026-03-29T01:00:00Z', LISBON, '2026-03-29T02:00:00Z'],
    ['2026-10-25T00:30:00Z', LISBON, '2026-10-25T01:30:00Z'],
    ['2026-10-25T01:30:00Z', LISBON, '2026-10-25T01:30:00Z'],
    ['2026-07-01T12:00:00Z', 'Asia/Kathmandu', '2026-07-01T17:45:00Z'],
    ['2026-07-01T12:00:00Z', 'America/New_York', '2026-07-01T08:00:00Z'],
    ['0001-01-01T12:00:00Z', 'UTC', '0001-01-01T12:00:00Z'],
    ['9999-12-31T12:00:00Z', 'Pacific/Kiritimati', '+010000-01-01T02:00:00Z'],
  ]
  for (const [moment, zone, wall] of shown) t.equal(wallTime(at(moment), zone), at(wall), `${moment} ${zone}`)
  const moments: [wall: string, zone: string, moments: string[]][] = [
    ['2026-03-29T01:30:00Z', LISBON, ['2026-03-29T01:00Z']],
    ['2026-10-25T01:30:00Z', LISBON, ['2026-10-25T00:30Z', '2026-10-25T01:30Z']],
    ['2026-03-08T02:30:00Z', 'America/New_York', ['2026-03-08T07:00Z']],
    ['2026-11-01T01:30:00Z', 'America/New_York', ['2026-11-01T05:30Z', '2026-11-01T06:30Z']],
    ['2026-10-04T02:10:00Z', 'Australia/Lord_Howe', ['2026-10-03T15:30Z']],
    // A day that was left out.
    ['2011-12-30T10:00:00Z', 'Pacific/Apia', ['2011-12-30T10:00Z']],
  ]
  for (const [wall, zone, wanted] of moments) {
    t.same(momentsAtWallTime(at(wall), zone).map(iso), wanted, `${wall} ${zone}`)
  }
  t.end()
})

t.test('what a clock shows leads back to the moment, in every zone', (t) => {
  const zones = ['Europe/Lisbon', 'America/St_Johns', 'Asia/Tehran', 'Pacific/Chatham', 'Africa/Casablanca']
  fc.assert(
    fc.property(
      fc.integer({ min: at('1971-01-01T00:00:00Z'), max: at('2037-01-01T00:00:00Z') }),
      fc.constantFrom(...zones),
      (ms, zone) => {
        const wall = wallTime(ms, zone)
        t.ok(momentsAtWallTime(wall, zone).includes(ms), `${ms} ${zone}`)
        t.ok(atWallTime(wall, zone) <= ms)
      },
    ),
    { numRuns: 300 },
  )
  t.notOk(['Lisbon', '', 'UTC+1', '+01:00', 5, null, 'x'.repeat(100)].some(isTimeZone))
  t.ok(['UTC', 'Europe/Lisbon', 'europe/lisbon', 'America/Argentina/Buenos_Aires'].every(isTimeZone))
  t.end()
})

t.test('nine o’clock is nine o’clock on both days on which clocks change', (t) => {
  t.equal(next('2026-03-29T00:30:00Z', '09:00'), '2026-03-29T08:00Z')
  t.equal(next('2026-10-25T00:30:00Z', '09:00'), '2026-10-25T09:00Z')
  t.equal(next('2026-03-28T09:00:00Z', '09:00'), '2026-03-29T08:00Z', '23 hours later')
  t.equal(next('2026-10-24T08:00:00Z', '09:00'), '2026-10-25T09:00Z', '25 hours later')
  t.equal(next('2026-03-29T00:30:00Z', '01:30'), '2026-03-29T01:00Z', 'where the clocks go on')
  t.equal(next('2026-10-24T12:00:00Z', '01:30'), '2026-10-25T00:30Z', 'the first of both')
  t.equal(next('2026-10-25T00:30:00Z', '01:30'), '2026-10-26T01:30Z', 'once a day')
  t.equal(next('2026-10-25T00:30:00Z', '01:45'), '2026-10-25T00:45Z')
  t.equal(next('2026-06-15T08:00:00Z', '09:00'), '2026-06-16T08:00Z', 'not at once')
  t.equal(next('2026-06-15T07:59:59Z', '09:00'), '2026-06-15T08:00Z')
  t.end()
})

t.test('days are those of the zone, and of the shop', (t) => {
  const holidays = ['2026-12-25', '2026-12-28']
  const calendar = { business_days: { weekdays: ['MON', 'TUE', 'WED', 'THU', 'FRI'], holidays } }
  t.equal(next('2026-06-12T12:00:00Z', '09:00', { weekdays: ['MON'] }), '2026-06-15T08:00Z')
  t.equal(next('2026-06-14T23:30:00Z', null, { weekdays: ['MON'] }), '2026-06-14T23:30Z', 'Monday in Lisbon')
  t.equal(next('2026-06-13T10:15:00Z', null, { business_days: true }), '2026-06-15T10:15Z', 'the same time')
  t.equal(next('2026-12-24T18:00:00Z', '09:00', { business_days: true }, calendar), '2026-12-29T09:00Z')
  t.equal(
    next('2026-12-24T18:00:00Z', '09:00', { business_days: true, weekdays: ['MON'] }, calendar),
    '2027-01-04T09:00Z',
  )
  const never = { business_days: { weekdays: ['MON'], holidays: [] } }
  t.equal(next('2026-06-12T12:00:00Z', '09:00', { business_days: true, weekdays: ['SUN'] }, never), null)
  const by = { calendar: calendarOf(calendar as never), zone: LISBON }
  t.equal(
    iso(addBusinessDays(at('2026-06-12T15:00:00Z'), 1, by)),
    '2026-06-15T15:00Z',
    'from Friday to Monday',
  )
  t.equal(iso(addBusinessDays(at('2026-06-13T15:00:00Z'), 1, by)), '2026-06-15T15:00Z', 'from Saturday')
  t.equal(iso(addBusinessDays(at('2026-12-24T15:00:00Z'), 2, by)), '2026-12-30T15:00Z', 'over holidays')
  t.equal(
    iso(addBusinessDays(at('2026-03-27T15:00:00Z'), 1, by)),
    '2026-03-30T14:00Z',
    'over the clock change',
  )
  t.end()
})

t.test('windows and quiet hours hold back until both allow it', (t) => {
  const calendar = calendarOf({ time_zone: LISBON, quiet_hours: { from: '21:00', to: '08:00' } })
  const open = (from: string, window: object | null, quiet = true): string | null =>
    iso(nextOpening(at(from), calendar, { window: window as never, quiet }))
  t.equal(open('2026-06-15T12:00:00Z', null), '2026-06-15T12:00Z')
  t.equal(open('2026-06-15T20:00:00Z', null), '2026-06-16T07:00Z', 'at 21:00')
  t.equal(open('2026-06-15T19:59:00Z', null), '2026-06-15T19:59Z')
  t.equal(open('2026-06-16T06:59:00Z', null), '2026-06-16T07:00Z', 'in the morning')
  t.equal(open('2026-06-15T20:00:00Z', null, false), '2026-06-15T20:00Z', 'who does not respect them')
  t.equal(open('2026-03-29T00:30:00Z', null), '2026-03-29T07:00Z', 'an hour less of sleep')
  t.equal(open('2026-10-25T00:30:00Z', null), '2026-10-25T08:00Z', 'an hour more')
  const day = { from: '09:00', to: '18:00', weekdays: ['MON', 'TUE'] }
  t.equal(open('2026-06-15T12:00:00Z', day), '2026-06-15T12:00Z')
  t.equal(open('2026-06-15T17:00:00Z', day), '2026-06-16T08:00Z', 'at 18:00 it is closed')
  t.equal(open('2026-06-16T17:00:00Z', day), '2026-06-22T08:00Z', 'on Monday again')
  t.equal(
    open('2026-06-15T12:00:00Z', { ...day, timezone: 'Asia/Tokyo' }),
    '2026-06-16T07:00Z',
    'quiet at its opening',
  )
  const early = { from: '06:00', to: '09:00' }
  t.equal(open('2026-06-15T12:00:00Z', early), '2026-06-16T07:00Z', 'opens within the quiet hours')
  t.equal(open('2026-06-15T12:00:00Z', { from: '22:00', to: '23:00' }), null, 'never')
  const short = calendarOf({ time_zone: LISBON, quiet_hours: { from: '00:00', to: '01:45' } })
  const second = nextOpening(at('2026-10-25T01:15:00Z'), short, { window: null, quiet: true })
  t.equal(iso(second), '2026-10-25T01:45Z', 'in the hour that comes twice')
  t.end()
})

t.test('whenever it opens it is open, and it never opens before', (t) => {
  // A day whose only waking hour is the one that clocks jump over has none: hence up to two days.
  const time = fc.integer({ min: 0, max: 23 }).map((hour) => `${String(hour).padStart(2, '0')}:00`)
  fc.assert(
    fc.property(
      fc.integer({ min: at('2026-03-20T00:00:00Z'), max: at('2026-04-05T00:00:00Z') }),
      time,
      time,
      fc.constantFrom('Europe/Lisbon', 'America/New_York', 'Asia/Kathmandu'),
      (ms, from, to, time_zone) => {
        if (from === to) return
        const calendar = calendarOf({ time_zone, quiet_hours: { from, to } })
        const opened = nextOpening(ms, calendar, { window: null, quiet: true }) ?? Number.NaN
        t.ok(opened >= ms && opened <= ms + 49 * HOUR_MS)
        t.equal(nextOpening(opened, calendar, { window: null, quiet: true }), opened)
      },
    ),
    { numRuns: 200 },
  )
  t.end()
})
