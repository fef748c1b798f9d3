import { now } from '#lib/clock.ts'
import { EITHER_DAY, parseSchedule, takesEitherDay } from '#lib/cron.ts'
import { isEventType } from '#lib/event-pattern.ts'
import type { SafeSchema } from '#lib/schema/safe/index.ts'
import { checkSchema, normaliseSchema } from '#lib/schema/safe/index.ts'
import { isPlainObject } from '#lib/schema/safe/shape.ts'
import { isTimeZone } from '#lib/time-zone.ts'
import { readCondition } from './condition.ts'
import type { Compilation, Reader } from './reader.ts'
import { at, createReader, ENTRY_PLACE, finish, has, readChoice, report, take } from './reader.ts'
import { isId } from '../ids.ts'
import { readPluginRef } from './plugin-ref.ts'
import { splitPointer } from '../pointer.ts'
import type { Part } from './source.ts'
import { readWebhook } from './webhook.ts'
import type { Trigger } from '../elements.ts'

const MAX_EVENT_TYPES = 50
const MAX_CRON_CHARS = 100
const SCHEDULED: SafeSchema = {
  type: 'object',
  properties: {
    scheduled_at: { type: 'string', format: 'date-time' },
    fired_at: { type: 'string', format: 'date-time' },
    missed: { type: 'integer', minimum: 0 },
  },
}

/** Reads the triggers; those that are wrong are reported and left out. */
export function readTriggers(
  compilation: Compilation,
  parts: readonly Part[],
  filter: Part | null,
): Trigger[] {
  const ids = new Set<string>()
  return parts.flatMap((part, index) => {
    // The linear format's trigger_event is the type alone.
    const short = typeof part.value === 'string' || Array.isArray(part.value)
    const members = short ? { type: 'event', event_types: [part.value].flat() } : part.value
    if (!isPlainObject(members)) {
      compilation.problems.report(
        'malformed',
        part.path,
        'Describe a trigger by an object with "type".',
        null,
      )
      return []
    }
    const withFilter = short && filter ? { ...members, filter: filter.value } : members
    const reader = createReader(compilation, withFilter, part.path, null, ENTRY_PLACE)
    const id = readTriggerId(reader, ids, `trigger_${index + 1}`)
    const trigger = readTrigger(reader, id, short ? part.path : null, filter)
    finish(reader)
    return trigger ? [trigger] : []
  })
}

function readTriggerId(reader: Reader, ids: Set<string>, fallback: string): string {
  const sent = take(reader, 'id')
  const id = sent === undefined ? fallback : sent
  if (typeof id !== 'string' || !isId(id)) {
    const message = 'Give the trigger an id of lower-case letters, digits and _, that starts with a letter.'
    report(reader, 'invalid_id', at(reader, 'id'), message)
    return fallback
  }
  if (ids.has(id)) report(reader, 'duplicate_id', at(reader, 'id'), `Another trigger is called "${id}".`)
  ids.add(id)
  return id
}

function readTrigger(
  reader: Reader,
  id: string,
  shortPath: Part['path'] | null,
  filter: Part | null,
): Trigger | null {
  const type = take(reader, 'type')
  const { schemas, startTypes } = reader.compilation
  switch (type) {
    case 'event': {
      const eventTypes = readEventTypes(reader, shortPath)
      for (const each of eventTypes) {
        schemas.trigger.push(reader.compilation.catalogue.eventTypes.get(each)?.schema ?? null)
        startTypes.push(each)
      }
      const pluginId = has(reader, 'plugin_id') ? readPluginRef(reader, 'plugin_id') : null
      return {
        id,
        type,
        event_types: eventTypes,
        filter: readFilter(reader, shortPath ? (filter?.path ?? null) : null),
        plugin_id: pluginId,
      }
    }
    case 'schedule':
      schemas.trigger.push(SCHEDULED)
      startTypes.push(null)
      return {
        id,
        type,
        cron: readCron(reader),
        timezone: readTimeZone(reader),
        catch_up: readChoice(reader, 'catch_up', ['skip', 'once'], 'skip'),
      }
    case 'manual': {
      const inputSchema = readInputSchema(reader)
      schemas.trigger.push(inputSchema)
      startTypes.push(null)
      return { id, type, input_schema: inputSchema }
    }
    case 'webhook':
      schemas.trigger.push(null)
      startTypes.push(null)
      return { id, type, filter: readFilter(reader, null), ...readWebhook(reader) }
    default:
      report(
        reader,
        'unknown_trigger_type',
        at(reader, 'type'),
        'Give "type" one of event, schedule, manual, webhook.',
      )
      return null
  }
}

