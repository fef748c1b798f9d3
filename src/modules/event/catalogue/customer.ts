import {
  type CatalogueType,
  email,
  ENTITIES,
  id,
  listOf,
  nullable,
  object,
  text,
  time,
} from './event-type.ts'

const PROPERTIES = {
  customer_id: id,
  email: nullable(email),
  name: nullable(text),
  customer_name: { ...nullable(text), description: 'The same as name' },
  phone: nullable(text),
  accepts_marketing: { type: 'boolean' },
  tags: listOf(text),
  location: nullable(
    object({ country: { ...text, description: 'ISO 3166-1 alpha-2' }, city: nullable(text) }, []),
  ),
  created_at: time,
  updated_at: time,
} as const

const SAMPLE = {
  customer_id: 'cus_Lw81Pd',
  email: 'ana@example.com',
  name: 'Ana Sousa',
  customer_name: 'Ana Sousa',
  phone: '+351912345678',
  accepts_marketing: true,
  tags: ['newsletter'],
  location: { country: 'PT', city: 'Porto' },
  created_at: '2026-03-02T14:01:12Z',
  updated_at: '2026-03-02T14:01:12Z',
} as const

export const CUSTOMER_TYPES: readonly CatalogueType[] = [
  {
    name: 'customer.created',
    description: 'A customer signed up or was added by the shop.',
    entity: ENTITIES.customer,
    sample: SAMPLE,
    schema: object(PROPERTIES, ['customer_id']),
  },
  {
    name: 'customer.updated',
    description: 'A customer was changed; `changes` names the fields.',
    entity: ENTITIES.customer,
    sample: { ...SAMPLE, phone: null, updated_at: '2026-04-11T07:20:00Z', changes: ['phone'] },
    schema: object({ ...PROPERTIES, changes: listOf(text) }, ['customer_id']),
  },
]
