/** What keys do in the builder. Copying is the browser's own, and told by its events. */
export type KeyAction =
  | 'add'
  | 'connect'
  | 'deselect'
  | 'duplicate'
  | 'find'
  | 'keys'
  | 'leaveForm'
  | 'mark'
  | 'menu'
  | 'moveDown'
  | 'moveUp'
  | 'next'
  | 'note'
  | 'nudgeDown'
  | 'nudgeLeft'
  | 'nudgeRight'
  | 'nudgeUp'
  | 'openForm'
  | 'previous'
  | 'redo'
  | 'remove'
  | 'rename'
  | 'save'
  | 'tidy'
  | 'undo'

/** Where the focus has to be: what is typed into a field stays the field's. */
type Where = 'anywhere' | 'form' | 'flow' | 'no field'

const KEYS: Readonly<Record<string, readonly [KeyAction, Where]>> = {
  'ctrl+s': ['save', 'anywhere'],
  f8: ['next', 'anywhere'],
  'shift+f8': ['previous', 'anywhere'],
  escape: ['leaveForm', 'form'],
  'ctrl+z': ['undo', 'no field'],
  'ctrl+shift+z': ['redo', 'no field'],
  'ctrl+y': ['redo', 'no field'],
  '/': ['add', 'no field'],
  '?': ['keys', 'no field'],
  f2: ['rename', 'no field'],
  '+': ['add', 'flow'],
  enter: ['openForm', 'flow'],
  delete: ['remove', 'flow'],
  backspace: ['remove', 'flow'],
  'ctrl+d': ['duplicate', 'flow'],
  'ctrl+f': ['find', 'anywhere'],
  'ctrl+a': ['mark', 'flow'],
  'alt+shift+t': ['tidy', 'no field'],
  'shift+f10': ['menu', 'flow'],
  contextmenu: ['menu', 'flow'],
  c: ['connect', 'flow'],
  n: ['note', 'flow'],
  'alt+shift+arrowup': ['nudgeUp', 'flow'],
  'alt+shift+arrowdown': ['nudgeDown', 'flow'],
  'alt+shift+arrowleft': ['nudgeLeft', 'flow'],
  'alt+shift+arrowright': ['nudgeRight', 'flow'],
  'alt+arrowup': ['moveUp', 'flow'],
  'alt+arrowdown': ['moveDown', 'flow'],
}

const FLOW = '[role="tree"], .svelte-flow'

/** What a key is meant to do where the focus is; null: nothing of the builder's. */
export function actionOfKey(event: KeyboardEvent): KeyAction | null {
  const target = event.target as HTMLElement
  if (target.closest('dialog, [role="dialog"], [role="menu"]') !== null) return null
  const combo = comboOf(event)
  if (combo === 'escape' && target.closest(FLOW) !== null) return 'deselect'
  const [action, where] = KEYS[combo] ?? []
  if (action === undefined) return null
  const isField = target.matches('input, textarea, select')
  const isThere =
    where === 'anywhere' ||
    (where === 'no field' && !isField) ||
    (where === 'form' && target.closest('.panel') !== null) ||
    (where === 'flow' && isOnFlow(target))
  return isThere ? action : null
}

/** Tells whether a key pressed there is the flow's: what is pressed on a button in it, to zoom, is the button's. */
export function isOnFlow(target: Element): boolean {
  return target.closest(FLOW) !== null && target.closest('button') === null
}

/** Tells whether the flow has the focus, so that copying is about its steps, not about a text. */
export function isFlowFocused(): boolean {
  const { activeElement: active } = document
  if (document.querySelector('dialog[open], [role="dialog"]') !== null) return false
  return active === null || active === document.body || active.closest(FLOW) !== null
}

/**
 * Signs such as `?` are themselves, with whatever keys a keyboard has for them. With Alt a letter is its key: on a Mac,
 * Alt makes another sign of it.
 */
function comboOf({ key: sign, code, ctrlKey, metaKey, altKey, shiftKey }: KeyboardEvent): string {
  const key = (altKey ? /^Key([A-Z])$/.exec(code)?.[1] : undefined) ?? sign
  const isSign = key.length === 1 && key.toLowerCase() === key.toUpperCase()
  const held = [(ctrlKey || metaKey) && 'ctrl', altKey && 'alt', shiftKey && !isSign && 'shift']
  return [...held.filter((each) => each !== false), key.toLowerCase()].join('+')
}
