import { type Causation, MAX_CAUSATION_DEPTH } from './intake/causation.ts'

/** The events in which the service tells that something is wrong, or over. */
export const ALERTS = [
  'plugin.failing',
  'plugin.disabling_soon',
  'plugin.recovered',
  'plugin.disabled',
  'queue.behind',
  'queue.caught_up',
  'flow.failing',
  'flow.recovered',
  'flow.paused',
] as const

/**
 * Tells whether an event is an alert. What fails with one of them on its way, or started by it, is not told by another: two
 * that hear of each other would go on for ever.
 */
export function isAlert(event: string): boolean {
  return (ALERTS as readonly string[]).includes(event)
}

/**
 * Returns an alert's place behind the event by which something went wrong, so that whatever goes round over alerts comes to
 * its end like any chain. An alert itself is always told, however long its chain is; what it leads to is not.
 */
export function causationOfAlert(cause: { eventId: string | null; depth: number }): Causation {
  return { id: cause.eventId, depth: Math.min(cause.depth + 1, MAX_CAUSATION_DEPTH) }
}
