import type { Schema } from '../../api/client.ts'
import { words } from '../../i18n/words.svelte.ts'

const texts = words({
  en: { platform: 'platform', tenant: 'shop', plugin: 'plugin', seen: 'only seen' },
  de: { platform: 'Plattform', tenant: 'Shop', plugin: 'Plugin', seen: 'nur gesehen' },
})

/** Who declared a type. */
export function declaredBy(source: Schema['EventType']['source']): string {
  return texts[source]
}
