import { setTimeout as wait } from 'node:timers/promises'

/**
 * Resolves as soon as a condition holds.
 * @throws {Error} if it does not within ten seconds
 */
export async function until(condition: () => boolean): Promise<void> {
  const giveUpAt = performance.now() + 10_000
  while (!condition()) {
    if (performance.now() > giveUpAt) throw new Error(`Never true: ${condition.toString()}`)
    await wait(5)
  }
}
