import type { DelayStep } from '#lib/flow/steps/delay.ts'
import { END } from '#lib/flow/types.ts'
import { parseDuration, parseTime } from '#lib/time.ts'
import { renderText, StepError } from '../run/evaluate.ts'
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
    if (step.config.kind === 'duration' || dueAtMs > nowMs) suspend(thread, 'delay', dueAtMs)
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
  const text = (template: string): string =>
    renderText(frame.program, template, frame.scopeOf(thread), new Date(nowMs))
  if (config.kind === 'duration') {
    const ms = config.duration_ms ?? parseDuration(text(config.duration))
    if (ms === null) throw new StepError('invalid_duration', 'The delay did not come out as a duration.')
    return nowMs + ms
  }
  const time = parseTime(text(config.until))
  if (time === null) throw new StepError('invalid_time', 'The delay did not come out as a time.')
  return time + config.offset_ms
}
