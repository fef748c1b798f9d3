import type { SwitchStep } from '#lib/flow/steps/switch.ts'
import { test } from '../run/evaluate.ts'
import type { StepRunner } from './runner.ts'

export const switchRunner: StepRunner<SwitchStep> = {
  run(frame, at) {
    const scope = frame.scopeOf(at.thread)
    const now = new Date(frame.now())
    const holds = at.step.config.cases.find(
      ({ condition }) => test(frame.program, condition, scope, now).result,
    )
    const port = holds?.name ?? 'default'
    frame.leave(at, { port, output: { case: port } })
  },
}
