/**
 * Flows as data: the forms of a definition, its meaning, and its faults. `compileFlow` turns either way of writing a
 * flow into the one canonical form that the engine runs; it asks nobody and keeps nothing.
 */
export type { CatalogueAction, CatalogueEventType, FlowCatalogue } from './catalogue.ts'
export { type CatalogueFacts, toCatalogue, toCatalogueAction } from './catalogue-facts.ts'
export { compileFlow, compileInPieces } from './compile.ts'
export { MAX_PATTERNS, patternsOf } from './read/patterns.ts'
export type { CompileResult } from './compile.ts'
export { splitPointer } from './pointer.ts'
export { describeFlowProblems, FLOW_PROBLEMS } from './problem-codes.ts'
export type { Inspection, ScopeEntry } from './graph/step-scope.ts'
export { inspectFlow } from './inspect.ts'
export type { FlowProblem } from './problems.ts'
export { bodyList } from './read/drafts.ts'
export { findInexactNumber, tooManyPatterns } from './refusals.ts'
export { actionReferences, actionUses, stepReferences } from './references.ts'
export { definitionFormat } from './read/source.ts'
export { WEBHOOK_SCHEMA } from './read/webhook.ts'
export { describeSteps } from './steps/describe.ts'
export { cutAfter } from './until.ts'
export * from './types.ts'
