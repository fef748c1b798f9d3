import type { Schema } from '../../api/client.ts'
import { words } from '../../i18n/words.svelte.ts'

const texts = words({
  en: {
    failing:
      'It failed for too long. Look at its deliveries, mend what they say, test it, and resume the plugin.',
    gone: 'It answered 410: it wants no more, ever. If that was a mistake, mend it there, and resume the plugin.',
    paused:
      'Look at the last run that failed: it says what to do. When the cause is mended, switch the flow on again.',
    self_triggering:
      'What the flow does starts it again. Change its trigger or what it does, publish, and switch it on again.',
  },
  de: {
    failing:
      'Es ist zu lange gescheitert. Zustellungen ansehen, beheben, was sie sagen, testen, dann das Plugin fortsetzen.',
    gone: 'Es antwortete 410: nie wieder. War das ein Irrtum, dort beheben und das Plugin fortsetzen.',
    paused:
      'Die letzte gescheiterte Ausführung ansehen: sie sagt, was zu tun ist. Ist die Ursache behoben, den Ablauf wieder einschalten.',
    self_triggering:
      'Was der Ablauf tut, startet ihn wieder. Auslöser oder Schritte ändern, veröffentlichen, wieder einschalten.',
  },
})

/** What to do after something that the service has done by itself because it went wrong; null: there is nothing. */
export function adviceAfter({ action, detail }: Schema['AuditLogEntry']): string | null {
  const { reason } = detail
  if (action === 'plugin.disabled') return reason === 'gone' ? texts.gone : texts.failing
  if (action !== 'flow.paused') return null
  return reason === 'self_triggering' ? texts.self_triggering : texts.paused
}
