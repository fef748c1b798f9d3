import { stepType } from '../flow/step-types.ts'
import { locale, words } from '../i18n/words.svelte.ts'

const triggers = words({
  en: { event: 'Event', schedule: 'Schedule', manual: 'By hand', webhook: 'Webhook' },
  de: { event: 'Ereignis', schedule: 'Zeitplan', manual: 'Von Hand', webhook: 'Webhook' },
})

const ports = words({
  en: {
    true: 'yes',
    false: 'no',
    success: 'done',
    error: 'error',
    received: 'came',
    timeout: 'too late',
    default: 'else',
    done: 'after all',
    next: 'next',
    body: 'each',
  },
  de: {
    true: 'ja',
    false: 'nein',
    success: 'getan',
    error: 'Fehler',
    received: 'kam',
    timeout: 'zu spät',
    default: 'sonst',
    done: 'nach allen',
    next: 'weiter',
    body: 'jedes',
  },
})

const TRIGGER_GLYPHS: Readonly<Record<string, string>> = {
  event: '⚡',
  schedule: '◷',
  manual: '☞',
  webhook: '⇥',
}

/** What a type of step or trigger is called. */
export function typeLabel(type: string): string {
  return (
    stepType(type)?.label[locale.language] ?? (triggers as Record<string, string | undefined>)[type] ?? type
  )
}

/** What a way out of a step is called; a case of a switch has its own name. */
export function portLabel(port: string): string {
  return (ports as Record<string, string | undefined>)[port] ?? port
}

export function typeGlyph(type: string): string {
  return stepType(type)?.glyph ?? TRIGGER_GLYPHS[type] ?? '?'
}
