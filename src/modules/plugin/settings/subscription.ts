import { type Static, Type } from '@sinclair/typebox'
import type { StoredSubscription } from '#db/schema.ts'
import { conditionTests } from '#lib/condition/fields.ts'

/** Paths of one subscription: each delivery keeps them. */
const MAX_PATHS = 50
/** An hour: who wants less than that many asks for what is new itself. */
const MAX_WINDOW_SECONDS = 3_600

/** One schema and no union: its errors name the member that is wrong, not every alternative. */
export const Subscription = Type.Unsafe<
  | string
  | {
      event: string
      filter?: unknown
      include?: string[]
      exclude?: string[]
      payload?: 'full' | 'thin'
      coalesce?: { key?: string; window_seconds: number } | null
    }
>({
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
    include: {
      type: 'array',
      items: { type: 'string', minLength: 1, maxLength: 256 },
      minItems: 1,
      maxItems: MAX_PATHS,
      description:
        "What of the event's data is sent, and nothing else: `customer.email`, `items.sku` of each item. What stays is as " +
        'it was written. Instead of exclude and thin',
    },
    exclude: {
      type: 'array',
      items: { type: 'string', minLength: 1, maxLength: 256 },
      minItems: 1,
      maxItems: MAX_PATHS,
      description: "What of the event's data is not sent",
    },
    payload: {
      type: 'string',
      enum: ['full', 'thin'],
      description: 'thin: data is the `id` of the event and the `url` that it is read at. Default: full',
    },
    coalesce: {
      type: ['object', 'null'],
      properties: {
        key: {
          type: 'string',
          minLength: 1,
          maxLength: 256,
          description:
            "The path of the key in the event's data, such as `product_id`. Default: a CloudEvent's `subject`, else the id of " +
            "what the event's type is about: `product_id`, `order_id`, `customer_id`, `booking_id` …",
        },
        window_seconds: {
          type: 'integer',
          minimum: 1,
          maximum: MAX_WINDOW_SECONDS,
          description: 'How long the first that waits of a key waits for newer ones',
        },
      },
      required: ['window_seconds'],
      additionalProperties: false,
      description:
        'For bursts: of all that waits of one key only the newest is sent, the others end as failed, `superseded`. What has no ' +
        'key is sent plainly. Not with `ordering: key`',
    },
  },
  required: ['event'],
  additionalProperties: false,
  description:
    'An event type, `product.*` for everything below `product`, or `*` for everything; as an object with a filter and ' +
    'how the event is sent, which the first that takes an event decides. Types that nobody has declared yet are welcome.',
  examples: [
    'product.*',
    { event: 'product.stock_changed', coalesce: { key: 'product_id', window_seconds: 5 } },
    { event: 'order.created', filter: { field: 'total', operator: 'gt', value: 100 } },
  ],
})
export type Subscription = Static<typeof Subscription>

/** A plain pattern is as good as one with no filter: both are stored and given back alike. */
export function storedSubscription(entry: Subscription): StoredSubscription {
  return typeof entry === 'string'
    ? { event: entry, filter: null }
    : {
        event: entry.event,
        filter: entry.filter ?? null,
        ...(entry.include !== undefined && { include: entry.include }),
        ...(entry.exclude !== undefined && { exclude: entry.exclude }),
        ...(entry.payload === 'thin' && { payload: entry.payload }),
        ...(entry.coalesce != null && { coalesce: entry.coalesce }),
      }
}

export function shownSubscription({ event, filter, ...choice }: StoredSubscription): Subscription {
  if (filter === null && Object.keys(choice).length === 0) return event
  return { event, ...(filter !== null && { filter }), ...choice }
}

/** A subscription without the values of its filter, which may be a customer's: the fields that it looks at are told. */
export function toldSubscription(stored: StoredSubscription): unknown {
  const { filter } = stored
  if (filter === null) return shownSubscription(stored)
  const fields = new Set(conditionTests(filter).map(({ test }) => test.field))
  return { ...stored, filter: { fields: [...fields] } }
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
