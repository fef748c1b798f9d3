import type { Test } from 'tap'
import type { Tenant } from '#test/support/app.ts'
import { type PlatformAutomation, startPlatformWorld } from '#test/modules/flow-template/support.ts'

export { DAY_MS, HOUR_MS, MINUTE_MS } from '#test/modules/flow-template/support.ts'

export interface Automation {
  id: string
  name: string
  enabled: boolean
  customised: boolean
  preset: string | null
  times_triggered: number
  last_triggered: string | null
  warnings?: { pointer: string; detail: string }[]
  [field: string]: unknown
}

/** A shop of the CRM on the reference platform. */
export interface CrmShop extends PlatformAutomation {
  create(fields: object): Promise<Automation>
  read(id: string): Promise<Automation>
  /** A lead of the platform. @returns its id */
  lead(fields?: object): Promise<string>
  /** An appointment that starts so long from the shop's now. */
  book(aheadMs: number, customer?: object): Promise<Record<string, unknown>>
  move(booking: Record<string, unknown>, aheadMs: number): Promise<void>
  end(booking: Record<string, unknown>, status: string): Promise<Record<string, unknown>>
  subjects(): Promise<(string | null)[]>
}

export const MIGUEL = {
  name: 'Miguel',
  email: 'miguel@example.com',
  phone: '+351934567890',
  source: 'website',
}
export const ANA = { name: 'Ana', email: 'ana@example.com', phone: '+351912345678' }

export async function startCrm(t: Test): Promise<{ open: () => Promise<CrmShop> }> {
  const world = await startPlatformWorld(t)
  return { open: async () => crmOf(await world.open()) }
}

export async function made<T>(answer: ReturnType<Tenant['get']>): Promise<T> {
  const { statusCode, body } = await answer
  if (statusCode >= 300) throw new Error(`${statusCode}: ${body}`)
  return (body === '' ? null : JSON.parse(body)) as T
}

/** Of a record of the reference platform. */
export function idOf(record: Record<string, unknown>, name: string): string {
  return (record[name] ?? record['id']) as string
}

export function crmOf(shop: PlatformAutomation): CrmShop {
  const times = (aheadMs: number) => ({ starts_at: shop.at(aheadMs), ends_at: shop.at(aheadMs + 3_600_000) })
  const path = (booking: Record<string, unknown>): string => `/api/bookings/${idOf(booking, 'booking_id')}`
  return {
    ...shop,
    create: (fields) => made(shop.tenant.post('/api/automations', fields)),
    read: (id) => made(shop.tenant.get(`/api/automations/${id}`)),
    lead: async (fields = MIGUEL) => idOf(await shop.ask('POST', '/api/leads', fields), 'lead_id'),
    book: async (aheadMs, customer = ANA) => {
      const id = idOf(await shop.ask('POST', '/api/customers', customer), 'customer_id')
      const service = { service_id: 'srv_1', name: 'Fitting' }
      return shop.ask('POST', '/api/bookings', { customer_id: id, service, ...times(aheadMs) })
    },
    move: async (booking, aheadMs) => {
      await shop.ask('PUT', path(booking), times(aheadMs))
    },
    end: (booking, status) => shop.ask('PUT', `${path(booking)}/status`, { status }),
    subjects: async () => (await shop.sent()).map(({ subject }) => subject),
  }
}
