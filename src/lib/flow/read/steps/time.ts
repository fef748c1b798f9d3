import { parseTime } from '#lib/time.ts'
import { readEventMatch, readEventMatches } from '../event-match.ts'
import { typesOfExpression } from '../expression-types.ts'
import type { Reader } from '../reader.ts'
import { at, has, readChoice, report, take } from '../reader.ts'
import { readDuration } from '../duration.ts'
import { exactText, readTemplateText, readValueText } from '../template.ts'
import type { DelayDuration, DelayUntil, WaitEventConfig } from '#lib/flow/types.ts'
import { holdsTemplate } from '#lib/template-text.ts'

export function readDelay(reader: Reader): DelayDuration | DelayUntil | null {
  const hasDuration = has(reader, 'duration')
  const hasUntil = has(reader, 'until')
  if (hasDuration === hasUntil) {
    const message = hasUntil
      ? 'Give "duration" or "until", not both.'
      : 'Add "duration", such as "3 days", or "until", such as "{{trigger.starts_at}}".'
    report(reader, hasUntil ? 'malformed' : 'missing_property', at(reader, 'duration'), message)
    return null
  }
  return hasUntil ? readUntil(reader) : readDelayDuration(reader)
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
  const ifPast = readChoice(reader, 'if_past', ['run_now', 'skip'], 'run_now')
  if (until === null) return null
  if (!holdsTemplate(until) && parseTime(until) === null) {
    const message = 'Give "until" a time: "{{trigger.starts_at}}" or "2026-12-24T18:00:00Z".'
    report(reader, 'invalid_time', at(reader, 'until'), message)
  }
  const exact = exactText(until)
  if (exact) {
    reader.compilation.typeChecks.push(() => {
      const types = typesOfExpression(reader, exact)
      if (!types || types.has('string')) return
      const message = `Give "until" a time: {{${exact.source.slice(0, 80)}}} is ${[...types].join(' or ')}.`
      report(reader, 'wrong_type', at(reader, 'until'), message)
    })
  }
  return { kind: 'until', until, offset_ms: offsetMs, if_past: ifPast }
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
