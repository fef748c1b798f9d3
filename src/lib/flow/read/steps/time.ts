import { readTime } from '#lib/time.ts'
import { readEventMatch, readEventMatches } from '../event-match.ts'
import { TIME_TYPES, typesOfExpression } from '../expression-types.ts'
import type { Reader } from '../reader.ts'
import { at, has, readChoice, readInteger, report, take } from '../reader.ts'
import { dayRule, readTimeOfDay, readTimeZone, readWeekdays } from '../hours.ts'
import { readDuration } from '../duration.ts'
import { exactText, readTemplateText, readValueText } from '../template.ts'
import type { DelayClock, DelayDuration, DelayUntil, WaitEventConfig } from '#lib/flow/types.ts'
import { holdsTemplate } from '#lib/template-text.ts'

/** What makes a delay one that looks at clocks and days. */
const CLOCK_NAMES = ['at', 'weekdays', 'business_days'] as const
const MAX_BUSINESS_DAYS = 250

export function readDelay(reader: Reader): DelayDuration | DelayUntil | DelayClock | null {
  const hasUntil = has(reader, 'until')
  const clock = CLOCK_NAMES.filter((name) => has(reader, name))
  if (hasUntil) {
    for (const name of ['duration', ...clock]) {
      if (has(reader, name))
        report(reader, 'malformed', at(reader, name), `Give "${name}" or "until", not both.`)
    }
    return readUntil(reader)
  }
  if (clock.length > 0) return readClock(reader)
  if (!has(reader, 'duration')) {
    const message =
      'Add "duration", such as "3 days", "at", such as "09:00", or "until", such as "{{trigger.starts_at}}".'
    report(reader, 'missing_property', at(reader, 'duration'), message)
    return null
  }
  return readDelayDuration(reader)
}

function readClock(reader: Reader): DelayClock | null {
  const duration = has(reader, 'duration') ? readDelayDuration(reader) : null
  const time = readTimeOfDay(reader, 'at')
  const timezone = readTimeZone(reader)
  const weekdays = readWeekdays(reader)
  const sent = take(reader, 'business_days')
  const isCount = typeof sent === 'number'
  const days = isCount
    ? readInteger(reader, 'business_days', { min: 1, max: MAX_BUSINESS_DAYS, fallback: 0 })
    : 0
  const isBusiness = !isCount && readBusinessRule(reader, sent)
  if (days > 0 && has(reader, 'duration')) {
    const message = 'Give a number of "business_days" or a "duration", not both.'
    report(reader, 'malformed', at(reader, 'business_days'), message)
  }
  if (has(reader, 'duration') && duration === null) return null
  return {
    kind: 'clock',
    duration: duration?.duration ?? null,
    duration_ms: duration?.duration_ms ?? null,
    business_days: days,
    at: time,
    timezone,
    days: dayRule(weekdays, isBusiness),
  }
}

function readBusinessRule(reader: Reader, sent: unknown): boolean {
  if (sent === undefined || typeof sent === 'boolean') return sent === true
  const message = 'Give "business_days" a whole number of days to wait, or true to go on only on such a day.'
  report(reader, 'invalid_value', at(reader, 'business_days'), message)
  return false
}

function readDelayDuration(reader: Reader): DelayDuration | null {
  const sent = take(reader, 'duration')
  if (holdsTemplate(sent)) {
    const duration = readTemplateText(reader, 'duration')
    return duration === null ? null : { kind: 'duration', duration, duration_ms: null }
  }
  const durationMs = readDuration(reader, 'duration')
  if (durationMs === null) return null
  return {
    kind: 'duration',
    duration: typeof sent === 'string' ? sent : `${durationMs} ms`,
    duration_ms: durationMs,
  }
}

function readUntil(reader: Reader): DelayUntil | null {
  const until = readValueText(reader, 'until')
  const offsetMs = readDuration(reader, 'offset', { isOffset: true }) ?? 0
  const timezone = readTimeZone(reader)
  const ifPast = readChoice(reader, 'if_past', ['run_now', 'skip'], 'run_now')
  if (until === null) return null
  if (!holdsTemplate(until) && readTime(until) === null) {
    const message = 'Give "until" a time: "{{trigger.starts_at}}" or "2026-12-24T18:00:00Z".'
    report(reader, 'invalid_time', at(reader, 'until'), message)
  }
  const exact = exactText(until)
  if (exact) {
    reader.compilation.typeChecks.push(() => {
      const types = typesOfExpression(reader, exact)
      if (!types || TIME_TYPES.some((type) => types.has(type))) return
      const message = `Give "until" a time: {{${exact.source.slice(0, 80)}}} is ${[...types].join(' or ')}.`
      report(reader, 'wrong_type', at(reader, 'until'), message)
    })
  }
  return {
    kind: 'until',
    until,
    offset_ms: offsetMs,
    ...(timezone !== null && { timezone }),
    if_past: ifPast,
  }
}

export function readWait(reader: Reader): WaitEventConfig | null {
  const any = has(reader, 'any')
    ? readEventMatches(reader, take(reader, 'any'), at(reader, 'any'))
    : [readEventMatch(reader)].filter((match) => match !== null)
  if (!has(reader, 'timeout')) {
    const message = 'Add "timeout", such as "7 days": the event may never come.'
    report(reader, 'wait_without_timeout', at(reader, 'timeout'), message)
  }
  const timeoutMs = readDuration(reader, 'timeout')
  const lookBackMs = readDuration(reader, 'look_back') ?? 0
  if (timeoutMs === null || any.length === 0) return null
  return { any, timeout_ms: timeoutMs, look_back_ms: lookBackMs }
}
