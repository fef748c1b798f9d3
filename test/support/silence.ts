import { setImmediate } from 'node:timers/promises'
import { cpuTimer } from './cpu-time.ts'

/** Returns the most CPU time, in milliseconds, that the event loop spent between two of its rounds until `done`. */
export async function longestSilence(done: Promise<unknown>): Promise<number> {
  const state = { isDone: false }
  done.then(
    () => (state.isDone = true),
    () => (state.isDone = true),
  )
  let longest = 0
  while (!state.isDone) {
    const spent = cpuTimer()
    await setImmediate()
    longest = Math.max(longest, spent())
  }
  return longest
}
