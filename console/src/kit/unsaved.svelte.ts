import { onDestroy } from 'svelte'
import { words } from '../i18n/words.svelte.ts'
import { router } from '../router.svelte.ts'

const w = words({
  en: { leave: 'The changes are not saved. Leave all the same?' },
  de: { leave: 'Die Änderungen sind nicht gespeichert. Trotzdem gehen?' },
})

/** Has leaving asked about while a form holds what is not saved; for a component, as it begins. */
export function guardUnsaved(isChanged: () => boolean): void {
  $effect(() => {
    router.unsaved = isChanged() ? w.leave : null
  })
  onDestroy(() => (router.unsaved = null))
}
