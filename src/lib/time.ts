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
 * A date is its midnight. Without a zone it is UTC: a shop's zone belongs into the text.
 */
export function parseTime(text: string): number | null {
  const match = text.length <= 40 ? DATE.exec(text) : null
  if (!match) return null
  const [, year, month, day, hour = '00', minute = '00', second = '00', fraction = '0', zone = 'Z'] = match
  const midnight = Date.UTC(Number(year), Number(month) - 1, Number(day))
  const date = new Date(midnight)
  if (date.getUTCMonth() !== Number(month) - 1 || date.getUTCDate() !== Number(day)) return null
  // 60 is a leap second; it reads as the first second of the next minute.
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 60) return null
  const offsetMs = zoneOffsetMs(zone)
  if (offsetMs === null) return null
  const milliseconds = Math.trunc(Number(`0.${fraction}`) * SECOND_MS)
  const time = Number(hour) * HOUR_MS + Number(minute) * MINUTE_MS + Number(second) * SECOND_MS + milliseconds
  return midnight + time - offsetMs
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
