import {
  type CanonicalFlow,
  compileInPieces,
  type CompileResult,
  type FlowProblem,
  MAX_PATTERNS,
  patternsOf,
} from '#lib/flow/index.ts'
import { isRawNumber, toPointer } from '#lib/json/index.ts'
import { loopShare } from '#lib/async/loop-share.ts'
import { checkPattern } from '#lib/condition/pattern.ts'
import { loadCatalogue } from './catalogue.ts'
import type { FlowContext } from '../context.ts'

/**
 * Compiles a definition against what the tenant has now, in pieces: what costs much makes its own caller wait, and
 * shares the process with what others do.
 */
export async function compile(
  ctx: Pick<FlowContext, 'db' | 'registry' | 'egress'>,
  tenantId: string,
  definition: unknown,
): Promise<CompileResult> {
  const fault = findInexactNumber(definition)
  if (fault !== null) return { flow: null, problems: [fault] }
  const verdicts = new Map<string, string | null>()
  for (const pattern of patternsOf(definition)) {
    if (verdicts.size === MAX_PATTERNS) return { flow: null, problems: [tooManyPatterns()] }
    await loopShare.turn(tenantId)
    verdicts.set(pattern, checkPattern(pattern))
  }
  const pieces = compileInPieces(definition, await loadCatalogue(ctx, tenantId), {
    checkPattern: (pattern) => verdicts.get(pattern) ?? null,
  })
  for (;;) {
    const piece = pieces.next()
    if (piece.done === true) return piece.value
    const turn = loopShare.turn(tenantId)
    if (turn !== null) await turn
  }
}

function tooManyPatterns(): FlowProblem {
  return {
    code: 'too_large',
    severity: 'error',
    pointer: '',
    step_id: null,
    message: `Use at most ${MAX_PATTERNS} different regular expressions in a flow; "contains", "starts_with" and "in" need none.`,
  }
}

/** A flow's version as it is stored: without the builder's positions. */
export function versionText(flow: CanonicalFlow): string {
  return JSON.stringify({ ...flow, layout: {} })
}

/** Whether running one would be running the other. What is stored has its members in the order of its text. */
export function isSameVersion(flow: CanonicalFlow, stored: unknown): boolean {
  return versionText(flow) === JSON.stringify(stored)
}

/** A number that would not be the same after the engine has read it: refused, not altered. */
function findInexactNumber(definition: unknown): FlowProblem | null {
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
