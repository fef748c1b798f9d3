import { addBusinessDays, nextMoment, type NextMoment, parseTimeOfDay, startOfDay } from '#lib/calendar.ts'
import type { DelayClock, DelayStep } from '#lib/flow/steps/delay.ts'
import { END } from '#lib/flow/types.ts'
import { zoneOf } from '#lib/flow/zone.ts'
import { parseDuration, readTime } from '#lib/time.ts'
import { atWallTime, isTimeZone, wallTime } from '#lib/time-zone.ts'
import { render, renderText, StepError } from '../run/evaluate.ts'
import type { Frame, Position } from '../run/frame.ts'
import { moveTo, suspend } from '../run/state.ts'
import type { StepRunner } from './runner.ts'

const PASSED = 'the time had passed already'

export const delayRunner: StepRunner<DelayStep> = {
  run(frame, at) {
    const { thread, stepId, step } = at
    if (thread.waiting === 'delay') {
      leave(frame, at, new Date(thread.due_at ?? frame.clock()))
      return
    }
    const nowMs = frame.now()
    const dueAtMs = dueAt(frame, at, nowMs)
    if (step.config.kind !== 'until' || dueAtMs > nowMs) suspend(thread, 'delay', dueAtMs)
    else if (step.config.if_past === 'run_now') leave(frame, at, null)
    else {
      frame.journal.record(thread, step, { stepId, status: 'skipped', port: null, note: PASSED })
      if (thread === frame.state.main) frame.state.filtered = true
      moveTo(thread, END, frame.now())
    }
  },
  waitedUntil: (output) => (output as { waited_until: string | null } | null)?.waited_until ?? null,
}

/** @param until null: there was nothing to wait for */
function leave(frame: Frame, at: Position<DelayStep>, until: Date | null): void {
  const output = { waited_until: until?.toISOString() ?? null }
  frame.leave(at, { port: 'next', output, note: until === null ? PASSED : null })
}

/** Returns the time at which the delay ends, in epoch milliseconds. @throws {StepError} */
function dueAt(frame: Frame, { thread, step: { config } }: Position<DelayStep>, nowMs: number): number {
  const scope = frame.scopeOf(thread)
  const now = new Date(nowMs)
  const text: Rendering = (template) => renderText(frame.program, template, scope, now)
  if (config.kind === 'duration') return nowMs + durationOf(config, text)
  const zone = config.timezone == null ? zoneOf(scope) : readZone(text(config.timezone))
  if (config.kind === 'clock') return dueByClock(frame, config, { text, nowMs, zone })
  const time = readTime(render(frame.program, config.until, scope, now), zone)
  if (time === null) throw new StepError('invalid_time', 'The delay did not come out as a time.')
  return time + config.offset_ms
}

type Rendering = (template: string) => string

function durationOf(
  { duration, duration_ms }: { duration: string; duration_ms: number | null },
  text: Rendering,
): number {
  const ms = duration_ms ?? parseDuration(text(duration))
  if (ms === null) throw new StepError('invalid_duration', 'The delay did not come out as a duration.')
  return ms
}

function readZone(named: string): string {
  if (isTimeZone(named)) return named
  throw new StepError('invalid_timezone', 'The time zone of the delay did not come out as one.')
}

function dueByClock(
  { scope: { calendar } }: Frame,
  config: DelayClock,
  { text, nowMs, zone }: { text: Rendering; nowMs: number; zone: string },
): number {
  const { duration, duration_ms, business_days, days } = config
  const waited = duration === null ? 0 : durationOf({ duration, duration_ms }, text)
  const from = business_days > 0 ? addBusinessDays(nowMs, business_days, { calendar, zone }) : nowMs + waited
  const at = config.at === null ? null : parseTimeOfDay(text(config.at).trim())
  if (config.at !== null && at === null) {
    throw new StepError(
      'invalid_time',
      'The time of day of the delay did not come out as one, such as 09:00.',
    )
  }
  const time = from === null ? null : momentOf(from, { calendar, zone, days, at, business_days, waited })
  if (time === null) throw new StepError('no_such_day', 'There is no such day within a year.')
  return time
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
