import type { WaitEventStep } from '#lib/flow/steps/wait-event.ts'
import { suspend } from '../run/state.ts'
import type { StepRunner } from './runner.ts'

export const waitEventRunner: StepRunner<WaitEventStep> = {
  /** Registers a wait, or takes up what it came to: an event, or its time. */
  async run(frame, at) {
    const { thread, stepId, step } = at
    const { claim, journal } = frame
    const { iteration } = thread
    let received = frame.received.get(iteration) ?? null
    if (thread.waiting !== 'event' && received === null) {
      // The wait must not be seen before the steps that led to it.
      await journal.settle()
      if (!frame.isCurrent(thread)) return
      const sinceMs = thread.since ?? claim.created_at_ms
      const registered = await frame.waits.register({
        claim,
        stepId,
        iteration,
        step,
        program: frame.program,
        scope: frame.scopeOf(thread),
        sinceMs,
        now: new Date(frame.clock()),
      })
      if (registered === 'not_ours') return journal.boundary()
      if (registered === 'registered') {
        if (!frame.isCurrent(thread)) journal.closeWait(iteration)
        suspend(thread, 'event', sinceMs + step.config.timeout_ms)
        return
      }
      received = registered
    }
    frame.received.delete(iteration)
    journal.closeWait(iteration)
    const port = received === null ? 'timeout' : 'received'
    frame.leave(at, { port, output: received?.output ?? null })
    // Asked for once more, the feed might show another event.
    if (journal.isFresh) await journal.boundary()
  },
}
