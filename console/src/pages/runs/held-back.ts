import { words } from '../../i18n/words.svelte.ts'
import type { HeldBack } from '../run/types.ts'

const texts = words({
  en: {
    held: (who: string, what: string) => `held back: ${who} ${what}`,
    answers: (status: string) => `answers ${status}`,
    fails: 'answers with an error',
    isPaused: 'is paused',
    isResting: 'has been failing and is given a pause',
    isAway: 'cannot be reached',
    takesNothing: 'takes no calls for now',
    platform: 'the platform',
  },
  de: {
    held: (who: string, what: string) => `zurückgehalten: ${who} ${what}`,
    answers: (status: string) => `antwortet mit ${status}`,
    fails: 'antwortet mit einem Fehler',
    isPaused: 'ist pausiert',
    isResting: 'ist gestört und bekommt eine Pause',
    isAway: 'ist nicht erreichbar',
    takesNothing: 'nimmt gerade keine Aufrufe an',
    platform: 'die Plattform',
  },
})

const AWAY = new Set(['connect_refused', 'connect_timeout', 'dns_error', 'tls_error', 'timeout', 'reset'])

/** Whom a run waits for, and how that one is. */
export function heldText({ type, name, first: { error } }: HeldBack): string {
  return texts.held(type === 'platform' ? texts.platform : name, stateOf(error))
}

function stateOf(error: HeldBack['first']['error']): string {
  // Not tried yet, or the plugin's limits leave no turn, which is no attempt.
  if (error === null) return texts.takesNothing
  const { code, message } = error
  if (code === 'plugin_inactive') return texts.isPaused
  if (code === 'breaker_open') return texts.isResting
  if (AWAY.has(code)) return texts.isAway
  const status = /^The answer was (\d{3})$/.exec(message)?.[1]
  if (status !== undefined) return texts.answers(status)
  return code.startsWith('http_') ? texts.fails : texts.takesNothing
}
