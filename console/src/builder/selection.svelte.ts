import type { CanvasState } from '../canvas/state.svelte.ts'
import type { FlowStep } from '../flow/graph.ts'
import { type Note, notesOf } from '../flow/notes.ts'
import { router } from '../router.svelte.ts'
import type { Editor } from './editor.svelte.ts'

/** What is selected in the builder: one step, which stands in the address, several of them, or a note. */
export class Selection {
  readonly #editor: Editor
  readonly #canvas: CanvasState
  readonly #onchange: () => void

  /** @param onchange comes before another selection */
  constructor(editor: Editor, canvas: CanvasState, onchange: () => void) {
    this.#editor = editor
    this.#canvas = canvas
    this.#onchange = onchange
  }

  /** The id in the address, of a step or of none. */
  get id(): string | null {
    return router.query.get('step')
  }

  get step(): FlowStep | undefined {
    return this.#editor.graph.steps.get(this.id ?? '')
  }

  /** Of several: what was deleted is selected no longer. */
  get marked(): readonly string[] {
    return [...this.#canvas.marked].filter((id) => this.#editor.graph.steps.has(id))
  }

  get note(): Note | undefined {
    const id = this.#canvas.selectedNote
    return id === null ? undefined : notesOf(this.#editor.document).find((note) => note.id === id)
  }

  /** Every step that is selected, be it one or several. */
  get all(): readonly string[] {
    const { marked, step } = this
    return marked.length > 0 ? marked : step === undefined ? [] : [step.id]
  }

  select(id: string | null): void {
    this.#onchange()
    this.#canvas.marked = new Set()
    this.#canvas.selectedNote = null
    router.setQuery({ step: id })
  }

  /** Of one alone it is as if that were selected; more stand beside the address. */
  mark(ids: readonly string[]): void {
    this.select(ids.length === 1 ? (ids[0] ?? null) : null)
    if (ids.length > 1) this.#canvas.marked = new Set(ids)
  }

  selectNote(id: string | null): void {
    this.select(null)
    this.#canvas.selectedNote = id
  }

  /** What is selected now has nothing selected. */
  clear(): void {
    if (this.all.length > 0 || this.note !== undefined) this.select(null)
  }

  /** Forgets what is gone from the flow, so that it is not selected when it comes back. */
  prune(): void {
    const { marked, note } = this
    if (this.#canvas.selectedNote !== null && note === undefined) this.#canvas.selectedNote = null
    if (marked.length === this.#canvas.marked.size) return
    if (marked.length === 0) this.#canvas.marked = new Set()
    else this.mark(marked)
  }

  /** The step that has the focus in the outline is the one that is meant, unless it is one of several. */
  takeFocused(): void {
    const { id, outlineNote } =
      document.activeElement?.closest<HTMLElement>('[role="treeitem"]')?.dataset ?? {}
    if (outlineNote !== undefined) this.selectNote(outlineNote)
    else if (id !== undefined && id !== this.id && !this.marked.includes(id)) this.select(id)
  }
}
