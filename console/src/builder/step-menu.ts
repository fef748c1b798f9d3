import { words } from '../i18n/words.svelte.ts'
import type { MenuItem } from '../kit/menu-item.ts'
import { putOnClipboard, readClipboard } from './clipboard.ts'
import type { StepEdits } from './step-edits.ts'

const w = words({
  en: {
    add: 'Add a step here',
    connect: 'Lead a way elsewhere…',
    move: 'Move to…',
    duplicate: 'Duplicate',
    copy: 'Copy',
    cut: 'Cut',
    paste: 'Paste behind it',
    replace: 'Replace…',
    rename: 'Rename id…',
    delete: 'Delete',
    ctrl: 'Ctrl',
    del: 'Del',
  },
  de: {
    add: 'Schritt hier hinzufügen',
    connect: 'Weg anderswohin führen…',
    move: 'Verschieben nach…',
    duplicate: 'Duplizieren',
    copy: 'Kopieren',
    cut: 'Ausschneiden',
    paste: 'Dahinter einfügen',
    replace: 'Ersetzen…',
    rename: 'Kennung ändern…',
    delete: 'Löschen',
    ctrl: 'Strg',
    del: 'Entf',
  },
})

/** What is asked before it is done. */
export interface StepAsks {
  onadd: () => void
  onconnect: () => void
  onmove: () => void
  onreplace: () => void
  onrename: () => void
}

async function put(text: string | null): Promise<void> {
  if (text !== null) await putOnClipboard(text)
}

function clipItems(edits: StepEdits): MenuItem[] {
  return [
    { label: w.duplicate, keys: `${w.ctrl}+D`, onselect: () => void edits.duplicate() },
    { label: w.copy, keys: `${w.ctrl}+C`, onselect: () => void put(edits.copy()) },
    { label: w.cut, keys: `${w.ctrl}+X`, onselect: () => void put(edits.cut()) },
  ]
}

/** What else can be done with a step, beside its form. */
export function moreItems(edits: StepEdits, { onmove, onreplace, onrename }: StepAsks): MenuItem[] {
  return [
    ...clipItems(edits),
    {
      label: w.paste,
      keys: `${w.ctrl}+V`,
      onselect: () => void readClipboard().then(async (text) => edits.paste(text)),
    },
    { label: w.move, onselect: onmove },
    { label: w.replace, onselect: onreplace },
    { label: w.rename, onselect: onrename },
  ]
}

/** All that can be done with what is selected. */
export function contextItems(edits: StepEdits, asks: StepAsks, isOne: boolean): MenuItem[] {
  const remove: MenuItem = {
    label: w.delete,
    keys: w.del,
    isDangerous: true,
    onselect: () => void edits.remove(),
  }
  if (!isOne) return [...clipItems(edits), remove]
  return [
    { label: w.add, keys: '+', onselect: asks.onadd },
    { label: w.connect, keys: 'C', onselect: asks.onconnect },
    ...moreItems(edits, asks),
    remove,
  ]
}
