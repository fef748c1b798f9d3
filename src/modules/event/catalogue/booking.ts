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
  booking_id: id,
  customer_id: nullable(id),
  lead_id: nullable(id),
  service: nullable(object({ service_id: id, name: text }, ['name'])),
  customer: nullable(
    object({ customer_id: id, name: nullable(text), email: nullable(email), phone: nullable(text) }, []),
  ),
  staff: nullable(text),
  status: text,
  starts_at: time,
  ends_at: time,
  time_zone: text,
}
/** A booking that is new or moved makes no sense without its time; of one that is over, the id says enough. */
const REQUIRED = ['booking_id', 'starts_at']
const REQUIRED_OF_PAST = ['booking_id']

const SAMPLE = {
  booking_id: 'book_Ym20Qs',
  customer_id: 'cus_Lw81Pd',
  lead_id: null,
  service: { service_id: 'srv_11', name: 'Fitting' },
  customer: {
    customer_id: 'cus_Lw81Pd',
    name: 'Ana Sousa',
    email: 'ana@example.com',
    phone: '+351912345678',
  },
  staff: 'Rita',
  status: 'confirmed',
  starts_at: '2026-03-12T10:00:00Z',
  ends_at: '2026-03-12T10:45:00Z',
  time_zone: 'Europe/Lisbon',
} as const

export const BOOKING_TYPES: readonly CatalogueType[] = [
  {
    name: 'booking.created',
    description: 'An appointment was made.',
    entity: ENTITIES.booking,
    sample: SAMPLE,
    schema: object(PROPERTIES, REQUIRED),
  },
  {
    name: 'booking.updated',
    description: 'An appointment was changed or moved; `changes` names the fields.',
    entity: ENTITIES.booking,
    sample: {
      ...SAMPLE,
      starts_at: '2026-03-12T15:00:00Z',
      ends_at: '2026-03-12T15:45:00Z',
      changes: ['starts_at', 'ends_at'],
    },
    schema: object({ ...PROPERTIES, changes: listOf(text) }, REQUIRED),
  },
  {
    name: 'booking.cancelled',
    description: 'An appointment was called off.',
    entity: ENTITIES.booking,
    sample: {
      ...SAMPLE,
      status: 'cancelled',
      cancelled_by: 'customer',
      reason: null,
      cancelled_at: '2026-03-11T17:03:00Z',
    },
    schema: object(
      {
        ...PROPERTIES,
        cancelled_by: text,
        reason: nullable(text),
        cancelled_at: time,
      },
      REQUIRED_OF_PAST,
    ),
  },
  {
    name: 'booking.completed',
    description: 'An appointment took place.',
    entity: ENTITIES.booking,
    sample: { ...SAMPLE, status: 'completed', completed_at: '2026-03-12T10:47:00Z' },
    schema: object({ ...PROPERTIES, completed_at: time }, REQUIRED_OF_PAST),
  },
]
