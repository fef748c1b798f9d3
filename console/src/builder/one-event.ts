import type { StepField } from '../flow/step-types.ts'

/** What a wait asks of each of several events. */
export const ONE_EVENT: readonly StepField[] = [
  { name: 'event', kind: 'event', required: true },
  { name: 'match', kind: 'match', required: true },
  { name: 'filter', kind: 'condition' },
]
