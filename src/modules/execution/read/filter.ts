import type { ExecutionStatus } from '#db/schema.ts'
import { invalidRequest } from '#infra/http/problems.ts'
import type { FieldError } from '#lib/api/problem.ts'
import { parseTime } from '#lib/time.ts'
import type { ExecutionFilter } from './repository.ts'

interface GivenFilter {
  flow?: string
  key?: string
  since?: string
  until?: string
}

/** @param at where in the request it stands, as a JSON pointer @throws `invalid_request` for a time that none is */
export function readFilter(
  given: GivenFilter,
  statuses: readonly ExecutionStatus[] | null,
  at: string,
): ExecutionFilter {
  const errors: FieldError[] = []
  const time = (name: 'since' | 'until'): Date | null => {
    const text = given[name]
    if (text === undefined) return null
    const ms = parseTime(text)
    if (ms === null || ms < 0) {
      errors.push({ pointer: `${at}/${name}`, detail: 'must be a time such as 2026-05-01T00:00:00Z' })
      return null
    }
    return new Date(ms)
  }
  const since = time('since')
  const until = time('until')
  if (errors.length > 0) throw invalidRequest(undefined, { errors })
  return { flowId: given.flow ?? null, statuses, key: given.key ?? null, since, until }
}
