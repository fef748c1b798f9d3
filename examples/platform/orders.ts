import { type Static, Type } from '@sinclair/typebox'
import { type Change, change, newId, type Shop } from './change.ts'
import { getCustomer } from './customers.ts'
import type { Database } from './database.ts'
import { conflict, notFound, unprocessable } from './errors.ts'
import { getProduct } from './products.ts'
import { type App, CLOSED, fromCents, Line, ListQuery, Params } from './routes.ts'
import { returnStock, takeStock } from './stock.ts'

const OrderInput = Type.Object(
  {
    customer_id: Line(64),
    items: Type.Array(
      Type.Object({ product_id: Line(64), quantity: Type.Integer({ minimum: 1, maximum: 10_000 }) }, CLOSED),
      { minItems: 1, maxItems: 200 },
    ),
  },
  CLOSED,
)

/** What an order may become, and what it says then. */
const NEXT: Record<string, readonly string[]> = {
  pending: ['paid', 'cancelled'],
  paid: ['shipped', 'cancelled'],
  shipped: ['delivered'],
  delivered: [],
  cancelled: [],
}
const OrderStatusInput = Type.Object(
  {
    status: Type.Union(
      ['pending', 'paid', 'shipped', 'delivered', 'cancelled'].map((status) => Type.Literal(status)),
    ),
    payment: Type.Optional(Type.Object({ method: Line(64), reference: Type.Optional(Line()) }, CLOSED)),
    shipment: Type.Optional(
      Type.Object(
        {
          carrier: Type.Optional(Line(64)),
          tracking_number: Type.Optional(Line()),
          tracking_url: Type.Optional(Line(2048)),
        },
        CLOSED,
      ),
    ),
    cancelled_by: Type.Optional(Line(64)),
    reason: Type.Optional(Line(500)),
  },
  CLOSED,
)

interface OrderRow {
  order_id: string
  number: number
  customer_id: string
  status: string
  total_cents: number
  currency: string
  details: string
  created_at: string
  updated_at: string
}

interface ItemRow {
  product_id: string
  name: string
  quantity: number
  unit_price_cents: number
}

export function orderRoutes(app: App, shop: Shop): void {
  app.get('/api/orders', { schema: { querystring: ListQuery } }, async ({ tenantId, query }) => ({
    data: shop.db
      .newest<{ id: string }>('orders', 'id', tenantId, query.limit)
      .map(({ id }) => getOrder(shop.db, tenantId, id)),
  }))
  app.get('/api/orders/:id', { schema: { params: Params } }, async ({ tenantId, params }) =>
    getOrder(shop.db, tenantId, params.id),
  )
  app.post('/api/orders', { schema: { body: OrderInput } }, (request, reply) =>
    change(shop, request, reply, (trx) => ({ status: 201, body: createOrder(trx, request.body) })),
  )
  app.put(
    '/api/orders/:id/status',
    { schema: { params: Params, body: OrderStatusInput } },
    (request, reply) =>
      change(shop, request, reply, (trx) => ({
        status: 200,
        body: setStatus(trx, request.params.id, request.body),
      })),
  )
}

function createOrder(trx: Change, input: Static<typeof OrderInput>): object {
  const { db, tenantId, now } = trx
  if (!exists(trx, 'customers', input.customer_id)) {
    throw unprocessable('unknown_customer', `There is no customer ${input.customer_id}.`)
  }
  const id = newId('ord')
  const lines = input.items.map(({ product_id, quantity }) => {
    if (!exists(trx, 'products', product_id)) {
      throw unprocessable('unknown_product', `There is no product ${product_id}.`)
    }
    takeStock(trx, product_id, quantity)
    return { ...getProduct(db, tenantId, product_id), quantity }
  })
  const [currency = '', ...others] = new Set(lines.map((line) => line.currency))
  if (others.length > 0) throw unprocessable('mixed_currencies', 'All items of an order have one currency.')
  const number = db.get<{ next: number }>(
    'select coalesce(max(number), 1000) + 1 as next from orders where tenant_id = ?',
    tenantId,
  )?.next
  db.insert('orders', {
    tenant_id: tenantId,
    id,
    number: number ?? 1001,
    customer_id: input.customer_id,
    status: 'pending',
    total_cents: lines.reduce((sum, line) => sum + line.price_cents * line.quantity, 0),
    currency,
    details: '{}',
    created_at: now,
    updated_at: now,
  })
  for (const [position, line] of lines.entries()) {
    db.insert('order_items', {
      tenant_id: tenantId,
      order_id: id,
      position,
      product_id: line.product_id,
      name: line.name,
      quantity: line.quantity,
      unit_price_cents: line.price_cents,
    })
  }
  const order = getOrder(db, tenantId, id)
  trx.emit('order.created', order)
  return order
}

function exists({ db, tenantId }: Change, table: 'customers' | 'products', id: string): boolean {
  return db.get(`select 1 from ${table} where tenant_id = ? and id = ?`, tenantId, id) !== undefined
}

function setStatus(trx: Change, id: string, input: Static<typeof OrderStatusInput>): object {
  const before = getOrder(trx.db, trx.tenantId, id)
  if (before.status === input.status) return before
  if (NEXT[before.status]?.includes(input.status) !== true) {
    throw conflict('wrong_status', `An order that is ${before.status} cannot become ${input.status}.`)
  }
  const { status, ...details } = input
  const said = { ...DETAILS[status], ...details, [`${status}_at`]: trx.now }
  const kept = trx.db.find<{ details: string }>('orders', 'details', trx.tenantId, id)
  trx.db.update('orders', trx.tenantId, id, {
    status,
    details: JSON.stringify({ ...(JSON.parse(kept?.details ?? '{}') as object), ...said }),
    updated_at: trx.now,
  })
  if (status === 'cancelled') {
    for (const { product_id, quantity } of before.items) returnStock(trx, product_id, quantity)
  }
  const order = getOrder(trx.db, trx.tenantId, id)
  trx.emit(`order.${status}`, order)
  return order
}

/** What events say of a status when the caller did not. */
const DETAILS: Record<string, object> = {
  paid: { payment: { method: 'unknown', reference: '' } },
  shipped: { shipment: { carrier: '', tracking_number: null, tracking_url: null } },
  cancelled: { cancelled_by: 'shop', reason: null },
}

function getOrder(db: Database, tenantId: string, id: string) {
  const row = db.find<OrderRow>(
    'orders',
    'id as order_id, number, customer_id, status, total_cents, currency, details, created_at, updated_at',
    tenantId,
    id,
  )
  if (row === undefined) throw notFound('order')
  const { number, total_cents, details, ...order } = row
  const customer = getCustomer(db, tenantId, order.customer_id)
  const items = db.all<ItemRow>(
    `select product_id, name, quantity, unit_price_cents from order_items
     where tenant_id = ? and order_id = ? order by position`,
    tenantId,
    id,
  )
  return {
    ...order,
    number: String(number),
    customer: { customer_id: customer.customer_id, email: customer.email, name: customer.name ?? '' },
    items: items.map(({ unit_price_cents, ...item }) => ({
      ...item,
      unit_price: fromCents(unit_price_cents),
    })),
    total: fromCents(total_cents),
    ...(JSON.parse(details) as object),
  }
}
