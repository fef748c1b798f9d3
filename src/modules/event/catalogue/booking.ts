import { type CatalogueType, email, id, listOf, nullable, object, text, time } from './event-type.ts'

const PROPERTIES = {
  id,
  service: object({ id, name: text }, ['name']),
  customer: object({ id, name: text, email: nullable(email), phone: nullable(text) }, ['id']),
  staff: nullable(text),
  status: text,
  starts_at: time,
  ends_at: time,
  time_zone: text,
}
const REQUIRED = ['id', 'status', 'starts_at', 'ends_at']

const SAMPLE = {
  id: 'book_Ym20Qs',
  service: { id: 'srv_11', name: 'Fitting' },
  customer: { id: 'cus_Lw81Pd', name: 'Ana Sousa', email: 'ana@example.com', phone: '+351912345678' },
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
    sample: SAMPLE,
    schema: object(PROPERTIES, REQUIRED),
  },
  {
    name: 'booking.updated',
    description: 'An appointment was changed or moved; `changes` names the fields.',
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
      REQUIRED,
    ),
  },
  {
    name: 'booking.completed',
    description: 'An appointment took place.',
    sample: { ...SAMPLE, status: 'completed', completed_at: '2026-03-12T10:47:00Z' },
    schema: object({ ...PROPERTIES, completed_at: time }, REQUIRED),
  },
]
