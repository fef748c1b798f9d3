import { hash } from 'node:crypto'
import { matchesPattern } from '#lib/event-pattern.ts'
import { parsePath, type Path } from '#lib/json/path.ts'
import { type KeyedEvent, keyText } from './ordering.ts'

/** A subscription's setting for bursts, as it is stored. */
export interface CoalesceChoice {
  coalesce?: { key?: string; window_seconds: number }
}

/** By what deliveries of one subscription are told apart, of which only the newest is sent. */
export interface CoalesceRule {
  /** In the data. Null: the event's subject, or the id of what its type is about. */
  readonly path: Path | null
  readonly windowSeconds: number
  /** The subscription's event type or pattern: another one of the same plugin has keys of its own. */
  readonly pattern: string
}

/** A delivery that waits for newer ones of its key. */
export interface Coalesced {
  readonly key: string
  readonly windowSeconds: number
}

/** The rule of a subscription; null: each of its events is sent. */
export function coalesceRule({ event, coalesce }: CoalesceChoice & { event: string }): CoalesceRule | null {
  if (coalesce === undefined) return null
  const { key, window_seconds: windowSeconds } = coalesce
  return { path: key === undefined ? null : parsePath(key), windowSeconds, pattern: event }
}

/** Some subscription to the type coalesces: which one takes an event is another question. */
export function mayCoalesce(
  subscriptions: readonly (CoalesceChoice & { event: string })[],
  event: string,
): boolean {
  return subscriptions.some((each) => each.coalesce !== undefined && matchesPattern(each.event, event))
}

/**
 * The key of an event that is sent again. It keeps the key that it had while a subscription gives it. Else the first subscription
 * to its type decides, as at intake; filters are not asked again: one with a filter is taken to have let pass what never went
 * out, and what went out without a key may have gone by it, and has none again.
 *
 * @param before the key of its last delivery that has one; null: it went out without; undefined: it never did
 */
export function coalesceAgain(
  pluginId: string,
  subscriptions: readonly (CoalesceChoice & { event: string; filter?: unknown })[],
  event: KeyedEvent,
  before: string | null | undefined,
): Coalesced | null {
  const matching = subscriptions
    .filter((each) => matchesPattern(each.event, event.event))
    .map((each) => ({ isFiltered: each.filter != null, rule: coalesceRule(each) }))
  const by = (rule: CoalesceRule | null) => (rule === null ? null : coalesceBy(pluginId, rule, event))
  if (before != null) {
    const kept = matching.map(({ rule }) => by(rule)).find((each) => each?.key === before.replaceAll('-', ''))
    if (kept != null) return kept
  }
  for (const { isFiltered, rule } of matching) {
    if (isFiltered && before === null) return null
    if (!isFiltered || rule !== null) return by(rule)
  }
  return null
}

/**
 * The key of an event by such a rule: a hash of what stands at the path, as a UUID. Null where there is no text, number or
 * boolean: such a delivery is sent at once, and replaces none.
 */
export function coalesceBy(pluginId: string, rule: CoalesceRule, event: KeyedEvent): Coalesced | null {
  const text = keyText(rule.path, event)
  if (text === null) return null
  const key = hash('sha256', `${pluginId} coalesce ${rule.pattern} ${text}`).slice(0, 32)
  return { key, windowSeconds: rule.windowSeconds }
}
