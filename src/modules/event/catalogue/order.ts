import {
  amount,
  type CatalogueType,
  currency,
  email,
  ENTITIES,
  id,
  listOf,
  nullable,
  object,
  text,
  time,
} from './event-type.ts'

const LINE = object(
  { product_id: id, name: text, quantity: { type: 'integer', minimum: 1 }, unit_price: amount },
  ['product_id', 'quantity'],
)
const ORDER_PROPERTIES = {
  order_id: id,
  customer_id: nullable(id),
  number: text,
  status: text,
  customer: nullable(object({ customer_id: id, email: nullable(email), name: nullable(text) }, [])),
  items: listOf(LINE),
  total: amount,
  currency,
  created_at: time,
}
const REQUIRED = ['order_id']

const SAMPLE = {
  order_id: 'ord_5TqX1m',
  customer_id: 'cus_Lw81Pd',
  number: '1042',
  status: 'pending',
  customer: { customer_id: 'cus_Lw81Pd', email: 'ana@example.com', name: 'Ana Sousa' },
  items: [{ product_id: 'prod_8Qk2Zt', name: 'Linen apron', quantity: 2, unit_price: 39.9 }],
  total: 79.8,
  currency: 'EUR',
  created_at: '2026-03-02T14:05:31Z',
} as const

export const ORDER_TYPES: readonly CatalogueType[] = [
  {
    name: 'order.created',
    description: 'A customer placed an order.',
    entity: ENTITIES.order,
    sample: SAMPLE,
    schema: object(ORDER_PROPERTIES, REQUIRED),
  },
  {
    name: 'order.paid',
    description: 'An order was paid in full.',
    entity: ENTITIES.order,
    sample: {
      ...SAMPLE,
      status: 'paid',
      payment: { method: 'card', reference: 'pay_77Hd0a' },
      paid_at: '2026-03-02T14:06:02Z',
    },
    schema: object(
      { ...ORDER_PROPERTIES, payment: object({ method: text, reference: text }, ['method']), paid_at: time },
      REQUIRED,
    ),
  },
  {
    name: 'order.shipped',
    description: 'An order left the warehouse.',
    entity: ENTITIES.order,
    sample: {
      ...SAMPLE,
      status: 'shipped',
      shipment: { carrier: 'DHL', tracking_number: '00340434161094015902', tracking_url: null },
      shipped_at: '2026-03-03T08:15:00Z',
    },
    schema: object(
      {
        ...ORDER_PROPERTIES,
        shipment: object(
          { carrier: text, tracking_number: nullable(text), tracking_url: nullable(text) },
          [],
        ),
        shipped_at: time,
      },
      REQUIRED,
    ),
  },
  {
    name: 'order.delivered',
    description: 'An order reached the customer.',
    entity: ENTITIES.order,
    sample: { ...SAMPLE, status: 'delivered', delivered_at: '2026-03-05T10:40:00Z' },
    schema: object({ ...ORDER_PROPERTIES, delivered_at: time }, REQUIRED),
  },
  {
    name: 'order.cancelled',
    description: 'An order was called off, by the customer or the shop.',
    entity: ENTITIES.order,
    sample: {
      ...SAMPLE,
      status: 'cancelled',
      cancelled_by: 'customer',
      reason: 'Ordered twice',
      cancelled_at: '2026-03-02T15:00:00Z',
    },
    schema: object(
      {
        ...ORDER_PROPERTIES,
        cancelled_by: text,
        reason: nullable(text),
        cancelled_at: time,
      },
      REQUIRED,
    ),
  },
]
