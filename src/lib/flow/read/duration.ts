import { MAX_DURATION_MS, parseDuration } from '#lib/time.ts'
import type { Reader } from './reader.ts'
import { at, report, take } from './reader.ts'

export interface DurationLimits {
  maxMs?: number
  /** Durations such as `-24 hours` and `0 s` are taken. */
  isOffset?: boolean
  /** A duration of `0` is taken, but nothing below. */
  allowsZero?: boolean
}

/**
 * `"3 days"`, `"PT72H"` or a number of milliseconds; null when it is left out, and when it is wrong, which is
 * reported.
 */
export function readDuration(reader: Reader, name: string, limits: DurationLimits = {}): number | null {
  const { maxMs = MAX_DURATION_MS, isOffset = false, allowsZero = false } = limits
  const value = take(reader, name)
  if (value === undefined) return null
  const path = at(reader, name)
  const ms = parseMs(value)
  if (ms === null) {
    if (isTooLong(value)) report(reader, 'duration_too_long', path, tooLong(name, MAX_DURATION_MS))
    else {
      const message = `Give "${name}" a duration such as "3 days", "90 min" or "PT72H"; months and years vary.`
      report(reader, 'invalid_duration', path, message)
    }
    return null
  }
  if (ms <= 0 && !isOffset && !(allowsZero && ms === 0)) {
    const least = allowsZero ? '0 or more' : 'more than 0'
    report(reader, 'duration_not_positive', path, `Give "${name}" a duration of ${least}.`)
    return null
  }
  if (Math.abs(ms) > maxMs) {
    report(reader, 'duration_too_long', path, tooLong(name, maxMs))
    return null
  }
  return ms
}

function parseMs(value: unknown): number | null {
  if (typeof value === 'number') return Number.isInteger(value) ? value : null
  if (typeof value !== 'string') return null
  const text = value.trim()
  const sign = text.startsWith('-') ? -1 : 1
  const ms = parseDuration(text.replace(/^[+-] ?/, ''))
  return ms === null ? null : sign * ms
}

/** Tells a duration of which only the figures are too high. */
function isTooLong(value: unknown): boolean {
  return (
    typeof value === 'string' && value.length <= 40 && parseDuration(value.replaceAll(/\d+/g, '1')) !== null
  )
}

function tooLong(name: string, maxMs: number): string {
  const days = maxMs / 86_400_000
  return `Give "${name}" at most ${days >= 1 ? `${days} days` : `${maxMs} milliseconds`}.`
}
