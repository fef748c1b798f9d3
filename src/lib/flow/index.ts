/**
 * Flows as data: what a definition may look like, what it means, and what is wrong with it. `compileFlow` turns
 * either way of writing a flow into the one canonical form that the engine runs; it asks nobody and keeps nothing.
 */
export type { CatalogueAction, CatalogueEventType, FlowCatalogue } from './catalogue.ts'
export { compileFlow, compileInPieces } from './compile.ts'
export { MAX_PATTERNS, patternsOf } from './read/patterns.ts'
export type { CompileResult } from './compile.ts'
export { describeFlowProblems, FLOW_PROBLEMS } from './problem-codes.ts'
export type { FlowProblem } from './problems.ts'
export { bodyList } from './read/drafts.ts'
export { actionReferences, actionUses, stepReferences } from './references.ts'
export { definitionFormat } from './read/source.ts'
export { describeSteps } from './steps/describe.ts'
export * from './types.ts'
