import type { Schema } from '../../api/client.ts'
import { words } from '../../i18n/words.svelte.ts'

export type Category = Schema['FlowTemplateSummary']['category']
export const CATEGORIES: readonly Category[] = [
  'customers',
  'orders',
  'inventory',
  'leads',
  'bookings',
  'operations',
  'other',
]

export const categories = words({
  en: {
    customers: 'Customers',
    orders: 'Orders',
    inventory: 'Stock',
    leads: 'Leads',
    bookings: 'Bookings',
    operations: 'Operation',
    other: 'Other',
  },
  de: {
    customers: 'Kunden',
    orders: 'Bestellungen',
    inventory: 'Lager',
    leads: 'Leads',
    bookings: 'Buchungen',
    operations: 'Betrieb',
    other: 'Sonstiges',
  },
})
