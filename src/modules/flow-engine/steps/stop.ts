import type { StepErrorCode } from '#lib/error-codes.ts'
import type { StopStep } from '#lib/flow/steps/stop.ts'
import { renderText } from '../run/evaluate.ts'
import type { StepRunner } from './runner.ts'

export const stopRunner: StepRunner<StopStep> = {
  run(frame, { thread, stepId, step }) {
    const { outcome, reason } = step.config
    const note =
      reason === null ? null : renderText(frame.program, reason, frame.scopeOf(thread), new Date(frame.now()))
    frame.journal.record(thread, step, { stepId, status: 'succeeded', port: null, note })
    if (outcome !== 'failed') {
      frame.endWith('completed', outcome)
      return
    }
    const code: StepErrorCode = 'stopped'
    frame.state.error ??= { step_id: stepId, code, message: note ?? 'The flow stopped here.' }
    frame.endWith('failed', 'stopped')
  },
}
