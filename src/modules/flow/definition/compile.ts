import { type CanonicalFlow, compileFlow, type CompileResult, type FlowProblem } from '#lib/flow/index.ts'
import { isRawNumber, toPointer } from '#lib/json/index.ts'
import { loadCatalogue } from './catalogue.ts'
import type { FlowContext } from '../context.ts'

/** Compiles a definition against what the tenant has now. */
export async function compile(
  ctx: Pick<FlowContext, 'db' | 'registry'>,
  tenantId: string,
  definition: unknown,
): Promise<CompileResult> {
  const fault = findInexactNumber(definition)
  if (fault !== null) return { flow: null, problems: [fault] }
  return compileFlow(definition, await loadCatalogue(ctx, tenantId))
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
