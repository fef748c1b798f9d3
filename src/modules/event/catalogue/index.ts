import { BOOKING_TYPES } from './booking.ts'
import { CUSTOMER_TYPES } from './customer.ts'
import type { CatalogueType } from './event-type.ts'
import { FLOW_TYPES } from './flow.ts'
import { INVENTORY_TYPES } from './inventory.ts'
import { LEAD_TYPES } from './lead.ts'
import { MESSAGE_TYPES } from './message.ts'
import { ORDER_TYPES } from './order.ts'
import { PLUGIN_TYPES, QUEUE_TYPES } from './plugin.ts'
import { PRODUCT_TYPES } from './product.ts'

export { type CatalogueType, ENTITIES } from './event-type.ts'

/** The event types of the platform and of this service, by name. Tenants and plugins declare their own. */
export const CATALOGUE: ReadonlyMap<string, CatalogueType> = new Map(
  [
    ...PRODUCT_TYPES,
    ...ORDER_TYPES,
    ...CUSTOMER_TYPES,
    ...INVENTORY_TYPES,
    ...LEAD_TYPES,
    ...MESSAGE_TYPES,
    ...BOOKING_TYPES,
    ...PLUGIN_TYPES,
    ...QUEUE_TYPES,
    ...FLOW_TYPES,
  ].map((type) => [type.name, type]),
)
