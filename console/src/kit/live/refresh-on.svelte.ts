import { type ChangeTopic, followChanges } from '../../api/changes.ts'
import { refresh } from '../../api/queries.ts'

/**
 * Reads queries of the page anew when the service tells that something of these topics has changed.
 *
 * @param names the first words of their keys
 * @param gapMs how long it takes at least from one time to the next
 */
export function refreshOn(topics: readonly ChangeTopic[], names: readonly string[], gapMs?: number): void {
  $effect(() => followChanges(topics, () => void refresh(names), gapMs))
}
