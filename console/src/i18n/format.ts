import { type DateForm, dateTag, formatDate } from './dates.ts'
import { locale } from './words.svelte.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const UNITS = [
  ['day', DAY],
  ['hour', HOUR],
  ['minute', MINUTE],
  ['second', SECOND],
] as const

export function number(value: number, options?: Intl.NumberFormatOptions): string {
  return new Intl.NumberFormat(locale.language, options).format(value)
}

/** A share of 0 to 1, with a digit behind the point: 99.2 %. */
export function percent(share: number): string {
  return number(share, { style: 'percent', maximumFractionDigits: 1 })
}

export function bytes(count: number): string {
  const [unit, size]: [string, number] =
    count >= 1_048_576 ? ['megabyte', 1_048_576] : count >= 1_024 ? ['kilobyte', 1_024] : ['byte', 1]
  return number(count / size, {
    style: 'unit',
    unit,
    unitDisplay: 'short',
    maximumFractionDigits: 1,
  })
}

/** As people of this browser write it, in its time zone or another one. */
export function date(form: DateForm, time: Date, timeZone?: string): string {
  return formatDate(dateTag(locale.language, navigator.languages), form, time, timeZone)
}

/** In the browser's time zone, to the second. */
export function dateTime(time: Date): string {
  return date('dateTime', time)
}

/** In the browser's time zone, to the second; of another day with the day. */
export function timeOfDay(time: Date): string {
  const isToday = time.toDateString() === new Date().toDateString()
  return date(isToday ? 'timeOfDay' : 'dateTime', time)
}

/** A Monday. */
const MONDAY = Date.UTC(2024, 0, 1)

/** The name of a day of the week in short. @param index from Monday, which is 0 */
export function weekday(index: number): string {
  return date('weekday', new Date(MONDAY + index * DAY), 'UTC')
}

export function inUtc(time: Date): string {
  return `${time.toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

/** As people say it: 12 seconds ago, in 3 days. */
export function relative(time: Date, now: number): string {
  const difference = time.getTime() - now
  const [unit, size] = UNITS.find(([, length]) => Math.abs(difference) >= length) ?? ['second', SECOND]
  const formatter = new Intl.RelativeTimeFormat(locale.language, { numeric: 'auto', style: 'short' })
  return formatter.format(Math.trunc(difference / size), unit)
}

/** A length of time in its largest unit, with a digit behind the point below ten: 4.2 s, 17 min. */
export function duration(ms: number): string {
  const [unit, size] = UNITS.find(([, length]) => ms >= length) ?? ['millisecond', 1]
  const value = ms / size
  return number(value, {
    style: 'unit',
    unit,
    unitDisplay: 'narrow',
    maximumFractionDigits: value < 10 && size > 1 ? 1 : 0,
  })
}
