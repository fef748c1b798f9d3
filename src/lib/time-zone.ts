import { LRUCache } from 'lru-cache'

const DAY_MS = 86_400_000
/** No zone is further from UTC, and none changes its clocks by more at a time. */
const MAX_OFFSET_MS = DAY_MS

/** Names that were looked up: there are some 600 zones, and asking for one takes 100 µs. */
const MAX_KNOWN = 1000
/** Makers of texts in zones are slow to build; the names may come from data, hence the bound. */
const MAX_CLOCKS = 50

/** The fields that a clock shows, with a calendar beside it. */
export const CLOCK_FIELDS = {
  hourCycle: 'h23',
  year: 'numeric',
  month: '2-digit',
  day: '2-digit',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
} as const

/** As `en-US` writes them. */
const SHOWN = /^(\d+)\/(\d+)\/(\d+), (\d+):(\d+):(\d+)$/

const known = new LRUCache<string, boolean>({ max: MAX_KNOWN })
const clocks = new LRUCache<string, Intl.DateTimeFormat>({ max: MAX_CLOCKS })

/** An IANA name, in any case. */
export function isTimeZone(value: unknown): value is string {
  if (typeof value !== 'string' || value.length > 64 || !/^[A-Za-z]/.test(value)) return false
  const found = known.get(value)
  if (found !== undefined) return found
  let isZone = true
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: value })
  } catch {
    isZone = false
  }
  // Names are taken in any case: without a bound, the same zone could be written in a million ways.
  known.set(value, isZone)
  return isZone
}

/** Returns whether reading a clock there needs nothing that is slow to build. */
export function isAtHand(zone: string): boolean {
  return zone === 'UTC' || clocks.has(zone)
}

/** Returns what the clocks of a zone show at a moment, as milliseconds of a UTC clock that shows the same. */
export function wallTime(ms: number, zone: string): number {
  if (zone === 'UTC') return ms
  const [, month, day, year, hour, minute, second] = SHOWN.exec(clockOf(zone).format(ms)) ?? []
  const shown = Date.UTC(
    Number(year),
    Number(month) - 1,
    Number(day),
    Number(hour),
    Number(minute),
    Number(second),
  )
  const millisecond = ((ms % 1000) + 1000) % 1000
  // Of years below 100 the Date constructor makes others.
  return (Number(year) < 100 ? new Date(shown).setUTCFullYear(Number(year)) : shown) + millisecond
}

/**
 * Returns the moment at which the clocks of a zone show this. A time that they jump over is the one at which they go
 * on, and one that they show twice is the first of both: as for schedules.
 */
export function atWallTime(wall: number, zone: string): number {
  return momentsAtWallTime(wall, zone)[0]
}

/** All of them, the first one first: two where clocks are set back. */
export function momentsAtWallTime(wall: number, zone: string): readonly [first: number, ...second: number[]] {
  if (zone === 'UTC') return [wall]
  const before = wall - offset(wall - MAX_OFFSET_MS, zone)
  const after = wall - offset(wall + MAX_OFFSET_MS, zone)
  if (before === after) return [before]
  const [first, second] = [Math.min(before, after), Math.max(before, after)]
  const isFirst = wallTime(first, zone) === wall
  const isSecond = wallTime(second, zone) === wall
  if (isFirst) return isSecond ? [first, second] : [first]
  return [isSecond ? second : endOfGap(first, second, zone)]
}

/** Returns what is to be added to UTC. */
function offset(ms: number, zone: string): number {
  return wallTime(ms, zone) - ms
}

/** The first moment with the later offset, between two that lie on either side of the change. */
function endOfGap(before: number, after: number, zone: string): number {
  let low = Math.floor(before / 1000)
  let high = Math.ceil(after / 1000)
  const changed = offset(high * 1000, zone)
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (offset(middle * 1000, zone) === changed) high = middle
    else low = middle
  }
  return high * 1000
}

function clockOf(zone: string): Intl.DateTimeFormat {
  let clock = clocks.get(zone)
  if (clock === undefined) {
    clock = new Intl.DateTimeFormat('en-US', { timeZone: zone, ...CLOCK_FIELDS })
    clocks.set(zone, clock)
  }
  return clock
}
