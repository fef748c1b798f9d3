import { setTimeout as wait } from 'node:timers/promises'

/**
 * What `look` finds, as soon as it finds something.
 * @throws {Error} if it does not within 20 seconds
 */
export async function eventually<Found>(
  what: string,
  look: () => Promise<Found | null> | Found | null,
): Promise<Found> {
  const giveUpAt = performance.now() + 20_000
  for (;;) {
    const found = await look()
    if (found !== null) return found
    if (performance.now() > giveUpAt) throw new Error(`Never came: ${what}`)
    await wait(20)
  }
}
