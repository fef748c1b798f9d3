import type { CanonicalStep, StepType } from '#lib/flow/types.ts'
import { StepError } from '../run/evaluate.ts'
import type { Frame, Position } from '../run/frame.ts'
import { actionRunner } from './action.ts'
import { conditionRunner } from './condition.ts'
import { delayRunner } from './delay.ts'
import { forEachRunner } from './for-each.ts'
import { httpRunner } from './http.ts'
import { messageRunner } from './message.ts'
import type { StepRunner } from './runner.ts'
import { setRunner } from './set.ts'
import { stopRunner } from './stop.ts'
import { switchRunner } from './switch.ts'
import { waitEventRunner } from './wait-event.ts'

const STEP_RUNNERS: { readonly [Type in StepType]: StepRunner<Extract<CanonicalStep, { type: Type }>> } = {
  condition: conditionRunner,
  switch: switchRunner,
  action: actionRunner,
  delay: delayRunner,
  wait_event: waitEventRunner,
  for_each: forEachRunner,
  set: setRunner,
  http: httpRunner,
  message: messageRunner,
  stop: stopRunner,
}

/** Finds the runner of a step's type; null: what is stored may be of another release. */
export function findRunner({ type }: { type: string }): StepRunner | null {
  return Object.hasOwn(STEP_RUNNERS, type) ? STEP_RUNNERS[type as StepType] : null
}

/** Does the step at which a thread is. @throws {StepError} when it cannot, and nothing says so yet */
export async function doStep(frame: Frame, at: Position): Promise<void> {
  const runner = findRunner(at.step)
  if (runner === null) {
    const message = `This release does not know steps of the type ${at.step.type}.`
    throw new StepError('unknown_step', message)
  }
  await runner.run(frame, at)
}
