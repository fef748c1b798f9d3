import { type Static, Type } from '@sinclair/typebox'
import { type Change, change, newId, type Shop } from './change.ts'
import type { Database } from './database.ts'
import { conflict, notFound } from './errors.ts'
import {
  Amount,
  type App,
  changedFields,
  CLOSED,
  Count,
  Currency,
  fromCents,
  Images,
  Line,
  ListQuery,
  Params,
  Tags,
  Text,
  toCents,
} from './routes.ts'
import { setStock } from './stock.ts'

const FIELDS = {
  description: Type.Optional(Text()),
  sku: Type.Optional(Line(64)),
  status: Type.Optional(
    Type.Union([Type.Literal('active'), Type.Literal('draft'), Type.Literal('archived')]),
  ),
  currency: Type.Optional(Currency()),
  /** Left out: not counted. */
  stock: Type.Optional(Count()),
  images: Type.Optional(Images()),
  tags: Type.Optional(Tags()),
  collections: Type.Optional(Tags()),
}
const ProductInput = Type.Object({ name: Line(), price: Amount(), ...FIELDS }, CLOSED)
const ProductPatch = Type.Partial(Type.Object({ name: Line(), price: Amount(), ...FIELDS }), {
  ...CLOSED,
  minProperties: 1,
})

interface ProductRow {
  product_id: string
  name: string
  description: string | null
  sku: string | null
  status: string
  price_cents: number
  currency: string
  stock: number | null
  images: string
  tags: string
  collections: string
  created_at: string
  updated_at: string
}

const COLUMNS =
  'id as product_id, name, description, sku, status, price_cents, currency, stock, images, tags, collections, created_at, updated_at'

export function productRoutes(app: App, shop: Shop): void {
  app.get('/api/products', { schema: { querystring: ListQuery } }, async ({ tenantId, query }) => ({
    data: shop.db.newest<ProductRow>('products', COLUMNS, tenantId, query.limit).map(viewOf),
  }))
  app.get('/api/products/:id', { schema: { params: Params } }, async ({ tenantId, params }) =>
    viewOf(getProduct(shop.db, tenantId, params.id)),
  )
  app.post('/api/products', { schema: { body: ProductInput } }, (request, reply) =>
    change(shop, request, reply, (trx) => ({ status: 201, body: createProduct(trx, request.body) })),
  )
  app.put('/api/products/:id', { schema: { params: Params, body: ProductPatch } }, (request, reply) =>
    change(shop, request, reply, (trx) => ({
      status: 200,
      body: updateProduct(trx, request.params.id, request.body),
    })),
  )
  app.delete('/api/products/:id', { schema: { params: Params } }, (request, reply) =>
    change(shop, request, reply, (trx) => ({ status: 200, body: deleteProduct(trx, request.params.id) })),
  )
}

export function getProduct(db: Database, tenantId: string, id: string): ProductRow {
  const row = db.find<ProductRow>('products', COLUMNS, tenantId, id)
  if (row === undefined) throw notFound('product')
  return row
}

function createProduct(trx: Change, input: Static<typeof ProductInput>): object {
  const id = newId('prod')
  checkSku(trx, input.sku, id)
  trx.db.insert('products', {
    tenant_id: trx.tenantId,
    id,
    name: input.name,
    description: input.description ?? null,
    sku: input.sku ?? null,
    status: input.status ?? 'active',
    price_cents: toCents(input.price),
    currency: input.currency ?? 'EUR',
    stock: input.stock ?? null,
    images: JSON.stringify(input.images ?? []),
    tags: JSON.stringify(input.tags ?? []),
    collections: JSON.stringify(input.collections ?? []),
    created_at: trx.now,
    updated_at: trx.now,
  })
  const product = viewOf(getProduct(trx.db, trx.tenantId, id))
  trx.emit('product.created', product)
  return product
}

function updateProduct(trx: Change, id: string, input: Static<typeof ProductPatch>): object {
  const before = viewOf(getProduct(trx.db, trx.tenantId, id))
  const changes = changedFields(before, input)
  if (changes.length === 0) return before
  checkSku(trx, input.sku, id)
  const { price, images, tags, collections, stock, ...plain } = input
  trx.db.update('products', trx.tenantId, id, {
    ...plain,
    ...(price !== undefined && { price_cents: toCents(price) }),
    ...(images !== undefined && { images: JSON.stringify(images) }),
    ...(tags !== undefined && { tags: JSON.stringify(tags) }),
    ...(collections !== undefined && { collections: JSON.stringify(collections) }),
    updated_at: trx.now,
  })
  if (stock !== undefined) setStock(trx, id, stock)
  const product = viewOf(getProduct(trx.db, trx.tenantId, id))
  trx.emit('product.updated', { ...product, changes })
  return product
}

function deleteProduct(trx: Change, id: string): object {
  const { name, sku } = getProduct(trx.db, trx.tenantId, id)
  trx.db.run('delete from products where tenant_id = ? and id = ?', trx.tenantId, id)
  const deleted = { product_id: id, name, sku, deleted_at: trx.now }
  trx.emit('product.deleted', deleted)
  return deleted
}

function checkSku({ db, tenantId }: Change, sku: string | undefined, id: string): void {
  if (sku === undefined) return
  const other = db.get(
    'select 1 from products where tenant_id = ? and sku = ? and id <> ?',
    tenantId,
    sku,
    id,
  )
  if (other !== undefined) throw conflict('sku_taken', 'Another product has this SKU.')
}

function viewOf({ price_cents, images, tags, collections, stock, description, ...row }: ProductRow) {
  return {
    ...row,
    ...(description !== null && { description }),
    price: fromCents(price_cents),
    ...(stock !== null && { stock }),
    images: JSON.parse(images) as string[],
    tags: JSON.parse(tags) as string[],
    collections: JSON.parse(collections) as string[],
  }
}
