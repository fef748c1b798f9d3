import { boundedCache } from '#lib/bounded-cache.ts'
import { identityText } from '#lib/condition/identity.ts'
import { readPath } from '#lib/json/path.ts'
import type { EventScope } from '#lib/flow/scope.ts'
import { CATALOGUE } from '#modules/event/index.ts'

/** Starts of one flow for one thing within the window after which it is taken for its own cause. */
const REPEATS_MAX = 120
const REPEATS_WINDOW_MS = 60_000
const REMEMBERED_MAX = 50_000

/**
 * Notices flows that trigger themselves where nobody hands causation on: one that starts for the same customer or order
 * two times a second for a minute, one event at a time. It is in memory, for the tenants that this process
 * matches: a loop goes on until somebody notices it.
 */
export class Repeats {
  readonly #starts = boundedCache<{ since: number; count: number }>(REMEMBERED_MAX)

  /**
   * Counts a start.
   * @param cameAtMs when the event came
   * @returns whether the flow is to be looked at
   */
  note(flowId: string, event: EventScope, key: string | null, cameAtMs: number): boolean {
    const identity = key ?? identityOf(event)
    if (identity === null) return false
    const name = `${flowId} ${identity}`
    const known = this.#starts.get(name)
    if (known === undefined || cameAtMs - known.since > REPEATS_WINDOW_MS) {
      this.#starts.set(name, { since: cameAtMs, count: 1 })
      return false
    }
    known.count++
    if (known.count < REPEATS_MAX) return false
    this.#starts.delete(name)
    return true
  }
}

/** The thing that the event is about, by what its type declares; null: that is not known. */
function identityOf(event: EventScope): string | null {
  const entity = CATALOGUE.get(event.type)?.entity
  const id = entity === undefined ? undefined : readPath(event.data, [entity.path])
  const text = identityText(id)
  return text === null ? null : `${entity?.kind ?? ''} ${text}`
}

/** Actions of the platform of which no event of a thing comes. */
export const HARMLESS_ACTIONS: ReadonlySet<string> = new Set([
  'send_email',
  'send_sms',
  'create_notification',
  'create_task',
])
