import { tick } from 'svelte'
import { controlsNear } from '../kit/keep-focus.ts'

const FIELDS = 'input, select, textarea'

/** The field of a form for a part of the definition: the part's own, else the first one in it, else that of what holds it. */
function fieldAt(panel: Element, pointer: string): HTMLElement | null {
  const places = [...panel.querySelectorAll<HTMLElement>('[data-pointer], [data-part]')].map((element) => {
    return { element, at: element.dataset['pointer'] ?? element.dataset['part'] ?? '' }
  })
  // What nothing starts is not started by the flow itself.
  const own = places.filter(({ at }) => at === (pointer === '/triggers' ? '' : pointer))
  const within = places.filter(({ at }) => pointer !== '' && at.startsWith(`${pointer}/`))
  const around = places.filter(({ at }) => at !== '' && pointer.startsWith(`${at}/`))
  around.sort((one, other) => other.at.length - one.at.length)
  // The first field of a whole step says nothing about it.
  const isWhole = /^\/(steps|error_handlers)\/\d+$/.test(pointer)
  const WRONG = '[aria-invalid="true"]'
  const isWrong = ({ element }: (typeof own)[number]): boolean => element.querySelector(WRONG) !== null
  for (const { element } of [...own.filter(isWrong), ...own, ...(isWhole ? [] : within), ...around]) {
    const found =
      element.querySelector<HTMLElement>(WRONG) ??
      element.querySelector<HTMLElement>(FIELDS) ??
      element.querySelector('button')
    if (found !== null) return found
  }
  return null
}

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

  /**
   * To the field of a part of the definition, or what holds or makes it up; else to the first field that is wrong, or is
   * missing, or to the first one of the form.
   *
   * @param pointer to that part; the empty one is the flow itself
   */
  async toFault(pointer: string): Promise<void> {
    await tick()
    const panel = this.#root()?.querySelector('.panel')
    const field = panel == null ? null : fieldAt(panel, pointer)
    if (field !== null) {
      field.focus()
      return
    }
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
