import type { FlowSchemaVersion, FlowSettings, StepId, Trigger } from './elements.ts'
import type { CanonicalStep } from './steps/index.ts'

export * from './elements.ts'
export type { CanonicalStep, StepType } from './steps/index.ts'

/** A flow as the engine runs it: plain JSON, ids checked, defaults written out, every target exists. */
export interface CanonicalFlow {
  schema_version: FlowSchemaVersion
  triggers: Trigger[]
  start: StepId
  /** Steps, the steps of loops' bodies and error handlers: one namespace. */
  steps: Record<StepId, CanonicalStep>
  /** The error handlers in order; an error that no port takes enters at the first one. Empty: the execution fails. */
  handlers: StepId[]
  /** The `variables` with which an execution starts. Not templates. */
  variables: Record<string, unknown>
  /** Variables of the shop that it reads, and has no value of its own for. Left out: none. */
  shop_variables?: string[]
  settings: FlowSettings
  /** Positions for the builder. Not part of a version: store it apart, and leave it out of comparisons. */
  layout: Record<string, unknown>
}
