import type { components } from '../../api/schema.d.ts'

export type RunDetail = Omit<components['schemas']['ExecutionDetail'], 'steps' | 'next_cursor'>
export type RunStep = components['schemas']['ExecutionStep']
export type StepStarted = components['schemas']['ExecutionStepStarted']
export type HeldBack = components['schemas']['HeldBack']
export type RunAttempt = components['schemas']['ExecutionAttempt']
