import type { FlowSettings, StepId, Trigger } from './elements.ts'
import type { CanonicalStep } from './steps/index.ts'

export * from './elements.ts'
export type { CanonicalStep, StepType } from './steps/index.ts'

/** The newest form of canonical flows that this release knows; what is stored under a newer one is left to its release. */
export const FLOW_SCHEMA_VERSION = 2
/** Raised when canonical flows change their shape; flows that are stored under an older one are compiled again. */
export const OLDEST_FLOW_SCHEMA_VERSION = 1
/** Raised when the states of executions change their shape. No higher than the newest form of flows. */
export const STATE_SCHEMA_VERSION = 1
/** Both forms have the same shape; see `schemaVersionOf`. */
export type FlowSchemaVersion = 1 | 2

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
