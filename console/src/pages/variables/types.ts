import { words } from '../../i18n/words.svelte.ts'

export const typeNames = words({
  en: { text: 'text', number: 'number', boolean: 'yes or no', list: 'list', object: 'object' },
  de: { text: 'Text', number: 'Zahl', boolean: 'ja oder nein', list: 'Liste', object: 'Objekt' },
})
