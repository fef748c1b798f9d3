import { portLabel } from '../canvas/labels.ts'
import { words } from '../i18n/words.svelte.ts'
import type { NamedPlace } from './places.ts'

const w = words({
  en: {
    start: 'At the start',
    handlers: 'First of the error handlers',
    before: (step: string) => `Before ${step}`,
    after: (step: string, port: string) => `After ${step}, ${port}`,
    ground: 'By itself, to be connected later',
  },
  de: {
    start: 'Am Anfang',
    handlers: 'Am Anfang des Fehlerpfads',
    before: (step: string) => `Vor ${step}`,
    after: (step: string, port: string) => `Nach ${step}, ${port}`,
    ground: 'Für sich, später zu verbinden',
  },
})

/** What a place is called. */
export function placeLabel({ step, port, place: { at } }: NamedPlace): string {
  if (step === null) return at === 'handlers' ? w.handlers : at === 'ground' ? w.ground : w.start
  return port === null ? w.before(step) : w.after(step, portLabel(port))
}
