import { setImmediate } from 'node:timers/promises'

/** The longest time for which the event loop did nothing else until `done`. */
export async function longestSilence(done: Promise<unknown>): Promise<number> {
  const state = { isDone: false }
  done.then(
    () => (state.isDone = true),
    () => (state.isDone = true),
  )
  let longest = 0
  let last = performance.now()
  while (!state.isDone) {
    await setImmediate()
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
  }
  return longest
}
