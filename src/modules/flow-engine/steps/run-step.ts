import type { FlowScope } from '#lib/flow/scope.ts'
import type {
  CanonicalStep,
  ConditionStep,
  DelayStep,
  SetStep,
  StopStep,
  SwitchStep,
  Target,
} from '#lib/flow/types.ts'
import { parseDuration, parseTime } from '#lib/time.ts'
import { render, renderText, StepError, test } from '../run/evaluate.ts'
import type { Program } from '../run/program.ts'

/** What a step that asks nobody comes to. */
export type PureResult =
  | {
      kind: 'go'
      port: string
      to: Target
      output: unknown
      note: string | null
      variables?: Record<string, unknown>
    }
  | { kind: 'wait'; dueAt: number }
  /** Ends the item of a loop, or the execution. */
  | { kind: 'skip'; reason: string }
  | { kind: 'stop'; outcome: StopStep['config']['outcome']; reason: string | null }

export type PureStep = ConditionStep | SwitchStep | SetStep | DelayStep | StopStep

export function isPure(step: CanonicalStep): step is PureStep {
  return ['condition', 'switch', 'set', 'delay', 'stop'].includes(step.type)
}

/** @param now the database's clock. @throws {StepError} */
export function runPure(program: Program, step: PureStep, scope: FlowScope, now: Date): PureResult {
  switch (step.type) {
    case 'condition': {
      const { result, note } = test(program, step.config.condition, scope, now)
      return go(step, result ? 'true' : 'false', { result }, note)
    }
    case 'switch': {
      const found = step.config.cases.find(({ condition }) => test(program, condition, scope, now).result)
      return go(step, found?.name ?? 'default', { case: found?.name ?? 'default' })
    }
    case 'set': {
      const variables = render(program, step.config.variables, scope, now) as Record<string, unknown>
      return { ...go(step, 'next', variables), variables }
    }
    case 'delay':
      return delay(program, step, scope, now)
    case 'stop': {
      const { outcome, reason } = step.config
      return {
        kind: 'stop',
        outcome,
        reason: reason === null ? null : renderText(program, reason, scope, now),
      }
    }
  }
}

/** A step's way out; a port that leads nowhere leads to the end. */
export function targetOf(step: CanonicalStep, port: string): Target {
  return (step.next as Partial<Record<string, Target>>)[port] ?? 'end'
}

function go(
  step: CanonicalStep,
  port: string,
  output: unknown,
  note: string | null = null,
): Extract<PureResult, { kind: 'go' }> {
  return { kind: 'go', port, to: targetOf(step, port), output, note }
}

function delay(program: Program, step: DelayStep, scope: FlowScope, now: Date): PureResult {
  const { config } = step
  if (config.kind === 'duration') {
    const ms = config.duration_ms ?? parseDuration(renderText(program, config.duration, scope, now))
    if (ms === null) throw new StepError('invalid_duration', 'The delay did not come out as a duration.')
    return { kind: 'wait', dueAt: now.getTime() + ms }
  }
  const time = parseTime(renderText(program, config.until, scope, now))
  if (time === null) throw new StepError('invalid_time', 'The delay did not come out as a time.')
  const dueAt = time + config.offset_ms
  if (dueAt > now.getTime()) return { kind: 'wait', dueAt }
  if (config.if_past === 'run_now')
    return go(step, 'next', { waited_until: null }, 'the time had passed already')
  return { kind: 'skip', reason: 'the time had passed already' }
}
