import { atWallTime, momentsAtWallTime, wallTime } from './time-zone.ts'

export const WEEKDAYS = ['MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT', 'SUN'] as const
export type Weekday = (typeof WEEKDAYS)[number]

/** From one time of day up to another, as `HH:MM`; over midnight if the second is not later. */
export interface Hours {
  from: string
  to: string
}

export interface BusinessDays {
  weekdays: Weekday[]
  /** Dates that are none, whatever weekday they are: `2026-12-25`. */
  holidays: string[]
}

/** The hours and days on which a shop is awake. */
export interface Calendar {
  time_zone: string
  /** The hours in which nobody is disturbed. */
  quiet_hours: Hours | null
  business_days: BusinessDays
}

export const DEFAULT_CALENDAR: Calendar = {
  time_zone: 'UTC',
  quiet_hours: null,
  business_days: { weekdays: ['MON', 'TUE', 'WED', 'THU', 'FRI'], holidays: [] },
}

/** Days on which something may happen; of both rules a day has to meet both. */
export interface DayRule {
  weekdays?: readonly Weekday[] | undefined
  business_days?: true | undefined
}

/** On these days, between these times of one day. */
export interface SendWindow extends DayRule, Hours {
  timezone?: string | undefined
}

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS
/** The most days among which one is looked for. */
const MAX_DAYS = 366
/** Quiet hours and windows that follow one another. */
const MAX_ROUNDS = 20
const TIME_OF_DAY = /^([01]\d|2[0-3]):([0-5]\d)$/

/** Completes what is stored; null: nothing was set. */
export function calendarOf(stored: Partial<Calendar> | null): Calendar {
  return { ...DEFAULT_CALENDAR, ...stored }
}

/** Milliseconds since midnight of `HH:MM`; `24:00` is the end of the day. Null for anything else. */
export function parseTimeOfDay(text: string): number | null {
  if (text === '24:00') return DAY_MS
  const [, hours, minutes] = TIME_OF_DAY.exec(text) ?? []
  return hours === undefined ? null : (Number(hours) * 60 + Number(minutes)) * MINUTE_MS
}

export interface NextMoment {
  calendar: Calendar
  /** The IANA zone whose clocks count. */
  zone: string
  days: DayRule
  /** Milliseconds since midnight; null: the time of day stays. */
  at: number | null
}

/**
 * The first moment after another one at which the clocks show a time of day, on a day that the rules allow. Without a
 * time of day the moment itself, if its day is one of them, else the same time of the next one that is. Null: there is no
 * such day within a year.
 */
export function nextMoment(afterMs: number, { calendar, zone, days, at }: NextMoment): number | null {
  const wall = wallTime(afterMs, zone)
  const today = startOfDay(wall)
  if (at === null && isAllowed(today, days, calendar)) return afterMs
  for (let day = 0; day <= MAX_DAYS; day++) {
    const start = today + day * DAY_MS
    if (!isAllowed(start, days, calendar)) continue
    const moment = atWallTime(start + (at ?? wall - today), zone)
    if (moment > afterMs) return moment
  }
  return null
}

/** The same time of day so many business days later; null: there are too few within a year. */
export function addBusinessDays(
  ms: number,
  count: number,
  { calendar, zone }: Pick<NextMoment, 'calendar' | 'zone'>,
): number | null {
  const wall = wallTime(ms, zone)
  let left = count
  for (let day = 1; day <= MAX_DAYS; day++) {
    const start = startOfDay(wall) + day * DAY_MS
    if (isAllowed(start, { business_days: true }, calendar)) left--
    if (left === 0) return atWallTime(wall + day * DAY_MS, zone)
  }
  return null
}

/** The first moment from then on that is within the window and not within the quiet hours; null: there is none. */
export function nextOpening(
  fromMs: number,
  calendar: Calendar,
  { window, quiet }: { window: SendWindow | null; quiet: boolean },
): number | null {
  let ms = fromMs
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const opened = window === null ? ms : openingOf(ms, window, calendar)
    if (opened === null) return null
    const awake = quiet ? endOfQuiet(opened, calendar) : opened
    if (awake === ms) return ms
    ms = awake
  }
  return null
}

function openingOf(ms: number, window: SendWindow, calendar: Calendar): number | null {
  const zone = window.timezone ?? calendar.time_zone
  const [from, to] = [parseTimeOfDay(window.from) ?? 0, parseTimeOfDay(window.to) ?? DAY_MS]
  const wall = wallTime(ms, zone)
  const today = startOfDay(wall)
  if (isAllowed(today, window, calendar) && wall - today >= from && wall - today < to) return ms
  for (let day = 0; day <= MAX_DAYS; day++) {
    const start = today + day * DAY_MS
    if (!isAllowed(start, window, calendar)) continue
    const moment = firstAfter(ms, start + from, zone)
    if (moment !== null) return moment
  }
  return null
}

function endOfQuiet(ms: number, { quiet_hours: quiet, time_zone: zone }: Calendar): number {
  if (quiet === null) return ms
  const [from, to] = [parseTimeOfDay(quiet.from) ?? 0, parseTimeOfDay(quiet.to) ?? 0]
  const wall = wallTime(ms, zone)
  const time = wall - startOfDay(wall)
  const isQuiet = from < to ? time >= from && time < to : time >= from || time < to
  if (!isQuiet) return ms
  const today = startOfDay(wall) + to
  return firstAfter(ms, today, zone) ?? firstAfter(ms, today + DAY_MS, zone) ?? ms
}

/** Of a time that the clocks may show twice, the first one after the moment. */
function firstAfter(ms: number, wall: number, zone: string): number | null {
  return momentsAtWallTime(wall, zone).find((moment) => moment > ms) ?? null
}

/** @param start of the day, as the clocks show it */
function isAllowed(start: number, { weekdays, business_days }: DayRule, calendar: Calendar): boolean {
  const date = new Date(start)
  // Sunday is the first day of JavaScript's week, and the last one here.
  const weekday = WEEKDAYS[(date.getUTCDay() + 6) % 7] as Weekday
  if (weekdays !== undefined && !weekdays.includes(weekday)) return false
  if (business_days !== true) return true
  const { weekdays: working, holidays } = calendar.business_days
  return working.includes(weekday) && !holidays.includes(date.toISOString().slice(0, 'yyyy-mm-dd'.length))
}

/** Midnight by the clocks. */
export function startOfDay(wall: number): number {
  return Math.floor(wall / DAY_MS) * DAY_MS
}
