import type { FlowScope } from '#lib/flow/scope.ts'
import type {
  CanonicalStep,
  ConditionStep,
  DelayClock,
  DelayStep,
  SetStep,
  StopStep,
  SwitchStep,
  Target,
} from '#lib/flow/types.ts'
import {
  addBusinessDays,
  type Calendar,
  nextMoment,
  type NextMoment,
  parseTimeOfDay,
  startOfDay,
} from '#lib/calendar.ts'
import { parseDuration, readTime } from '#lib/time.ts'
import { atWallTime, isTimeZone, wallTime } from '#lib/time-zone.ts'
import { render, renderText, StepError, test, zoneOf } from '../run/evaluate.ts'
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

/** @param by `now`: the database's clock; `calendar`: when the tenant is awake. @throws {StepError} */
export function runPure(
  program: Program,
  step: PureStep,
  scope: FlowScope,
  by: { now: Date; calendar: Calendar },
): PureResult {
  const { now } = by
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
      return delay(program, step, scope, by)
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

function delay(
  program: Program,
  step: DelayStep,
  scope: FlowScope,
  { now, calendar }: { now: Date; calendar: Calendar },
): PureResult {
  const { config } = step
  if (config.kind === 'duration') {
    return { kind: 'wait', dueAt: now.getTime() + durationOf(program, config, scope, now) }
  }
  const zone = zoneOfDelay(program, config.timezone ?? null, scope, now)
  if (config.kind === 'clock') return untilClock(program, config, scope, { now, calendar, zone })
  const time = readTime(render(program, config.until, scope, now), zone)
  if (time === null) throw new StepError('invalid_time', 'The delay did not come out as a time.')
  const dueAt = time + config.offset_ms
  if (dueAt > now.getTime()) return { kind: 'wait', dueAt }
  if (config.if_past === 'run_now')
    return go(step, 'next', { waited_until: null }, 'the time had passed already')
  return { kind: 'skip', reason: 'the time had passed already' }
}

function durationOf(
  program: Program,
  { duration, duration_ms }: { duration: string; duration_ms: number | null },
  scope: FlowScope,
  now: Date,
): number {
  const ms = duration_ms ?? parseDuration(renderText(program, duration, scope, now))
  if (ms === null) throw new StepError('invalid_duration', 'The delay did not come out as a duration.')
  return ms
}

function zoneOfDelay(program: Program, zone: string | null, scope: FlowScope, now: Date): string {
  if (zone === null) return zoneOf(scope)
  const named = renderText(program, zone, scope, now)
  if (isTimeZone(named)) return named
  throw new StepError('invalid_timezone', 'The time zone of the delay did not come out as one.')
}

function untilClock(
  program: Program,
  config: DelayClock,
  scope: FlowScope,
  { now, calendar, zone }: { now: Date; calendar: Calendar; zone: string },
): PureResult {
  const { duration, duration_ms, business_days, days } = config
  const waited = duration === null ? 0 : durationOf(program, { duration, duration_ms }, scope, now)
  const from =
    business_days > 0
      ? addBusinessDays(now.getTime(), business_days, { calendar, zone })
      : now.getTime() + waited
  const at = config.at === null ? null : parseTimeOfDay(renderText(program, config.at, scope, now).trim())
  if (config.at !== null && at === null) {
    throw new StepError(
      'invalid_time',
      'The time of day of the delay did not come out as one, such as 09:00.',
    )
  }
  const dueAt = from === null ? null : momentOf(from, { calendar, zone, days, at, business_days, waited })
  if (dueAt === null) throw new StepError('no_such_day', 'There is no such day within a year.')
  return { kind: 'wait', dueAt }
}

/** After a while, its very end counts; after business days, the whole of the last one does. */
function momentOf(
  from: number,
  { business_days, waited, ...next }: NextMoment & { business_days: number; waited: number },
): number | null {
  if (next.at === null || (business_days === 0 && waited === 0)) return nextMoment(from, next)
  const start = business_days > 0 ? atWallTime(startOfDay(wallTime(from, next.zone)), next.zone) : from
  return nextMoment(start - 1, next)
}
