import { type DayRule, WEEKDAYS } from '#lib/calendar.ts'
import { holdsTemplate } from '#lib/template-text.ts'
import { readTime } from '#lib/time.ts'
import type { StepBase, TemplateText } from '../elements.ts'
import { readDuration } from '../read/duration.ts'
import { TIME_TYPES, typesOfExpression } from '../read/expression-types.ts'
import { dayRule, readTimeOfDay, readTimeZone, readWeekdays } from '../read/hours.ts'
import type { Reader } from '../read/reader.ts'
import { at, has, readChoice, readInteger, report, take } from '../read/reader.ts'
import { exactText, readTemplateText, readValueText } from '../read/template.ts'
import { type DefinitionOf, USUAL } from './definition.ts'
import { DURATION, OFFSET } from './member-schemas.ts'

const IF_PAST = ['run_now', 'skip'] as const
/** Members that make a delay one by clocks and days. */
const CLOCK_NAMES = ['at', 'weekdays', 'business_days'] as const
const MAX_BUSINESS_DAYS = 250

interface DelayDuration {
  kind: 'duration'
  /** As written; with a template in it, it has to render to a duration such as `3 days`. */
  duration: TemplateText
  /** Null when `duration` holds a template. */
  duration_ms: number | null
}
interface DelayUntil {
  kind: 'until'
  /** Renders to an ISO 8601 date or time, or to seconds or milliseconds since 1970. */
  until: TemplateText
  /** Added to it; negative is before. */
  offset_ms: number
  /** The zone in which a time is read that does not name one; null or left out: that of the trigger or the tenant. */
  timezone?: TemplateText | null
  /** The rule for a time that has passed already: go on at once, or end the execution (in a body: the item) here. */
  if_past: (typeof IF_PAST)[number]
}
/** Until the clocks of a zone show a time, on a day that is allowed, after a while. */
export interface DelayClock {
  kind: 'clock'
  /** After which it is looked for; null: at once. With a template in it, it has to render to a duration. */
  duration: TemplateText | null
  /** Null when `duration` holds a template, or is null. */
  duration_ms: number | null
  /** Business days of the tenant that pass before; 0: none. */
  business_days: number
  /** `HH:MM`, or a template that renders to one; null: the time of day stays. */
  at: TemplateText | null
  /** An IANA name, or a template that renders to one; null: that of the trigger or the tenant. */
  timezone: TemplateText | null
  /** Days on which it may go on. */
  days: DayRule
}
export type DelayStep = StepBase<'delay', DelayDuration | DelayUntil | DelayClock, 'next'>

export const delayStep: DefinitionOf<DelayStep> = {
  ...USUAL,
  since: 1,
  schema: {
    description:
      'Waits for a while, until a time, or until the clocks show a time of day on a day that is allowed.',
    properties: {
      duration: DURATION,
      until: { type: 'string', description: 'A time, or a template that renders to one.' },
      offset: OFFSET,
      if_past: { type: 'string', enum: [...IF_PAST], default: 'run_now' },
      at: {
        type: 'string',
        description: 'A time of day such as `09:00`, or a template that renders to one.',
      },
      timezone: {
        type: 'string',
        description: 'An IANA name. Left out: that of the trigger, else that of the shop.',
      },
      weekdays: {
        type: 'array',
        items: { type: 'string', enum: [...WEEKDAYS] },
        minItems: 1,
        description: 'Days on which it may go on.',
      },
      business_days: {
        type: ['integer', 'boolean'],
        description:
          'Days to wait on which the shop works, up to 250; `true`: it goes on only on such a day.',
      },
    },
    examples: [
      { type: 'delay', duration: '3 days' },
      { type: 'delay', until: '{{trigger.created_at}}', offset: '72 hours', if_past: 'skip' },
      { type: 'delay', duration: '1 day', at: '09:00', timezone: 'Europe/Berlin', weekdays: ['MON', 'TUE'] },
    ],
  },
  read: readDelay,
  output: () => ({
    type: 'object',
    properties: { waited_until: { type: 'string', format: 'date-time' } },
  }),
  ports: () => ['next'],
  goesOn: ['next'],
  calls: false,
  causes: 'nothing',
}

function readDelay(reader: Reader): DelayDuration | DelayUntil | DelayClock | null {
  const hasUntil = has(reader, 'until')
  // A false "business_days" allows every day, as none does.
  const clock = CLOCK_NAMES.filter(
    (name) => has(reader, name) && !(name === 'business_days' && take(reader, name) === false),
  )
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
  const ifPast = readChoice(reader, 'if_past', IF_PAST, 'run_now')
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
