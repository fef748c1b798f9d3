import type { CanonicalStep } from '#lib/flow/types.ts'
import type { Frame, Position } from '../run/frame.ts'

/**
 * Does the steps of one type. How they are written, and where they may lead, is the type's definition in
 * `lib/flow/steps`.
 */
export interface StepRunner<Step extends CanonicalStep = CanonicalStep> {
  /**
   * Takes a thread's step as far as it goes: the thread moves on, is suspended, or ends the execution.
   * @throws {StepError} when the step cannot be done, and nothing says so yet
   */
  run(frame: Frame, at: Position<Step>): Promise<void> | void
  /** Says until when a step that gave this output had waited; null: it had not. Left out: the type never does. */
  waitedUntil?(output: unknown): string | null
}
