import { words } from '../../i18n/words.svelte.ts'
import type { ReplayStatus } from './selection.ts'

const texts = words({
  en: {
    undelivered: 'what never arrived',
    failed: 'what has failed',
    any: 'everything, also what arrived',
    sent: 'what has arrived',
    retry: 'what will be retried',
    pending: 'what is pending',
  },
  de: {
    undelivered: 'was nie ankam',
    failed: 'was gescheitert ist',
    any: 'alles, auch Angekommenes',
    sent: 'was ankam',
    retry: 'was wiederholt wird',
    pending: 'was ansteht',
  },
})

/** Which deliveries a replay takes; null: all. */
export function takenText(status: ReplayStatus | null): string {
  return texts[status ?? 'any']
}
