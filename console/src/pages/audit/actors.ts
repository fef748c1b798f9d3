import { words } from '../../i18n/words.svelte.ts'

/** Who may have done something, by the kind. */
export const actors = words({
  en: {
    open: 'Somebody in open mode',
    platform: 'Platform',
    tenant: 'Shop',
    plugin: 'Plugin',
    portal: 'Portal link',
    operator: 'Command line',
    system: 'The service itself',
  },
  de: {
    open: 'Jemand im offenen Betrieb',
    platform: 'Plattform',
    tenant: 'Shop',
    plugin: 'Plugin',
    portal: 'Portal-Link',
    operator: 'Kommandozeile',
    system: 'Der Dienst selbst',
  },
})
