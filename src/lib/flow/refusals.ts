import { toPointer } from '#lib/json/error.ts'
import { isRawNumber } from '#lib/json/raw-number.ts'
import type { FlowProblem } from './problems.ts'
import { MAX_PATTERNS } from './read/patterns.ts'

/** A number that would not be the same after the engine has read it: refused, not altered. */
export function findInexactNumber(definition: unknown): FlowProblem | null {
  const path = pathOfInexact(definition, [])
  return (
    path && {
      code: 'invalid_value',
      severity: 'error',
      pointer: toPointer(path),
      step_id: null,
      message: 'Write this number as text: it has more digits, or is larger, than a double can hold.',
    }
  )
}

function pathOfInexact(value: unknown, path: (string | number)[]): (string | number)[] | null {
  if (isRawNumber(value)) return [...path]
  if (typeof value !== 'object' || value === null) return null
  for (const [name, member] of Object.entries(value)) {
    if (typeof member !== 'object' || member === null) continue
    path.push(name)
    const found = pathOfInexact(member, path)
    if (found !== null) return found
    path.pop()
  }
  return null
}

export function tooManyPatterns(): FlowProblem {
  return {
    code: 'too_large',
    severity: 'error',
    pointer: '',
    step_id: null,
    message: `Use at most ${MAX_PATTERNS} different regular expressions in a flow; "contains", "starts_with" and "in" need none.`,
  }
}
