import { StepError } from '../run/evaluate.ts'
import type { Frame, Position } from '../run/frame.ts'
import { isPure } from './run-step.ts'
import { doCall } from './call.ts'
import { doLoop } from './loop.ts'
import { doPure } from './pure.ts'
import { doWait } from './wait.ts'

/** Does the step at which a line is. @throws {StepError} when it cannot, and nothing says so yet */
export async function doStep(frame: Frame, { thread, stepId, step }: Position): Promise<void> {
  if (isPure(step)) {
    doPure(frame, { thread, stepId, step })
    return
  }
  switch (step.type) {
    case 'action':
    case 'http':
    case 'message':
      return doCall(frame, { thread, stepId, step })
    case 'wait_event':
      return doWait(frame, { thread, stepId, step })
    case 'for_each':
      doLoop(frame, { thread, stepId, step })
      return
    default:
      throw unknownStep(step)
  }
}

/** The compiler's proof that every type is done; what is stored may say otherwise. */
function unknownStep(step: never): StepError {
  const { type } = step as { type: unknown }
  return new StepError('unknown_step', `This release does not know steps of the type ${String(type)}.`)
}
