import type { SetStep } from '#lib/flow/steps/set.ts'
import { render } from '../run/evaluate.ts'
import type { StepRunner } from './runner.ts'

export const setRunner: StepRunner<SetStep> = {
  run(frame, at) {
    const { thread, step } = at
    const now = new Date(frame.now())
    const variables = render(frame.program, step.config.variables, frame.scopeOf(thread), now) as object
    Object.assign(thread.variables, variables)
    frame.leave(at, { port: 'next', output: variables })
  },
}
