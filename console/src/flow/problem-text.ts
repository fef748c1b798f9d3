import { knownLabel } from '../builder/field-texts.ts'
import { labelOf } from '../forms/schema.ts'
import { locale } from '../i18n/words.svelte.ts'
import { problemTextDe } from './problem-texts-de.ts'

interface Problem {
  code: string
  message: string
  pointer: string
}

/** What those who fill in a form meet first, in its words: the compiler's own are for those who write definitions. */
const IN_FORMS: readonly (readonly [message: RegExp, en: string, de: string])[] = [
  [/^Give "event_types" a list|^Write one event type/, 'Choose an event type.', 'Wähle eine Ereignisart.'],
  [
    /^Say what starts the flow/,
    'Add a trigger: nothing starts the flow yet.',
    'Füge einen Auslöser hinzu: noch löst nichts den Ablauf aus.',
  ],
]

/** What is wrong and how to mend it, in the reader's language, with members called as their fields are. */
export function problemText(problem: Problem): string {
  const isGerman = locale.language === 'de'
  for (const [message, en, de] of IN_FORMS) if (message.test(problem.message)) return isGerman ? de : en
  const text = isGerman ? problemTextDe(problem) : problem.message
  const isInput = /\/(?:input|config|payload_template)$/.test(problem.pointer)
  const isMissing = /^Add "|^„[^“]+“ fehlt/.test(text)
  return text.replaceAll(/"([a-z_]+)"|„([a-z_]+)“/g, (quoted, en?: string, de?: string) => {
    const name = en ?? de ?? ''
    const label = knownLabel(name) ?? (isInput && isMissing ? labelOf(name) : null)
    if (label === null) return quoted
    return isGerman ? `„${label}“` : `“${label}”`
  })
}

/** Where in its step, trigger or the flow a problem is, as forms call it; empty: in all of it. */
export function problemPlace(pointer: string): string {
  const within = pointer.replace(/^\/(?:steps|error_handlers|triggers)(?:\/\d+(?=\/|$))?/, '')
  return within
    .split('/')
    .slice(1)
    .filter((name) => !['input', 'config', 'payload_template'].includes(name))
    .map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((name, index) =>
      index === 0
        ? (knownLabel(name) ?? labelOf(name))
        : /^\d+$/.test(name)
          ? String(Number(name) + 1)
          : name,
    )
    .join(' › ')
}
