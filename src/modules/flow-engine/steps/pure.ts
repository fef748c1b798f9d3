import type { Frame, Position } from '../run/frame.ts'
import { type PureStep, runPure } from './run-step.ts'
import { moveTo, suspend } from '../run/state.ts'

/** Condition, switch, set, delay, stop: what they come to rides along with the next boundary. @throws {StepError} */
export function doPure(frame: Frame, at: Position<PureStep>): void {
  const { thread, stepId, step } = at
  const { journal, state } = frame
  if (thread.waiting === 'delay') {
    const output = { waited_until: new Date(thread.due_at ?? frame.clock()).toISOString() }
    frame.leave(at, { port: 'next', output })
    return
  }
  const result = runPure(frame.program, step, frame.scopeOf(thread), {
    now: new Date(frame.now()),
    calendar: frame.scope.calendar,
  })
  switch (result.kind) {
    case 'go': {
      const { port, output, note, variables } = result
      if (variables !== undefined) Object.assign(thread.variables, variables)
      frame.leave(at, { port, output, note })
      if (thread === state.main && step.type === 'condition') {
        state.filtered = port === 'false' && thread.step === 'end'
      }
      return
    }
    case 'wait':
      suspend(thread, 'delay', result.dueAt)
      return
    case 'skip':
      journal.record(thread, step, { stepId, status: 'skipped', port: null, note: result.reason })
      if (thread === state.main) state.filtered = true
      moveTo(thread, 'end', frame.now())
      return
    case 'stop':
      journal.record(thread, step, { stepId, status: 'succeeded', port: null, note: result.reason })
      if (result.outcome !== 'failed') {
        frame.endWith('completed', result.outcome)
        return
      }
      state.error ??= {
        step_id: stepId,
        code: 'stopped',
        message: result.reason ?? 'The flow stopped here.',
      }
      frame.endWith('failed', 'stopped')
  }
}
