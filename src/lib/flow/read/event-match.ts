import { parsePath } from '#lib/json/path.ts'
import { isPlainObject } from '#lib/schema/safe/shape.ts'
import type { Path } from '../problems.ts'
import { readDuration } from './duration.ts'
import { readCondition } from './condition.ts'
import type { Reader } from './reader.ts'
import { at, createReader, finish, report, take } from './reader.ts'
import { expandPath, readTree } from './template.ts'
import { lookUp } from '../schemas.ts'
import { checkEventType } from './triggers.ts'
import type { EventMatch } from '../elements.ts'

const MAX_ALTERNATIVES = 20
const MAX_MATCHED_PATHS = 20

/** Reads a list of events to wait for, or one of them alone. */
export function readEventMatches(
  reader: Reader,
  value: unknown,
  path: Path,
  { withLookBack = false }: { withLookBack?: boolean } = {},
): EventMatch[] {
  const several = Array.isArray(value)
  const list: unknown[] = several ? value : [value]
  if (list.length === 0 || list.length > MAX_ALTERNATIVES) {
    const message = `Name 1 to ${MAX_ALTERNATIVES} events, each as { "event", "match" }.`
    report(reader, 'malformed', path, message)
    return []
  }
  return list.flatMap((each, index) => {
    const place = several ? [...path, index] : path
    if (!isPlainObject(each)) {
      report(
        reader,
        'malformed',
        place,
        'Name an event as { "event": "order.paid", "match": "trigger.order_id" }.',
      )
      return []
    }
    const inner = createReader(reader.compilation, each, place, reader.stepId, reader.place)
    const match = readEventMatch(inner)
    const lookBackMs = withLookBack ? readDuration(inner, 'look_back') : null
    finish(inner)
    return match ? [lookBackMs === null ? match : { ...match, look_back_ms: lookBackMs }] : []
  })
}

/** Reads `event`, `match` and `filter` of the reader's object. */
export function readEventMatch(reader: Reader): EventMatch | null {
  const event = take(reader, 'event')
  const name = nameOf(event)
  const match = readMatch(reader, name)
  const filter = readArrivingFilter(reader, name)
  return checkEventType(reader, event, at(reader, 'event')) ? { event, match, filter } : null
}

function readMatch(reader: Reader, event: string): Record<string, string> {
  const sent = take(reader, 'match')
  const path = at(reader, 'match')
  if (sent === undefined) {
    const message = 'Add "match", such as "trigger.order_id": without it an event about anything counts.'
    report(reader, 'wait_without_match', path, message)
    return {}
  }
  if (typeof sent === 'string') return readShortMatch(reader, sent, path)
  if (!isPlainObject(sent) || Object.keys(sent).length > MAX_MATCHED_PATHS) {
    const message = `Give "match" a path such as "trigger.order_id", or up to ${MAX_MATCHED_PATHS} paths with templates.`
    report(reader, 'malformed', path, message)
    return {}
  }
  const schema = reader.compilation.catalogue.eventTypes.get(event)?.schema ?? null
  const entries = Object.entries(sent).flatMap(([name, template]) => {
    const below = parsePath(name)
    if (!below)
      report(reader, 'invalid_path', [...path, name], 'Name a path in the data of the arriving event.')
    const lookup = below ? lookUp(schema, below) : null
    if (lookup && 'missing' in lookup && lookup.missing !== 'unknown') {
      const message = `"${name}" is not declared for ${event}.`
      report(
        reader,
        'unknown_path',
        [...path, name],
        message,
        lookup.missing === 'absent' ? 'error' : 'warning',
      )
    }
    if (typeof template !== 'string') {
      report(reader, 'invalid_value', [...path, name], 'Give a template such as "{{trigger.order_id}}".')
      return []
    }
    readTree(reader, template, [...path, name])
    return [[name, template] as const]
  })
  return Object.fromEntries(entries)
}

/** `"trigger.order_id"` is short for `{ "order_id": "{{trigger.order_id}}" }`. */
function readShortMatch(reader: Reader, text: string, path: Path): Record<string, string> {
  const template = expandPath(text)
  const name = parsePath(text)?.at(-1)
  if (template === null || typeof name !== 'string' || parsePath(text)?.length === 1) {
    const message = 'Give "match" a path such as "trigger.order_id", or an object of paths and templates.'
    report(reader, 'malformed', path, message)
    return {}
  }
  readTree(reader, template, path)
  return { [name]: template }
}

function readArrivingFilter(reader: Reader, event: string): EventMatch['filter'] {
  const filter = take(reader, 'filter')
  if (filter === undefined) return null
  const roots = [...new Set([...reader.place.roots, 'event' as const])]
  const arriving: Reader = { ...reader, place: { roots, arriving: event } }
  return readCondition(arriving, filter, at(reader, 'filter'), 'event.data')
}

/** Returns the name that a text is; anything else names nothing, and may not even be convertible. */
function nameOf(event: unknown): string {
  return typeof event === 'string' ? event : ''
}
