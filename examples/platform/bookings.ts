import { type Static, Type } from '@sinclair/typebox'
import { type Change, change, newId, type Shop } from './change.ts'
import { getCustomer } from './customers.ts'
import type { Database } from './database.ts'
import { conflict, notFound, unprocessable } from './errors.ts'
import { type App, changedFields, CLOSED, Line, ListQuery, Params } from './routes.ts'

const Time = () => Type.String({ format: 'date-time' })
const BookingInput = Type.Object(
  {
    customer_id: Line(64),
    service: Type.Object({ service_id: Line(64), name: Line() }, CLOSED),
    staff: Type.Optional(Line()),
    starts_at: Time(),
    ends_at: Time(),
    time_zone: Type.Optional(Line(64)),
  },
  CLOSED,
)
const BookingPatch = Type.Object(
  {
    staff: Type.Optional(Line()),
    starts_at: Type.Optional(Time()),
    ends_at: Type.Optional(Time()),
  },
  { ...CLOSED, minProperties: 1 },
)
const BookingStatusInput = Type.Object(
  {
    status: Type.Union([Type.Literal('cancelled'), Type.Literal('completed')]),
    cancelled_by: Type.Optional(Line(64)),
    reason: Type.Optional(Line(500)),
  },
  CLOSED,
)

interface BookingRow {
  booking_id: string
  service: string
  customer_id: string
  staff: string | null
  status: string
  starts_at: string
  ends_at: string
  time_zone: string
  details: string
  created_at: string
  updated_at: string
}

const COLUMNS =
  'id as booking_id, service, customer_id, staff, status, starts_at, ends_at, time_zone, details, created_at, updated_at'

export function bookingRoutes(app: App, shop: Shop): void {
  app.get('/api/bookings', { schema: { querystring: ListQuery } }, async ({ tenantId, query }) => ({
    data: shop.db
      .newest<{ id: string }>('bookings', 'id', tenantId, query.limit)
      .map(({ id }) => getBooking(shop.db, tenantId, id)),
  }))
  app.get('/api/bookings/:id', { schema: { params: Params } }, async ({ tenantId, params }) =>
    getBooking(shop.db, tenantId, params.id),
  )
  app.post('/api/bookings', { schema: { body: BookingInput } }, (request, reply) =>
    change(shop, request, reply, (trx) => ({ status: 201, body: createBooking(trx, request.body) })),
  )
  app.put('/api/bookings/:id', { schema: { params: Params, body: BookingPatch } }, (request, reply) =>
    change(shop, request, reply, (trx) => ({
      status: 200,
      body: moveBooking(trx, request.params.id, request.body),
    })),
  )
  app.put(
    '/api/bookings/:id/status',
    { schema: { params: Params, body: BookingStatusInput } },
    (request, reply) =>
      change(shop, request, reply, (trx) => ({
        status: 200,
        body: endBooking(trx, request.params.id, request.body),
      })),
  )
}

function createBooking(trx: Change, input: Static<typeof BookingInput>): object {
  const { db, tenantId, now } = trx
  checkTimes(input)
  const known = db.get('select 1 from customers where tenant_id = ? and id = ?', tenantId, input.customer_id)
  if (known === undefined) {
    throw unprocessable('unknown_customer', `There is no customer ${input.customer_id}.`)
  }
  const id = newId('book')
  db.insert('bookings', {
    tenant_id: tenantId,
    id,
    service: JSON.stringify(input.service),
    customer_id: input.customer_id,
    staff: input.staff ?? null,
    status: 'confirmed',
    starts_at: input.starts_at,
    ends_at: input.ends_at,
    time_zone: input.time_zone ?? 'Europe/Lisbon',
    details: '{}',
    created_at: now,
    updated_at: now,
  })
  const booking = getBooking(db, tenantId, id)
  trx.emit('booking.created', booking)
  return booking
}

function moveBooking(trx: Change, id: string, input: Static<typeof BookingPatch>): object {
  const before = openBooking(trx, id)
  const changes = changedFields(before, input)
  if (changes.length === 0) return before
  checkTimes({ ...before, ...input })
  trx.db.update('bookings', trx.tenantId, id, { ...input, updated_at: trx.now })
  const booking = getBooking(trx.db, trx.tenantId, id)
  trx.emit('booking.updated', { ...booking, changes })
  return booking
}

function endBooking(trx: Change, id: string, input: Static<typeof BookingStatusInput>): object {
  openBooking(trx, id)
  const { status, cancelled_by = 'customer', reason = null } = input
  const details = {
    ...(status === 'cancelled' && { cancelled_by, reason }),
    [`${status}_at`]: trx.now,
  }
  const changes = { status, details: JSON.stringify(details), updated_at: trx.now }
  trx.db.update('bookings', trx.tenantId, id, changes)
  const booking = getBooking(trx.db, trx.tenantId, id)
  trx.emit(`booking.${status}`, booking)
  return booking
}

function openBooking(trx: Change, id: string): ReturnType<typeof getBooking> {
  const booking = getBooking(trx.db, trx.tenantId, id)
  if (booking.status === 'confirmed') return booking
  throw conflict('wrong_status', `A booking that is ${booking.status} cannot be changed.`)
}

function checkTimes({ starts_at, ends_at }: { starts_at: string; ends_at: string }): void {
  if (Date.parse(ends_at) > Date.parse(starts_at)) return
  throw unprocessable('wrong_times', 'A booking ends after it starts.')
}

function getBooking(db: Database, tenantId: string, id: string) {
  const row = db.find<BookingRow>('bookings', COLUMNS, tenantId, id)
  if (row === undefined) throw notFound('booking')
  const { service, details, ...booking } = row
  const { name, email, phone } = getCustomer(db, tenantId, booking.customer_id)
  return {
    ...booking,
    service: JSON.parse(service) as { service_id: string; name: string },
    customer: { customer_id: booking.customer_id, name: name ?? '', email, phone },
    ...(JSON.parse(details) as object),
  }
}
