import {
  amount,
  type CatalogueType,
  count,
  currency,
  id,
  listOf,
  nullable,
  object,
  text,
  time,
} from './event-type.ts'

const PRODUCT = object(
  {
    id,
    title: text,
    sku: nullable(text),
    status: text,
    price: amount,
    currency,
    stock: count,
    tags: listOf(text),
    created_at: time,
    updated_at: time,
  },
  ['id', 'title', 'price', 'currency'],
)

const SAMPLE = {
  id: 'prod_8Qk2Zt',
  title: 'Linen apron',
  sku: 'APR-LIN-01',
  status: 'active',
  price: 39.9,
  currency: 'EUR',
  stock: 120,
  tags: ['kitchen', 'linen'],
  created_at: '2026-03-01T09:30:00Z',
  updated_at: '2026-03-01T09:30:00Z',
} as const

export const PRODUCT_TYPES: readonly CatalogueType[] = [
  {
    name: 'product.created',
    description: 'A product was added to the shop.',
    sample: SAMPLE,
    schema: PRODUCT,
  },
  {
    name: 'product.updated',
    description: 'A product was changed; `changes` names the fields.',
    sample: { ...SAMPLE, price: 34.9, updated_at: '2026-03-04T11:02:10Z', changes: ['price'] },
    schema: object({ ...PRODUCT.properties, changes: listOf(text) }, ['id', 'title', 'price', 'currency']),
  },
  {
    name: 'product.deleted',
    description: 'A product was removed from the shop.',
    sample: { id: 'prod_8Qk2Zt', sku: 'APR-LIN-01', deleted_at: '2026-05-20T16:45:00Z' },
    schema: object({ id, sku: nullable(text), deleted_at: time }, ['id']),
  },
]
