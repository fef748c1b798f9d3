const CONTROLS = 'a[href], button, input, select, textarea, summary, [tabindex="0"]'
const FIELDS = 'input, select, textarea'

/** Lists what can have the focus around an element of the page, nearest first: what comes after it, then what comes before. */
export function controlsNear(element: Element): HTMLElement[] {
  const root = element.closest('main') ?? document.body
  const all = [...root.querySelectorAll<HTMLElement>(CONTROLS)]
  const at = all.findIndex(
    (each) => (each.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_PRECEDING) > 0,
  )
  const after = at === -1 ? all.length : at
  return [...all.slice(after), ...all.slice(0, after).reverse()].filter((each) => each !== element)
}

/** Focuses the first of the controls that is still there, unless something has the focus. */
export function refocus(controls: readonly HTMLElement[]): void {
  const { activeElement: active } = document
  const isLost = active === null || active === document.body || active.matches(':disabled')
  if (!isLost) return
  const next = controls.find(
    (each) => each.isConnected && !each.matches(':disabled') && each.checkVisibility(),
  )
  next?.focus({ preventScroll: true })
}

/** Keeps the keyboard in its place where a button takes itself away, or can no longer be pressed. */
export function keepFocus(root: HTMLElement): () => void {
  const onclick = ({ target }: MouseEvent): void => {
    const button = target instanceof Element ? target.closest('button') : null
    if (button === null) return
    const near = controlsNear(button)
    // Other listeners have yet to be called, and what they change to be drawn.
    setTimeout(() => {
      if (!button.isConnected || button.disabled) refocus(near)
    })
  }
  root.addEventListener('click', onclick, true)
  return () => root.removeEventListener('click', onclick, true)
}

/** The first field of what was added; null: it has none. */
export function firstField(part: Element | null | undefined): HTMLElement | null {
  return part?.querySelector<HTMLElement>(FIELDS) ?? null
}
