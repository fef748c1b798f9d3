import { tick } from 'svelte'
import { controlsNear } from '../kit/keep-focus.ts'

/** Moves the focus in the builder: into the form, and back to the part of the flow that had it, drawing or outline. */
export class BuilderFocus {
  readonly #root: () => HTMLElement | undefined
  #wasOnCanvas = false

  /** @param root holds the builder; undefined until it stands in the page */
  constructor(root: () => HTMLElement | undefined) {
    this.#root = root
  }

  /** Remembers in which part of the flow something is done; the tab key only comes by. */
  follow(event: KeyboardEvent | PointerEvent): void {
    const { target } = event
    const isPassing = event instanceof KeyboardEvent && (event.key === 'Tab' || event.key === 'Shift')
    if (!(target instanceof Element) || isPassing) return
    if (target.closest('.svelte-flow') !== null) this.#wasOnCanvas = true
    else if (target.closest('[role="tree"]') !== null) this.#wasOnCanvas = false
  }

  async toForm(): Promise<void> {
    await this.#to('.panel :is(input, select, textarea)')
  }

  /** To the first field that is wrong, or is missing; to the first one of the form where only something is to be seen. */
  async toFault(): Promise<void> {
    await tick()
    const panel = this.#root()?.querySelector('.panel')
    const wrong = panel?.querySelector<HTMLElement>('[aria-invalid="true"]')
    const said = panel?.querySelector(':is(.error, .fault)')
    const beside = said?.closest('.expression')?.querySelector('textarea') ?? (said && controlsNear(said)[0])
    const found = wrong ?? beside
    if (found == null) await this.toForm()
    else found.focus()
  }

  async toName(): Promise<void> {
    await this.#to('[data-name]')
  }

  /** A flow without steps has nothing in its outline: then the drawing has the focus. */
  async toFlow(): Promise<void> {
    const [canvas, item] = ['.svelte-flow', '[role="treeitem"][tabindex="0"]']
    await this.#to(...(this.#wasOnCanvas ? [canvas] : [item, canvas]))
  }

  /** Goes there where what had the focus is gone. */
  async keep(): Promise<void> {
    await tick()
    if (document.activeElement === null || document.activeElement === document.body) await this.toFlow()
  }

  /** The first of the elements that is there. */
  async #to(...selectors: string[]): Promise<void> {
    await tick()
    for (const selector of selectors) {
      const element = this.#root()?.querySelector<HTMLElement>(selector)
      if (element == null) continue
      element.focus({ preventScroll: selector === '.svelte-flow' })
      return
    }
  }
}
