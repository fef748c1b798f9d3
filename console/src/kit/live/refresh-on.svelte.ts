import type { ChangeTopic } from '../../../../src/lib/change-topics.ts'
import { followChanges } from '../../api/changes.ts'
import { refresh } from '../../api/queries.ts'
import { oneByOne } from './one-by-one.ts'

/** Hints can be lost: now and then it is looked at by the clock. */
export const LOST_HINT_MS = 30_000

/**
 * Reads queries of the page anew when the service tells that something of these topics has changed.
 *
 * @param names the first words of their keys
 * @param gapMs how long it takes at least from one time to the next
 */
export function refreshOn(topics: readonly ChangeTopic[], names: readonly string[], gapMs?: number): void {
  $effect(() => {
    // A hint that comes while an answer is awaited would take it back, and the next one its successor.
    const looks = oneByOne(async () => refresh(names))
    const stop = followChanges(topics, looks.look, gapMs)
    return () => {
      looks.end()
      stop()
    }
  })
}
