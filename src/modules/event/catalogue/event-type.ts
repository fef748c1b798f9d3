import type { SafeSchema } from '#lib/schema/safe/index.ts'

/** Names the thing that events tell of, and the member of `data` that holds its id. */
export interface CatalogueEntity {
  readonly kind: string
  readonly path: string
}

/**
 * Says once, for everything that follows one thing through several events (waits, enrolment, ordering, erasure,
 * templates), by which member the platform identifies it.
 */
export const ENTITIES = {
  product: { kind: 'product', path: 'product_id' },
  customer: { kind: 'customer', path: 'customer_id' },
  order: { kind: 'order', path: 'order_id' },
  booking: { kind: 'booking', path: 'booking_id' },
  lead: { kind: 'lead', path: 'lead_id' },
  message: { kind: 'message', path: 'message_id' },
  plugin: { kind: 'plugin', path: 'plugin_id' },
  flow: { kind: 'flow', path: 'flow_id' },
} as const satisfies Readonly<Record<string, CatalogueEntity>>

/** An event type of the platform: what `data` looks like, by example and by schema, and of which thing it tells. */
export interface CatalogueType {
  readonly name: string
  readonly description: string
  readonly entity: CatalogueEntity
  readonly sample: Readonly<Record<string, unknown>>
  readonly schema: SafeSchema
}

export const text: SafeSchema = { type: 'string' }
/** Ids are the platform's: numbers or text. */
export const id: SafeSchema = { type: ['string', 'integer'], minLength: 1 }
export const time: SafeSchema = { type: 'string', format: 'date-time' }
export const email: SafeSchema = { type: 'string', format: 'email' }
/** Of money: a number, or a decimal as text. */
export const amount: SafeSchema = { type: ['number', 'string'], minimum: 0, minLength: 1 }
export const count: SafeSchema = { type: 'integer', minimum: 0 }
/** ISO 4217. */
export const currency: SafeSchema = { type: 'string', minLength: 3, maxLength: 3 }

export function nullable(schema: SafeSchema): SafeSchema {
  return { ...schema, type: [schema.type ?? [], 'null'].flat() as NonNullable<SafeSchema['type']> }
}

export function listOf(items: SafeSchema): SafeSchema {
  return { type: 'array', items }
}

/** Members beyond these are welcome: the platform may add some at any time. */
export function object(
  properties: Record<string, SafeSchema>,
  required: string[] = Object.keys(properties),
): SafeSchema {
  return { type: 'object', properties, required }
}
