import { parseTime } from '#lib/time.ts'
import type { StepBase, TemplateText } from '../elements.ts'
import { readDuration } from '../read/duration.ts'
import { typesOfExpression } from '../read/expression-types.ts'
import type { Reader } from '../read/reader.ts'
import { at, has, readChoice, report, take } from '../read/reader.ts'
import { exactText, readTemplateText, readValueText } from '../read/template.ts'
import { type DefinitionOf, USUAL } from './definition.ts'
import { DURATION, OFFSET } from './member-schemas.ts'

const IF_PAST = ['run_now', 'skip'] as const

interface DelayDuration {
  kind: 'duration'
  /** As written; with a template in it, it has to render to a duration such as `3 days`. */
  duration: TemplateText
  /** Null when `duration` holds a template. */
  duration_ms: number | null
}
interface DelayUntil {
  kind: 'until'
  /** Renders to an ISO 8601 date or time. */
  until: TemplateText
  /** Added to it; negative is before. */
  offset_ms: number
  /** When the time has passed already: go on at once, or end the execution (in a body: the item) here. */
  if_past: (typeof IF_PAST)[number]
}
export type DelayStep = StepBase<'delay', DelayDuration | DelayUntil, 'next'>

export const delayStep: DefinitionOf<DelayStep> = {
  ...USUAL,
  schema: {
    description: 'Waits for a while, or until a time.',
    properties: {
      duration: DURATION,
      until: { type: 'string', description: 'A time, or a template that renders to one.' },
      offset: OFFSET,
      if_past: { type: 'string', enum: [...IF_PAST], default: 'run_now' },
    },
    examples: [
      { type: 'delay', duration: '3 days' },
      { type: 'delay', until: '{{trigger.created_at}}', offset: '72 hours', if_past: 'skip' },
    ],
  },
  read: readDelay,
  ports: () => ['next'],
  goesOn: ['next'],
  calls: false,
  causes: 'nothing',
}

function readDelay(reader: Reader): DelayDuration | DelayUntil | null {
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
  if (typeof sent === 'string' && sent.includes('{{')) {
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
  const ifPast = readChoice(reader, 'if_past', IF_PAST, 'run_now')
  if (until === null) return null
  if (!until.includes('{{') && parseTime(until) === null) {
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