function readFilter(reader: Reader, path: Part['path'] | null): ReturnType<typeof readCondition> {
  const filter = take(reader, 'filter')
  return filter === undefined ? null : readCondition(reader, filter, path ?? at(reader, 'filter'))
}

function readEventTypes(reader: Reader, shortPath: Part['path'] | null): string[] {
  const name = has(reader, 'event_types') ? 'event_types' : 'event_type'
  const value = take(reader, name)
  const path = shortPath ?? at(reader, name)
  const types: unknown[] = typeof value === 'string' ? [value] : Array.isArray(value) ? value : []
  if (types.length === 0 || types.length > MAX_EVENT_TYPES) {
    const message = `Give "event_types" a list of 1 to ${MAX_EVENT_TYPES} types, such as "customer.created".`
    report(reader, 'invalid_event_type', path, message)
    return []
  }
  const checked = types.filter((type, index): type is string =>
    checkEventType(reader, type, Array.isArray(value) && shortPath === null ? [...path, index] : path),
  )
  return [...new Set(checked)]
}

/** Tells what can be an event type; that the tenant knows no such type is reported, too. */
export function checkEventType(reader: Reader, type: unknown, path: Part['path']): type is string {
  if (typeof type !== 'string' || !isEventType(type)) {
    report(reader, 'invalid_event_type', path, 'Write one event type, such as "customer.created".')
    return false
  }
  if (!reader.compilation.catalogue.eventTypes.has(type)) reportUnknown(reader, type, path)
  return true
}

/** Only a strict tenant refuses events of types that nobody has declared. */
function reportUnknown(reader: Reader, type: string, path: Part['path']): void {
  const { eventTypes, strictEvents } = reader.compilation.catalogue
  const near = reader.compilation.problems.near(type, eventTypes.keys())
  const guess = near === null ? null : `did you mean "${near}"?`
  if (strictEvents) {
    const advice = guess ?? 'declare it with PUT /api/event-types/{name}'
    report(reader, 'unknown_event_type', path, `There is no event type "${type}": ${advice}`, 'error')
    return
  }
  const advice = guess ?? 'check the name, or send the first one.'
  const message = `No event of the type "${type}" was declared or has come yet: ${advice}`
  report(reader, 'unknown_event_type', path, message, 'warning')
}

function readCron(reader: Reader): string {
  const cron = take(reader, 'cron')
  const path = at(reader, 'cron')
  const text = typeof cron === 'string' && cron.length <= MAX_CRON_CHARS ? cron.trim() : ''
  const fields = text.split(/\s+/).length
  if (fields === 6 || fields === 7) {
    const message = 'Remove the seconds: a schedule has five fields and comes due at most once a minute.'
    report(reader, 'schedule_too_frequent', path, message)
    return text
  }
  const fault = fields === 5 || /^@[a-z]+$/.test(text) ? cronFault(text) : 'it does not have five fields'
  if (fault !== null) {
    const message = `Write "cron" as minute, hour, day, month and weekday, such as "0 9 * * MON-FRI": ${fault}.`
    report(reader, 'invalid_cron', path, message)
  } else if (takesEitherDay(text)) {
    report(reader, 'schedule_days_either', path, EITHER_DAY)
  }
  return text
}

function cronFault(text: string): string | null {
  try {
    return parseSchedule(text, 'UTC').next(new Date(now())) === null ? 'this one never comes due' : null
  } catch (error) {
    return (error as Error).message.replace(/^CronPattern: /, '').replace(/\.$/, '')
  }
}

function readTimeZone(reader: Reader): string {
  const zone = take(reader, 'timezone')
  if (zone === undefined) return 'UTC'
  if (isTimeZone(zone)) return zone
  report(
    reader,
    'invalid_timezone',
    at(reader, 'timezone'),
    'Give an IANA time zone such as "Europe/Lisbon".',
  )
  return 'UTC'
}

function readInputSchema(reader: Reader): SafeSchema | null {
  const sent = take(reader, 'input_schema')
  if (sent === undefined) return null
  const schema = normaliseSchema(sent)
  const problems = checkSchema(schema)
  for (const { pointer, detail } of problems) {
    report(reader, 'invalid_schema', [...at(reader, 'input_schema'), ...splitPointer(pointer)], detail)
  }
  return problems.length > 0 ? null : (schema as SafeSchema)
}
