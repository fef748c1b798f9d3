/**
 * Flows as data: what a definition may look like, what it means, and what is wrong with it. `compileFlow` turns
 * either way of writing a flow into the one canonical form that the engine runs; it asks nobody and keeps nothing.
 */
export type {
  ActionResolution,
  CatalogueAction,
  CatalogueEventType,
  CataloguePlugin,
  FlowCatalogue,
} from './catalogue.ts'
export { compileFlow } from './compile.ts'
export type { CompileResult } from './compile.ts'
export { describeFlowProblems, FLOW_PROBLEMS } from './problem-codes.ts'
export type { FlowProblem, FlowProblemCode, Severity } from './problems.ts'
export { actionReferences } from './references.ts'
export type { ActionReference } from './references.ts'
export { SCOPE_FIELDS } from './scope.ts'
export type { EventScope, ExecutionScope, FlowScope } from './scope.ts'
export { definitionFormat } from './read/source.ts'
export * from './types.ts'
