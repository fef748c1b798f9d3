import { words } from '../../i18n/words.svelte.ts'

const texts = words({
  en: { failing: 'failed too often in a row', self_triggering: 'triggers itself' },
  de: { failing: 'zu oft hintereinander gescheitert', self_triggering: 'löst sich selbst aus' },
})

/** Why the service has paused a flow. */
export function pauseReason(reason: string | null): string | null {
  if (reason === null) return null
  return (texts as Record<string, string | undefined>)[reason] ?? reason.replaceAll('_', ' ')
}
