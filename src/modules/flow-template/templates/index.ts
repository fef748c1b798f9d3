import type { FlowTemplate } from '../template.ts'
import { abandonedCart } from './abandoned-cart.ts'
import { bookingConfirmation } from './booking-confirmation.ts'
import { bookingReminder } from './booking-reminder.ts'
import { crmUpdate } from './crm-update.ts'
import { flowTrouble } from './flow-trouble.ts'
import { leadFollowUp } from './lead-follow-up.ts'
import { leadWelcome } from './lead-welcome.ts'
import { lowStock } from './low-stock.ts'
import { orderShipped } from './order-shipped.ts'
import { pluginTrouble } from './plugin-trouble.ts'
import { postSession } from './post-session.ts'
import { welcomeCustomer } from './welcome-customer.ts'

/** All of them, in the order in which they are shown. A new one is a file and a row here. */
export const TEMPLATES: readonly FlowTemplate[] = [
  welcomeCustomer,
  abandonedCart,
  orderShipped,
  lowStock,
  leadWelcome,
  leadFollowUp,
  crmUpdate,
  bookingConfirmation,
  bookingReminder,
  postSession,
  pluginTrouble,
  flowTrouble,
]
