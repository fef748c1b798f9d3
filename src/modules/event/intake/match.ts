import { type FieldError, Problem } from '#lib/api/problem.ts'
import type { StepBudget } from '#lib/step-budget.ts'
import { checkEventData } from './check-data.ts'
import type { ComposedEvent } from './compose.ts'
import { eventSchemaMismatch, eventTypeUnknown } from '../errors.ts'
import { MAX_CAUSATION_DEPTH } from './causation.ts'
import type { Audience, TenantSnapshot } from './snapshot.ts'
import { type Coalesced, coalesceBy } from './coalescing.ts'
import { orderingKey } from './ordering.ts'
import { refusePublishing } from './publishing.ts'

/** An event with the plugins that get it, by one snapshot of its tenant. */
export interface MatchedEvent {
  readonly composed: ComposedEvent
  readonly snapshot: TenantSnapshot
  readonly plugins: readonly string[]
  /** Plugins whose filters cost too much: they get a delivery that has failed for it. */
  readonly undecided: readonly string[]
  /** Plugins that want the type, and whose filters the event does not meet. */
  readonly filtered: readonly string[]
  /** Of those of the plugins that want their deliveries in order: null where the event has no key; null: there are none. */
  readonly orderingKeys: ReadonlyMap<string, string | null> | null
  /** The payloads that are sent of it, by plugin; who is missing gets all of it. */
  readonly payloads?: ReadonlyMap<string, string>
  /** By plugin, where only the newest of its key is sent; who is missing gets it in any case. */
  readonly coalesced?: ReadonlyMap<string, Coalesced> | null
  /** Somebody has declared the type. */
  readonly known: boolean
  readonly schemaProblems: readonly FieldError[] | null
}

/**
 * Finds the plugins that the event goes to, or why its tenant does not take it.
 *
 * @param budget of the event's filters
 */
export function matchEvent(
  composed: ComposedEvent,
  snapshot: TenantSnapshot,
  budget?: StepBudget,
): MatchedEvent | Problem {
  const { event, data, publisherPluginId } = composed
  const refusal = publisherPluginId === null ? null : refusePublishing(snapshot, event, publisherPluginId)
  if (refusal !== null) return refusal
  const checked = checkEventData(snapshot, event, data)
  if (snapshot.strict) {
    if (!checked.known) return eventTypeUnknown()
    if (checked.problems !== null) return eventSchemaMismatch(undefined, { errors: checked.problems })
  }
  const { known, problems } = checked
  const audience = recipientsOf(snapshot, composed, budget)
  const orderingKeys = orderingKeysOf(snapshot, composed, audience.plugins)
  const coalesced = coalescedOf(audience, composed)
  return { composed, snapshot, ...audience, orderingKeys, coalesced, known, schemaProblems: problems }
}

export function coalescedOf(
  { coalesce }: Pick<Audience, 'coalesce'>,
  composed: ComposedEvent,
): ReadonlyMap<string, Coalesced> | null {
  if (coalesce === undefined) return null
  return new Map(
    [...coalesce].flatMap(([id, rule]) => {
      const coalesced = coalesceBy(id, rule, composed)
      return coalesced === null ? [] : [[id, coalesced] as const]
    }),
  )
}

export function orderingKeysOf(
  { ordered }: Pick<TenantSnapshot, 'ordered'>,
  composed: ComposedEvent,
  plugins: readonly string[],
): MatchedEvent['orderingKeys'] {
  if (ordered === null) return null
  const keys = plugins.flatMap((id): [string, string | null][] => {
    const rule = ordered.get(id)
    return rule === undefined ? [] : [[id, orderingKey(id, rule, composed)]]
  })
  return keys.length === 0 ? null : new Map(keys)
}

/** Finds the plugins that the event goes to. One at the end of too long a chain of consequences is stored, and goes to nobody. */
export function recipientsOf(
  snapshot: TenantSnapshot,
  composed: ComposedEvent,
  budget?: StepBudget,
): Audience {
  const { event, data, causation, publisherPluginId } = composed
  if ((causation?.depth ?? 0) > MAX_CAUSATION_DEPTH) return NOBODY
  return snapshot.pluginsFor(event, data, publisherPluginId, budget)
}

const NOBODY: Audience = { plugins: [], undecided: [], filtered: [] }

export function isProblem(value: object): value is Problem {
  return value instanceof Problem
}
