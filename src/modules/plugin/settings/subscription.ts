import { type Static, Type } from '@sinclair/typebox'
import type { StoredSubscription } from '#db/schema.ts'

/** One schema and no union: its errors name the member that is wrong, not every alternative. */
export const Subscription = Type.Unsafe<string | { event: string; filter?: unknown }>({
  $id: 'Subscription',
  type: ['string', 'object'],
  minLength: 1,
  maxLength: 128,
  properties: {
    event: { type: 'string', minLength: 1, maxLength: 128 },
    filter: {
      description:
        "A condition on the event's data, its fields named from there: only events that meet it are delivered. " +
        'Null or left out: all',
    },
  },
  required: ['event'],
  additionalProperties: false,
  description:
    'An event type, `product.*` for everything below `product`, or `*` for everything; as an object with a filter. ' +
    'Types that nobody has declared yet are welcome.',
  examples: ['product.*', { event: 'order.created', filter: { field: 'total', operator: 'gt', value: 100 } }],
})
export type Subscription = Static<typeof Subscription>

/** A plain pattern is as good as one with no filter: both are stored and given back alike. */
export function storedSubscription(entry: Subscription): StoredSubscription {
  return typeof entry === 'string'
    ? { event: entry, filter: null }
    : { event: entry.event, filter: entry.filter ?? null }
}

export function shownSubscription({ event, filter }: StoredSubscription): Subscription {
  return filter === null ? event : { event, filter }
}

/**
 * Every pattern that takes this event type: what a subscription must name one of.
 * `a.b.c` → `a.b.c`, `a.b.*`, `a.*`, `*`: the inverse of lib/event-pattern.ts, for a look-up in the database.
 */
export function patternsFor(type: string): string[] {
  const patterns = [type]
  for (let dot = type.lastIndexOf('.'); dot > 0; dot = type.lastIndexOf('.', dot - 1)) {
    patterns.push(`${type.slice(0, dot)}.*`)
  }
  return [...patterns, '*']
}
