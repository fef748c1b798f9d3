import { type DayRule, parseTimeOfDay, type SendWindow, type Weekday, WEEKDAYS } from '#lib/calendar.ts'
import { isPlainObject } from '#lib/schema/safe/shape.ts'
import { holdsTemplate } from '#lib/template-text.ts'
import { isTimeZone } from '#lib/time-zone.ts'
import type { Reader } from './reader.ts'
import { at, createReader, ENTRY_PLACE, finish, has, readBoolean, report, take } from './reader.ts'
import { readTemplateText } from './template.ts'

/** `HH:MM`, or a template; null when it is left out or wrong, which is reported. */
export function readTimeOfDay(reader: Reader, name: string): string | null {
  const value = take(reader, name)
  if (holdsTemplate(value)) return readTemplateText(reader, name)
  const text = readFixedTime(reader, name)
  if (text !== '24:00') return text
  report(reader, 'invalid_time', at(reader, name), `Give "${name}" the time 00:00 for midnight.`)
  return null
}

/** An IANA name, or a template; null when it is left out or wrong, which is reported. */
export function readTimeZone(reader: Reader, name = 'timezone'): string | null {
  const value = take(reader, name)
  if (holdsTemplate(value)) return readTemplateText(reader, name)
  if (value === undefined || isTimeZone(value)) return value ?? null
  const message = `Give "${name}" an IANA time zone such as "Europe/Lisbon".`
  report(reader, 'invalid_timezone', at(reader, name), message)
  return null
}

/** `["MON", "FRI"]`; undefined when it is left out or wrong, which is reported. */
export function readWeekdays(reader: Reader): Weekday[] | undefined {
  const value = take(reader, 'weekdays')
  if (value === undefined) return undefined
  const days = Array.isArray(value)
    ? value.map((each: unknown) => (typeof each === 'string' ? each.toUpperCase() : null))
    : []
  const known = WEEKDAYS.filter((day) => days.includes(day))
  if (days.length > 0 && known.length === days.length) return known
  const message = `Give "weekdays" a list of some of ${WEEKDAYS.join(', ')}, each once.`
  report(reader, 'invalid_value', at(reader, 'weekdays'), message)
  return undefined
}

/** Reads when a flow's messages may be sent. */
export function readSendWindow(settings: Reader): SendWindow | null {
  const sent = take(settings, 'send_window')
  const path = at(settings, 'send_window')
  if (sent === undefined) return null
  if (!isPlainObject(sent)) {
    report(settings, 'malformed', path, 'Give "send_window" an object: { "from": "09:00", "to": "20:00" }.')
    return null
  }
  const reader = createReader(settings.compilation, sent, path, null, ENTRY_PLACE)
  for (const name of ['from', 'to']) {
    if (has(reader, name)) continue
    report(reader, 'missing_property', at(reader, name), `Add "${name}", a time of day such as "09:00".`)
  }
  const [from, to] = [readFixedTime(reader, 'from'), readFixedTime(reader, 'to')]
  const weekdays = readWeekdays(reader)
  const isBusiness = readBoolean(reader, 'business_days', false)
  const timezone = readFixedZone(reader)
  finish(reader)
  if (from === null || to === null) return null
  if (Number(parseTimeOfDay(from)) >= Number(parseTimeOfDay(to))) {
    const message = 'Give "to" a later time than "from", up to "24:00": a window lies within a day.'
    report(reader, 'invalid_value', at(reader, 'to'), message)
    return null
  }
  return { from, to, ...dayRule(weekdays, isBusiness), ...(timezone !== null && { timezone }) }
}

export function dayRule(weekdays: Weekday[] | undefined, isBusiness: boolean): DayRule {
  return { ...(weekdays && { weekdays }), ...(isBusiness && { business_days: true }) }
}

function readFixedZone(reader: Reader): string | null {
  if (!holdsTemplate(take(reader, 'timezone'))) return readTimeZone(reader)
  const message = 'Give "timezone" an IANA time zone such as "Europe/Lisbon": no template can stand here.'
  report(reader, 'invalid_timezone', at(reader, 'timezone'), message)
  return null
}

function readFixedTime(reader: Reader, name: string): string | null {
  const value = take(reader, name)
  if (value === undefined) return null
  if (typeof value === 'string' && parseTimeOfDay(value) !== null) return value
  report(reader, 'invalid_time', at(reader, name), `Give "${name}" a time of day such as "09:00".`)
  return null
}
