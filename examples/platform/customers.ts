import { type Static, Type } from '@sinclair/typebox'
import { type Change, change, newId, type Shop } from './change.ts'
import type { Database } from './database.ts'
import { conflict, notFound } from './errors.ts'
import { type App, changedFields, CLOSED, Email, Line, ListQuery, Params, Tags } from './routes.ts'

/** Where a customer lives; the country by its two letters. */
const Location = Type.Object(
  { country: Type.String({ pattern: '^[A-Z]{2}$' }), city: Type.Optional(Line()) },
  CLOSED,
)
const FIELDS = {
  email: Email(),
  name: Type.Optional(Line()),
  phone: Type.Optional(Line(32)),
  accepts_marketing: Type.Optional(Type.Boolean()),
  tags: Type.Optional(Tags()),
  location: Type.Optional(Location),
}
const CustomerInput = Type.Object(FIELDS, CLOSED)
const CustomerPatch = Type.Partial(Type.Object(FIELDS), { ...CLOSED, minProperties: 1 })

interface CustomerRow {
  customer_id: string
  email: string
  name: string | null
  phone: string | null
  accepts_marketing: number
  tags: string
  location: string | null
  created_at: string
  updated_at: string
}

const COLUMNS =
  'id as customer_id, email, name, phone, accepts_marketing, tags, location, created_at, updated_at'

export function customerRoutes(app: App, shop: Shop): void {
  app.get('/api/customers', { schema: { querystring: ListQuery } }, async ({ tenantId, query }) => ({
    data: shop.db.newest<CustomerRow>('customers', COLUMNS, tenantId, query.limit).map(viewOf),
  }))
  app.get('/api/customers/:id', { schema: { params: Params } }, async ({ tenantId, params }) =>
    getCustomer(shop.db, tenantId, params.id),
  )
  app.post('/api/customers', { schema: { body: CustomerInput } }, (request, reply) =>
    change(shop, request, reply, (trx) => ({ status: 201, body: createCustomer(trx, request.body) })),
  )
  app.put('/api/customers/:id', { schema: { params: Params, body: CustomerPatch } }, (request, reply) =>
    change(shop, request, reply, (trx) => ({
      status: 200,
      body: updateCustomer(trx, request.params.id, request.body),
    })),
  )
}

export function getCustomer(db: Database, tenantId: string, id: string): ReturnType<typeof viewOf> {
  const row = db.find<CustomerRow>('customers', COLUMNS, tenantId, id)
  if (row === undefined) throw notFound('customer')
  return viewOf(row)
}

function createCustomer(trx: Change, input: Static<typeof CustomerInput>): object {
  const id = newId('cus')
  checkEmail(trx, input.email, id)
  trx.db.insert('customers', {
    tenant_id: trx.tenantId,
    id,
    email: input.email,
    name: input.name ?? null,
    phone: input.phone ?? null,
    accepts_marketing: Number(input.accepts_marketing ?? false),
    tags: JSON.stringify(input.tags ?? []),
    location: input.location === undefined ? null : JSON.stringify(input.location),
    created_at: trx.now,
    updated_at: trx.now,
  })
  const customer = getCustomer(trx.db, trx.tenantId, id)
  trx.emit('customer.created', factsOf(customer))
  return customer
}

function updateCustomer(trx: Change, id: string, input: Static<typeof CustomerPatch>): object {
  const before = getCustomer(trx.db, trx.tenantId, id)
  const changes = changedFields(before, input)
  if (changes.length === 0) return before
  if (input.email !== undefined) checkEmail(trx, input.email, id)
  const { accepts_marketing, tags, location, ...plain } = input
  trx.db.update('customers', trx.tenantId, id, {
    ...plain,
    ...(accepts_marketing !== undefined && { accepts_marketing: Number(accepts_marketing) }),
    ...(tags !== undefined && { tags: JSON.stringify(tags) }),
    ...(location !== undefined && { location: JSON.stringify(location) }),
    updated_at: trx.now,
  })
  const customer = getCustomer(trx.db, trx.tenantId, id)
  trx.emit('customer.updated', { ...factsOf(customer), changes })
  return customer
}

function checkEmail({ db, tenantId }: Change, email: string, id: string): void {
  const other = db.get(
    'select 1 from customers where tenant_id = ? and email = ? and id <> ?',
    tenantId,
    email,
    id,
  )
  if (other !== undefined) throw conflict('email_taken', 'Another customer has this email address.')
}

function viewOf(row: CustomerRow) {
  return {
    ...row,
    accepts_marketing: row.accepts_marketing === 1,
    tags: JSON.parse(row.tags) as string[],
    location: JSON.parse(row.location ?? 'null') as Static<typeof Location> | null,
  }
}

/** As events tell of a customer: templates of the visual builder say `customer_name`. */
function factsOf(customer: ReturnType<typeof viewOf>) {
  return { ...customer, customer_name: customer.name }
}
