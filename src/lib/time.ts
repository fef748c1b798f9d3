import { numberOf } from '#lib/json/raw-number.ts'
import { atWallTime } from './time-zone.ts'

const DATE =
  /^(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?([Zz]|[+-]\d\d:?\d\d)?)?$/

const SECOND_MS = 1000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const WEEK_MS = 7 * DAY_MS

/** The longest duration that anything here waits for or looks back: 366 days. */
export const MAX_DURATION_MS = 366 * DAY_MS

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  millisecond: 1,
  s: SECOND_MS,
  sec: SECOND_MS,
  second: SECOND_MS,
  m: MINUTE_MS,
  min: MINUTE_MS,
  minute: MINUTE_MS,
  h: HOUR_MS,
  hour: HOUR_MS,
  d: DAY_MS,
  day: DAY_MS,
  w: WEEK_MS,
  week: WEEK_MS,
}

const WORDS = /^(\d{1,12}) ?([a-z]{1,12})$/
const ISO = /^P(?:(\d{1,6})W|(?:(\d{1,6})D)?(?:T(?:(\d{1,8})H)?(?:(\d{1,9})M)?(?:(\d{1,9})S)?)?)$/

/**
 * Milliseconds since 1970 of an ISO 8601 date or time; null for anything else, also for days that no calendar has.
 * A date is its midnight.
 *
 * @param timeZone of text that does not name one
 */
export function parseTime(text: string, timeZone = 'UTC'): number | null {
  const match = text.length <= 40 ? DATE.exec(text) : null
  if (!match) return null
  const [, year, month, day, hour = '00', minute = '00', second = '00', fraction = '0', zone] = match
  const midnight = Date.UTC(Number(year), Number(month) - 1, Number(day))
  const date = new Date(midnight)
  if (date.getUTCMonth() !== Number(month) - 1 || date.getUTCDate() !== Number(day)) return null
  // 60 is a leap second; it reads as the first second of the next minute.
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 60) return null
  const milliseconds = Math.trunc(Number(`0.${fraction}`) * SECOND_MS)
  const time = Number(hour) * HOUR_MS + Number(minute) * MINUTE_MS + Number(second) * SECOND_MS + milliseconds
  if (zone === undefined) return atWallTime(midnight + time, timeZone)
  const offsetMs = zoneOffsetMs(zone)
  return offsetMs === null ? null : midnight + time - offsetMs
}

/** Seconds below, milliseconds from here on: 5138 and 1973. Anything less than the first is no time that is meant. */
const EPOCH_MIN_SECONDS = 1e8
const EPOCH_MIN_MS = 1e11
const MAX_TIME_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999)
const EPOCH_TEXT = /^(?:\d{10}|\d{13})$/
const DATE_ONLY = /^\d{4}-\d\d-\d\d$/

/**
 * Returns milliseconds since 1970 of a value that is meant as a time: an ISO 8601 date or time, or seconds or
 * milliseconds since 1970, as a number or as text of 10 or 13 digits. Null for anything else.
 *
 * @param timeZone of text that does not name one
 */
export function readTime(value: unknown, timeZone = 'UTC'): number | null {
  if (typeof value !== 'string') return epochMs(numberOf(value))
  return EPOCH_TEXT.test(value) ? epochMs(Number(value)) : parseTime(value, timeZone)
}

/** Returns whether it is a day and no time of it. */
export function isDateOnly(value: unknown): value is string {
  return typeof value === 'string' && DATE_ONLY.test(value)
}

/** Returns whether what is read depends on the zone. */
export function needsTimeZone(value: unknown): boolean {
  return typeof value === 'string' && !EPOCH_TEXT.test(value) && !/(?:[Zz]|[T ].*[+-]\d\d:?\d\d)$/.test(value)
}

function epochMs(value: number | null): number | null {
  if (value === null || !(value >= EPOCH_MIN_SECONDS)) return null
  const ms = Math.trunc(value < EPOCH_MIN_MS ? value * SECOND_MS : value)
  return ms <= MAX_TIME_MS ? ms : null
}

/**
 * `"3 days"`, `"90 min"`, `"24h"`, `"PT72H"`, `"P1DT12H"` in milliseconds; null for anything else and beyond 366
 * days. A day is 24 hours; months and years have no fixed length and are not durations.
 */
export function parseDuration(text: string): number | null {
  if (text.length > 40) return null
  const ms = wordsMs(text.trim().toLowerCase()) ?? isoMs(text.trim())
  return ms !== null && ms <= MAX_DURATION_MS ? ms : null
}

function zoneOffsetMs(zone: string): number | null {
  if (zone === 'Z' || zone === 'z') return 0
  const hours = Number(zone.slice(1, 3))
  const minutes = Number(zone.slice(-2))
  if (hours > 23 || minutes > 59) return null
  return (zone.startsWith('-') ? -1 : 1) * (hours * HOUR_MS + minutes * MINUTE_MS)
}

function wordsMs(text: string): number | null {
  const [, count, unit] = WORDS.exec(text) ?? []
  if (count === undefined || unit === undefined) return null
  const singular = unit.length > 2 && unit.endsWith('s') ? unit.slice(0, -1) : unit
  const unitMs = Object.hasOwn(UNIT_MS, singular) ? UNIT_MS[singular] : undefined
  return unitMs === undefined ? null : Number(count) * unitMs
}

function isoMs(text: string): number | null {
  const counts: (string | undefined)[] | undefined = ISO.exec(text)?.slice(1)
  if (!counts || text.endsWith('T') || counts.every((count) => count === undefined)) return null
  const units = [WEEK_MS, DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS]
  return units.reduce((sum, unit, index) => sum + Number(counts[index] ?? 0) * unit, 0)
}
