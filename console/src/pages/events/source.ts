import type { Schema } from '../../api/client.ts'
import { words } from '../../i18n/words.svelte.ts'

const texts = words({
  en: {
    api: 'API',
    platform: 'platform',
    cloudevents: 'CloudEvents',
    plugin: 'plugin',
    system: 'this service',
  },
  de: {
    api: 'API',
    platform: 'Plattform',
    cloudevents: 'CloudEvents',
    plugin: 'Plugin',
    system: 'dieser Dienst',
  },
})

/** By which way an event came. */
export function sourceText(source: Schema['Event']['source']): string {
  return texts[source]
}
