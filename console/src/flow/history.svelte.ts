import type { Command, FlowDocument } from './document.ts'
import { amend, apply, createHistory, type History, redo, redoLabel, undo, undoLabel } from './history.ts'

/** The history of the document that is open. */
export class EditHistory {
  #history: History

  /** @param kept of the same document, from before the page was loaded */
  constructor(document: FlowDocument, kept: History | null = null) {
    this.#history = $state.raw(kept ?? createHistory(document))
  }

  get all(): History {
    return this.#history
  }

  get document(): FlowDocument {
    return this.#history.present
  }

  get undoLabel(): string | null {
    return undoLabel(this.#history)
  }

  get redoLabel(): string | null {
    return redoLabel(this.#history)
  }

  /** Tells whether anything changed. @param key edits of one key that follow one another closely are one edit */
  do(label: string, command: Command, key?: string): boolean {
    const before = this.#history
    const edit = { label, now: Date.now(), ...(key !== undefined && { key }) }
    this.#history = apply(before, command, edit)
    return this.#history !== before
  }

  /** Changes it in all of the history, without an edit. */
  amend(command: Command): void {
    this.#history = amend(this.#history, command)
  }

  undo(): void {
    this.#history = undo(this.#history)
  }

  redo(): void {
    this.#history = redo(this.#history)
  }

  /** Begins anew, with what somebody else has saved. */
  reset(document: FlowDocument): void {
    this.#history = createHistory(document)
  }
}
