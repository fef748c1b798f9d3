import type { Attempt, Thread } from './state.ts'

/** Of an item there are fewer: a loop has up to 20 at once, and their state is written at each of its boundaries. */
const KEPT = { step: 10, item: 3 }
const MESSAGE_MAX_CHARS = 300

/** Keeps an attempt with the thread, the latest ones, for as long as it is at the step. */
export function noteAttempt(thread: Thread, { error, ...attempt }: Attempt): void {
  // What an older release left behind is of an earlier step.
  const before = attempt.number === 1 ? [] : (thread.attempts ?? [])
  const kept = thread.iteration === '' ? KEPT.step : KEPT.item
  const message = error?.message.slice(0, MESSAGE_MAX_CHARS).toWellFormed() ?? ''
  const noted = { ...attempt, error: error && { code: error.code, message } }
  thread.attempts = [...before, noted].slice(-kept)
}

/** Returns what is kept of the attempts of the step that a thread has done; null: there was one. */
export function attemptsOf({ attempts }: Thread, count: number): Attempt[] | null {
  return count > 1 && attempts?.at(-1)?.number === count ? attempts : null
}
