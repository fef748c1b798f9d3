import { Type } from '@sinclair/typebox'
import type { FieldError } from '#lib/api/problem.ts'
import { parseTime } from '#lib/time.ts'
import { invalidRequest } from './problems.ts'

const Time = (description: string) => Type.String({ format: 'date-time', maxLength: 40, description })

/** Members of a list's query that cut it by time. */
export const TimeRangeQuery = {
  since: Type.Optional(Time('Created then or later')),
  until: Type.Optional(Time('Created before then')),
}

export interface TimeRange {
  since: Date | null
  until: Date | null
}

/**
 * Reads `since` and `until` of a query, or of a body.
 *
 * @param at where in the request they stand, as a JSON pointer @throws `invalid_request` for a time that none is
 */
export function readTimeRange(query: { since?: string; until?: string }, at = '/querystring'): TimeRange {
  const errors: FieldError[] = []
  const read = (name: 'since' | 'until'): Date | null => {
    const text = query[name]
    if (text === undefined) return null
    const ms = parseTime(text)
    if (ms !== null && ms >= 0) return new Date(ms)
    errors.push({ pointer: `${at}/${name}`, detail: 'must be a time such as 2026-05-01T00:00:00Z' })
    return null
  }
  const range = { since: read('since'), until: read('until') }
  if (errors.length > 0) throw invalidRequest(undefined, { errors })
  return range
}

/** Member of a list's query: one status, or a class of them. */
export const ResponseStatusQuery = Type.Optional(
  Type.String({
    pattern: '^[1-5](?:\\d\\d|xx)$',
    description: 'A status such as 404, or a class such as 5xx',
    examples: ['5xx'],
  }),
)

/** The statuses that `404` or `5xx` names. */
export function statusesNamed(text: string): number[] {
  if (!text.endsWith('xx')) return [Number(text)]
  const first = Number(text[0]) * 100
  return Array.from({ length: 100 }, (_, index) => first + index)
}

/** Member of a list's query: one status or several, separated by commas. */
export function StatusesQuery(known: readonly [string, ...string[]]) {
  return Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: known.join().length,
      description: `${known.join(', ')}; several are separated by commas`,
      examples: [known[0]],
    }),
  )
}

/** The statuses that such a member names, each once; null: any. @throws `invalid_request` for one that is none */
export function statusesOf<Status extends string>(
  text: string | undefined,
  known: readonly Status[],
): Status[] | null {
  if (text === undefined) return null
  const names = new Set(text.split(','))
  const statuses = known.filter((status) => names.has(status))
  if (statuses.length === names.size) return statuses
  const detail = `must be one of ${known.join(', ')}, or several of them, separated by commas`
  throw invalidRequest(undefined, { errors: [{ pointer: '/querystring/status', detail }] })
}
