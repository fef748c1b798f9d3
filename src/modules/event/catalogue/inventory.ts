import { type CatalogueType, count, ENTITIES, id, nullable, object, text, time } from './event-type.ts'

const PROPERTIES = {
  product_id: id,
  name: nullable(text),
  sku: nullable(text),
  location: nullable(text),
  available: count,
  updated_at: time,
}
const REQUIRED = ['product_id', 'available']

const SAMPLE = {
  product_id: 'prod_8Qk2Zt',
  name: 'Linen apron',
  sku: 'APR-LIN-01',
  location: 'Porto',
  available: 118,
  updated_at: '2026-03-03T08:15:00Z',
} as const

export const INVENTORY_TYPES: readonly CatalogueType[] = [
  {
    name: 'inventory.updated',
    description: "A product's stock changed.",
    entity: ENTITIES.product,
    sample: { ...SAMPLE, previous: 120 },
    schema: object({ ...PROPERTIES, previous: count }, REQUIRED),
  },
  {
    name: 'inventory.low',
    description: "A product's stock fell to its threshold or below.",
    entity: ENTITIES.product,
    sample: { ...SAMPLE, available: 4, threshold: 5 },
    schema: object({ ...PROPERTIES, threshold: count }, REQUIRED),
  },
  {
    name: 'inventory.out',
    description: 'A product sold out.',
    entity: ENTITIES.product,
    sample: { ...SAMPLE, available: 0 },
    schema: object(PROPERTIES, ['product_id']),
  },
]
