import type { FlowCatalogue } from './catalogue.ts'
import { compileFlow, type CompileResult } from './compile.ts'
import { MAX_PATTERNS, patternsOf } from './read/patterns.ts'
import { findInexactNumber, tooManyPatterns } from './refusals.ts'
import { type Inspection, type ScopeEntry, scopeAt } from './graph/step-scope.ts'

export interface InspectResult extends CompileResult {
  /** Lists the values that templates of a step may read; null: those that triggers and the flow's settings may. */
  scopeAt: (stepId: string | null) => ScopeEntry[]
}

/** Compiles a definition as the service does, and keeps what it found out about it: for builders. */
export function inspectFlow(definition: unknown, catalogue: FlowCatalogue): InspectResult {
  const refusal =
    findInexactNumber(definition) ?? (patternsOf(definition).size > MAX_PATTERNS ? tooManyPatterns() : null)
  if (refusal !== null) return { flow: null, problems: [refusal], scopeAt: () => [] }
  let inspection: Inspection | null = null
  const result = compileFlow(definition, catalogue, {
    inspect: (found) => {
      inspection = found
    },
  })
  return { ...result, scopeAt: (stepId) => (inspection === null ? [] : scopeAt(inspection, stepId)) }
}
