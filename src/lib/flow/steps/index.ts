import { type ActionStep, actionStep } from './action.ts'
import { type ConditionStep, conditionStep } from './condition.ts'
import type { DefinitionOf, StepDefinition } from './definition.ts'
import { type DelayStep, delayStep } from './delay.ts'
import { type ForEachStep, forEachStep } from './for-each.ts'
import { type HttpStep, httpStep } from './http.ts'
import { type MessageStep, messageStep } from './message.ts'
import { type SetStep, setStep } from './set.ts'
import { type StopStep, stopStep } from './stop.ts'
import { type SwitchStep, switchStep } from './switch.ts'
import { type WaitEventStep, waitEventStep } from './wait-event.ts'

/** A step as the engine runs it. A new type begins here: `tsc` names what it lacks, its runner in `flow-engine/steps`, too. */
export type CanonicalStep =
  | ConditionStep
  | SwitchStep
  | ActionStep
  | DelayStep
  | WaitEventStep
  | ForEachStep
  | SetStep
  | HttpStep
  | MessageStep
  | StopStep

export type StepType = CanonicalStep['type']

export const STEP_TYPES: {
  readonly [Type in StepType]: DefinitionOf<Extract<CanonicalStep, { type: Type }>>
} = {
  condition: conditionStep,
  switch: switchStep,
  action: actionStep,
  delay: delayStep,
  wait_event: waitEventStep,
  for_each: forEachStep,
  set: setStep,
  http: httpStep,
  message: messageStep,
  stop: stopStep,
}

/** Finds the definition of a type whose steps are handled like any other's. */
export function definitionOf(type: StepType): StepDefinition {
  return STEP_TYPES[type]
}

/** Finds the definition of a type's name, which may be none: sent and stored flows may name anything. */
export function findDefinition(type: unknown): StepDefinition | null {
  return isStepType(type) ? definitionOf(type) : null
}

/** Lists the types that are so, for statements that go by the type of stored steps. */
export function typesThat(are: (definition: StepDefinition) => boolean): StepType[] {
  return (Object.keys(STEP_TYPES) as StepType[]).filter((type) => are(definitionOf(type)))
}

export function isStepType(value: unknown): value is StepType {
  return typeof value === 'string' && Object.hasOwn(STEP_TYPES, value)
}
