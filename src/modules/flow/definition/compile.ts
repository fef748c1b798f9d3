import {
  type CanonicalFlow,
  cutAfter,
  definitionFormat,
  type Inspection,
  compileInPieces,
  type CompileResult,
  findInexactNumber,
  MAX_PATTERNS,
  patternsOf,
  tooManyPatterns,
} from '#lib/flow/index.ts'
import { loopShare } from '#lib/async/loop-share.ts'
import { checkPattern } from '#lib/condition/pattern.ts'
import { type CatalogueContext, loadCatalogue } from './catalogue.ts'

/**
 * Compiles a definition against what the tenant has now, in pieces: what costs much makes its own caller wait, and
 * shares the process with what others do.
 */
export async function compile(
  ctx: CatalogueContext,
  tenantId: string,
  definition: unknown,
  inspect?: (inspection: Inspection) => void,
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
    ...(inspect !== undefined && { inspect }),
  })
  for (;;) {
    const piece = pieces.next()
    if (piece.done === true) return piece.value
    const turn = loopShare.turn(tenantId)
    if (turn !== null) await turn
  }
}

/** The same as far as a step: what is wrong with steps that do not come before it counts only in linear format. */
export async function compileUntil(
  ctx: CatalogueContext,
  tenantId: string,
  definition: Record<string, unknown>,
  last: string,
): Promise<CompileResult> {
  const inspections: Inspection[] = []
  const whole = await compile(ctx, tenantId, definition, (found) => inspections.push(found))
  const inspection = inspections.at(-1)
  if (whole.flow !== null || inspection === undefined || definitionFormat(definition) === 'linear')
    return whole
  const cut = cutAfter(definition, inspection, last)
  if (cut === null) return whole
  const problems = whole.problems.filter(cut.concerns)
  if (problems.some(({ severity }) => severity === 'error')) return { flow: null, problems }
  const { flow } = await compile(ctx, tenantId, cut.definition)
  return flow === null ? whole : { flow, problems }
}

/** A flow's version as it is stored: without the builder's positions. */
export function versionText(flow: CanonicalFlow): string {
  return JSON.stringify({ ...flow, layout: {} })
}

/** Tells whether running one would be running the other. A stored one has its members in the order of its text. */
export function isSameVersion(flow: CanonicalFlow, stored: unknown): boolean {
  return versionText(flow) === JSON.stringify(stored)
}
