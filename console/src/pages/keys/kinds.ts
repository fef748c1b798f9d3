import { words } from '../../i18n/words.svelte.ts'

/** Whose a key or a session is. */
export const kinds = words({
  en: { platform: 'Platform', tenant: 'Shop', plugin: 'Plugin', portal: 'Portal link' },
  de: { platform: 'Plattform', tenant: 'Shop', plugin: 'Plugin', portal: 'Portal-Link' },
})

export const roles = words({
  en: { viewer: 'reads', editor: 'reads and changes', admin: 'everything in the shop' },
  de: { viewer: 'liest', editor: 'liest und ändert', admin: 'alles im Shop' },
})
