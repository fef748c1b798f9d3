import type { ActionStep } from '#lib/flow/steps/action.ts'
import { render } from '../run/evaluate.ts'
import { dispatchFlowAction } from './action-call.ts'
import { callRunner } from './call-runner.ts'
import { actionTarget } from './target.ts'

export const actionRunner = callRunner<ActionStep>(({ program, step, name, scope, asOf }) => {
  const { action_type, plugin_id } = step.config
  const input = render(program, step.config.input, scope, asOf) as Record<string, unknown>
  return {
    name,
    target: actionTarget(step.config),
    input,
    intent: { kind: 'action', action_type, plugin_id },
    send: (ctx, eventDepth, mayHaveRun) =>
      dispatchFlowAction(ctx, name, step, input, { scope, eventDepth }, mayHaveRun),
    rehearse: (sample) => sample(step.config),
  }
})
