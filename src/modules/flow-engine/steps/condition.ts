import { END } from '#lib/flow/types.ts'
import type { ConditionStep } from '#lib/flow/steps/condition.ts'
import { test } from '../run/evaluate.ts'
import type { StepRunner } from './runner.ts'

export const conditionRunner: StepRunner<ConditionStep> = {
  run(frame, at) {
    const { thread, step } = at
    const now = new Date(frame.now())
    const { result, note } = test(frame.program, step.config.condition, frame.scopeOf(thread), now)
    frame.leave(at, { port: result ? 'true' : 'false', output: { result }, note })
    if (thread === frame.state.main) frame.state.filtered = !result && thread.step === END
  },
}
