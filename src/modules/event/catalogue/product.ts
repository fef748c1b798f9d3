import {
  amount,
  type CatalogueType,
  count,
  currency,
  ENTITIES,
  id,
  listOf,
  nullable,
  object,
  text,
  time,
} from './event-type.ts'

const PROPERTIES = {
  product_id: id,
  name: text,
  description: nullable(text),
  sku: nullable(text),
  price: amount,
  currency,
  status: text,
  stock: count,
  images: { ...listOf(text), description: 'URLs' },
  tags: listOf(text),
  collections: listOf(text),
  created_at: time,
  updated_at: time,
}
const REQUIRED = ['product_id', 'name']

const SAMPLE = {
  product_id: 'prod_8Qk2Zt',
  name: 'Linen apron',
  description: 'An apron of washed linen, with two pockets',
  sku: 'APR-LIN-01',
  price: 39.9,
  currency: 'EUR',
  status: 'active',
  stock: 120,
  images: ['https://cdn.example.com/apron.jpg'],
  tags: ['kitchen', 'linen'],
  collections: ['spring'],
  created_at: '2026-03-01T09:30:00Z',
  updated_at: '2026-03-01T09:30:00Z',
} as const

export const PRODUCT_TYPES: readonly CatalogueType[] = [
  {
    name: 'product.created',
    description: 'A product was added to the shop.',
    entity: ENTITIES.product,
    sample: SAMPLE,
    schema: object(PROPERTIES, REQUIRED),
  },
  {
    name: 'product.updated',
    description: 'A product was changed; `changes` names the fields.',
    entity: ENTITIES.product,
    sample: { ...SAMPLE, price: 34.9, updated_at: '2026-03-04T11:02:10Z', changes: ['price'] },
    schema: object({ ...PROPERTIES, changes: listOf(text) }, REQUIRED),
  },
  {
    name: 'product.deleted',
    description: 'A product was removed from the shop.',
    entity: ENTITIES.product,
    sample: {
      product_id: 'prod_8Qk2Zt',
      name: 'Linen apron',
      sku: 'APR-LIN-01',
      deleted_at: '2026-05-20T16:45:00Z',
    },
    schema: object({ ...PROPERTIES, deleted_at: time }, ['product_id']),
  },
]
