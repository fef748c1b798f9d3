import type { Schema } from '../../api/client.ts'
import { shownTemplate } from './shown.ts'

type Template = Schema['FlowTemplateList']['data'][number]

/** What people call the ready-made templates beside their titles, in either language. */
const ALSO_CALLED: Readonly<Record<string, string>> = {
  abandoned_cart: 'abandoned cart checkout recovery reminder warenkorb abbrecher erinnerung',
  booking_confirmation: 'appointment termin buchung bestätigung',
  booking_reminder: 'appointment reminder termin buchung erinnerung',
  crm_update: 'sync contacts kontakte',
  flow_trouble: 'alert error monitoring warnung fehler',
  lead_follow_up: 'nurture reminder nachfassen erinnerung',
  lead_welcome: 'auto reply autoresponder antwort',
  low_stock_task: 'inventory stock lager bestand',
  order_shipped: 'shipping tracking delivery versand lieferung',
  plugin_trouble: 'alert error monitoring warnung fehler',
  post_session: 'review feedback survey bewertung umfrage',
  welcome_customer: 'onboarding signup email begrüßung willkommen anmeldung',
}

/** Those that are found by all words of a search, in the reader's language. */
export function templatesFor(templates: readonly Template[], search: string): Template[] {
  const parts = search.toLowerCase().split(/\s+/)
  return templates.map(shownTemplate).filter(({ id, title, description }) => {
    const text = `${title} ${description} ${id.replaceAll('_', ' ')} ${ALSO_CALLED[id] ?? ''}`.toLowerCase()
    return parts.every((part) => text.includes(part))
  })
}
